"""Suites that ship: every key, method, option, task and language is right, and their chat templates can be trained with."""

from importlib.resources import files
from pathlib import Path

import pytest

from xlift.harness.config.suite import load_suite, shipped_suites
from xlift.harness.core.types import Example, ask
from xlift.harness.models.bases import Base
from xlift.harness.models.shape import Shape
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.training.batching import encode

SUITES = Path(str(files("xlift.harness.config"))) / "suites"


@pytest.mark.parametrize("name", shipped_suites())
def test_every_shipped_suite_is_valid(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    check_suite(suite)


@pytest.mark.parametrize("name", shipped_suites())
def test_a_papers_numbers_have_a_source_and_say_what_differs(name: str) -> None:
    """Labels, languages, tasks and metrics are checked above, as ``xlift validate`` does."""
    for one in load_suite(name).expected:
        assert "arXiv:" in one.source and one.differs, (one.label, one.task)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("sdrrl-llama2-7b", 6.74),
        ("x-llama-7b", 6.74),
        ("bayling-llama2-7b", 6.74),
        ("qalign-llama2-7b", 6.74),
        ("mathoctopus-llama2-7b", 6.74),
        ("mapo-llama2-7b", 6.74),
        ("prix-lm-llama2-7b", 6.74),
        ("mindmerger-llama2-7b", 6.74),
        ("lape-llama2-7b", 6.74),
        ("knowledge-adapters-llama2-7b", 6.74),
        ("leap-llama3-8b", 8.03),
        ("incline-llama3-8b", 8.03),
        ("mid-align-llama3-8b", 8.03),
        ("layer-swap-llama3-8b", 8.03),
        ("mpo-llama31-8b", 8.03),
        ("plug-llama2-13b", 13.0),
        ("lidr-llama3-8b", 8.03),
        ("methods-1b", 1.24),
    ],
)
def test_the_sizes_of_a_base_make_its_parameters(name: str, billions: float) -> None:
    sizes = load_suite(name).base.sizes
    assert sizes is not None
    assert Shape(**sizes.model_dump()).parameters / 1e9 == pytest.approx(billions, abs=0.02)


def test_the_suite_of_all_methods_has_controls_and_prompts_too() -> None:
    methods = {chosen.method for chosen in load_suite("methods-1b").methods.values()}
    assert methods >= {
        "cross_lingual", "star_alignment", "pivot_language", "question_alignment", "self_distillation", "translate_then_sft", "pivot_only",
        "dpo_self_improvement", "sft_on_chosen", "alignment_preference", "multilingual_reasoning", "self_instruct", "knowledge_triples",
        "layer_swap", "task_arithmetic", "xlt_prompt", "linguistically_diverse_prompts",
    }  # fmt: skip


def test_a_template_lies_beside_its_suite() -> None:
    assert load_suite("plug-llama2-13b").base.chat_template == SUITES / "plug.jinja"


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("alpaca.jinja", "Here is an instruction. Write an answer that does what it asks.\n\n### Instruction:\nHi\n\n### Response:\n"),
        ("plug.jinja", "<|user|>\nHi\n<|assistant|>\n"),
    ],
)
def test_a_finished_turn_begins_as_an_open_one(template: str, prompt: str, tiny: Base) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    tokenizer.chat_template = (SUITES / template).read_text(encoding="utf-8")
    assert tokenizer.apply_chat_template(list(ask("Hi")), tokenize=False, add_generation_prompt=True) == prompt
    (row,) = encode([Example(ask("Hi"), "Hello", "en", "a", "k")], tokenizer, 200).sequences
    assert tokenizer.decode(row.tokens[row.prompt :]) == "Hello<|im_end|>"
