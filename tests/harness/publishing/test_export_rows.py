"""Exported rows, as the readers they are for see them: pandas, datasets, TRL, LLaMA-Factory and axolotl; docs/export.md says how far."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from xlift.harness.config.suite import load_suite, read_suite
from xlift.harness.models.bases import Base, load_tokenizer
from xlift.harness.pipeline.stages import Run
from xlift.harness.plugin import Example, Preference, UserError, ask
from xlift.harness.publishing.export_rows import export
from xlift.harness.training.batching import encode

EXAMPLES = [
    Example(ask("What is “2 | 3”?\nSay it."), "Five\u2028or so.", "en", "a-1", "instructions"),
    Example(ask("¿Qué?", system="Sé breve."), "Nada.", "es", "b-1", "translation"),
]
PAIRS = [Preference(ask("¿Qué?"), "Nada.", "Nothing.", "es", "c-1", "target_side")]
SFT = {"objective": {"kind": "sft"}, "phases": [], "profile": None, "rows_sha256": "0" * 64}
DPO = {**SFT, "objective": {"kind": "dpo", "beta": 0.2, "nll_weight": 0.5, "length_normalised": True}}
VALUES = {
    "name": "small",
    "data": {"samples": "always"},
    "languages": {"train": ["es"], "evaluate": ["es"]},
    "methods": {"m": {"method": "cross_lingual"}, "d": {"method": "dpo_self_improvement"}},
    "evaluate": {"tasks": ["xlift_mgsm_direct_es"]},
}
Write = Callable[..., Path]


@pytest.fixture
def run(tiny: Base, tmp_path: Path) -> Run:
    return Run(read_suite(VALUES, "test"), tmp_path / "runs", (), (), tiny)


@pytest.fixture
def write(run: Run, tmp_path: Path) -> Write:
    """A finished prepare stage with these rows, and what the export makes of it."""

    def make(rows: list[Any] = EXAMPLES, plan: dict[str, Any] = SFT, label: str = "m", **more: Any) -> Path:
        stage = tmp_path / "stage"
        stage.mkdir(exist_ok=True)
        text = "".join(json.dumps(row.to_dict()) + "\n" for row in rows)
        (stage / "rows.jsonl").write_text(text)
        plan = {**plan, "rows_sha256": hashlib.sha256(text.encode()).hexdigest()}
        kinds = {f"{row.lang}/{row.kind}": 1 for row in rows}
        manifest = {"inputs": {"options": {}}, "rows": len(rows), "plan": plan, "kinds": kinds, "drops": {}, "facts": {}, **more}
        (stage / "manifest.json").write_text(json.dumps(manifest))
        export(run, label, stage, tmp_path / "out")
        return tmp_path / "out"

    return make


def load_lines(path: Path, cache: Path) -> Any:
    from datasets import load_dataset

    return load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))


def read_card(folder: Path) -> tuple[dict[str, Any], str]:
    _, front, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(front), text


@pytest.mark.parametrize(("rows", "plan", "label"), [(EXAMPLES, SFT, "m"), (PAIRS, DPO, "d")])
def test_parquet_gives_the_rows_back(write: Write, rows: list[Any], plan: dict[str, Any], label: str) -> None:
    import pandas as pd

    frame = pd.read_parquet(write(rows, plan, label) / "rows.parquet")
    for row, given in zip(frame.to_dict("records"), rows, strict=True):
        assert {**row, "messages": list(row["messages"])} == given.to_dict()


def test_trl_trains_the_tokens_that_xlift_trains(write: Write, tiny: Base, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer
    from trl.data_utils import is_conversational

    loaded = load_lines(write() / "trl.jsonl", tmp_path / "cache")
    assert all(is_conversational(row) for row in loaded)
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    settings = SFTConfig(output_dir=str(tmp_path / "sft"), report_to=[], use_cpu=True, bf16=False)
    trainer = SFTTrainer(AutoModelForCausalLM.from_pretrained(tiny.folder), settings, train_dataset=loaded, processing_class=tokenizer)
    for theirs, ours in zip(trainer.train_dataset, encode(EXAMPLES, tokenizer, 512).sequences, strict=True):
        trained = theirs["completion_mask"] if "completion_mask" in theirs else [label != -100 for label in theirs["labels"]]
        assert tuple(theirs["input_ids"][: len(ours.tokens)]) == ours.tokens
        assert [place for place, on in enumerate(trained) if on][: ours.response] == list(range(ours.prompt, len(ours.tokens)))
        # What TRL has beyond that is the line break that this template writes after the end of a turn.
        assert tokenizer.decode(theirs["input_ids"][len(ours.tokens) :]) == "\n"


def test_trl_reads_pairs(write: Write, tiny: Base, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    loaded = load_lines(write(PAIRS, DPO, "d") / "trl.jsonl", tmp_path / "cache")
    tokenizer = AutoTokenizer.from_pretrained(tiny.folder)
    settings = DPOConfig(output_dir=str(tmp_path / "dpo"), report_to=[], use_cpu=True, bf16=False)
    trainer = DPOTrainer(
        AutoModelForCausalLM.from_pretrained(tiny.folder), args=settings, train_dataset=loaded, processing_class=tokenizer
    )  # fmt: skip
    (row,) = trainer.train_dataset
    texts = {key: tokenizer.decode(row[key]) for key in ("prompt_ids", "chosen_ids", "rejected_ids")}
    assert texts == {
        "prompt_ids": "<|im_start|>user\n¿Qué?<|im_end|>\n<|im_start|>assistant\n",
        "chosen_ids": "Nada.<|im_end|>\n",
        "rejected_ids": "Nothing.<|im_end|>\n",
    }


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """LLaMA-Factory's settings of data, with which its own code reads ours; it imports torchaudio, for sounds alone."""
    from transformers.utils.import_utils import is_torchaudio_available

    is_torchaudio_available()  # remembered before there is something of that name
    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    return SimpleNamespace(
        streaming=False, preprocessing_num_workers=None, overwrite_cache=True, media_dir=None, template=None, train_on_prompt=False,
        mask_history=True, cutoff_len=512, tool_format=None, default_system=None, enable_thinking=None, mask_thinking=None,
    )  # fmt: skip


def read_with_factory(folder: Path, label: str, settings: SimpleNamespace, cache: Path) -> Any:
    """The rows of an export as LLaMA-Factory's reader of dataset_info.json and its converter give them."""
    from llamafactory.data.converter import align_dataset
    from llamafactory.data.parser import get_dataset_list

    (described,) = get_dataset_list([f"xlift-{label}"], str(folder))
    assert (described.load_from, described.split) == ("file", "train")
    loaded = load_lines(folder / described.dataset_name, cache)
    return described, align_dataset(loaded, described, settings, SimpleNamespace(local_process_index=0))


def test_llama_factory_trains_the_tokens_that_xlift_trains(write: Write, tiny: Base, tmp_path: Path, factory: SimpleNamespace) -> None:
    """Through the release's own reader, converter, template and processor, with ``mask_history`` as docs/export.md says."""
    from llamafactory.data.processor import SupervisedDatasetProcessor
    from llamafactory.data.template import get_template_and_fix_tokenizer

    talk = Example((*ask("¿Qué?"), {"role": "assistant", "content": "Nada."}, *ask("¿Y ahora?")), "Algo.", "es", "b-2", "translation")
    rows, tokenizer = [*EXAMPLES, talk], load_tokenizer(tiny)
    _, aligned = read_with_factory(write(rows), "m", factory, tmp_path / "cache")
    processor = SupervisedDatasetProcessor(get_template_and_fix_tokenizer(tokenizer, factory), tokenizer, None, factory)
    made = processor.preprocess_dataset(aligned[:])
    for tokens, labels, row in zip(made["input_ids"], made["labels"], rows, strict=True):
        trained = [token for token, label in zip(tokens, labels, strict=True) if label != -100]
        assert tokenizer.decode(trained).removesuffix("\n") == f"{row.response}<|im_end|>"
        turns = [turn["content"] for turn in row.messages]
        assert all(text in tokenizer.decode(tokens) for text in turns)


def test_llama_factory_reads_pairs(write: Write, tmp_path: Path, factory: SimpleNamespace) -> None:
    described, aligned = read_with_factory(write(PAIRS, DPO, "d"), "d", factory, tmp_path / "cache")
    (row,) = aligned
    assert described.ranking and row["_prompt"] == [{"content": "¿Qué?", "role": "user"}]
    assert [answer["content"] for answer in row["_response"]] == ["Nada.", "Nothing."], "the chosen one first"


def test_chats_for_llama_factory_and_axolotl(write: Write, tmp_path: Path) -> None:
    folder = write()
    assert load_lines(folder / "messages.jsonl", tmp_path / "cache")[1] == {
        "messages": [
            {"role": "system", "content": "Sé breve."}, {"role": "user", "content": "¿Qué?"}, {"role": "assistant", "content": "Nada."},
        ],
        "id": "b-1", "lang": "es", "kind": "translation",
    }  # fmt: skip
    (entry,) = json.loads((folder / "dataset_info.json").read_text()).values()
    assert (entry["file_name"], entry["formatting"], entry["columns"]) == ("messages.jsonl", "sharegpt", {"messages": "messages"})
    assert entry["tags"] == {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system",
    }  # fmt: skip
    (settings,) = yaml.safe_load((folder / "axolotl.yaml").read_text())["datasets"]
    assert (settings["path"], settings["type"]) == ("messages.jsonl", "chat_template")


def test_axolotl_trains_the_tokens_that_xlift_trains(write: Write, tiny: Base, tmp_path: Path) -> None:
    """Through the release's own schema, which drops keys that are null, and its own strategy."""
    from axolotl.prompt_strategies.chat_template import StrategyLoader
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.datasets import SFTDataset

    talk = Example((*ask("¿Qué?"), {"role": "assistant", "content": "Nada."}, *ask("¿Y ahora?")), "Algo.", "es", "b-2", "translation")
    folder, tokenizer = write([*EXAMPLES, talk]), load_tokenizer(tiny)
    (settings,) = yaml.safe_load((folder / "axolotl.yaml").read_text())["datasets"]
    parsed = SFTDataset(**settings).model_dump(exclude_none=True)
    config = DictDefault({"sequence_len": 512, "chat_template": "tokenizer_default", "train_on_inputs": False})
    strategy = StrategyLoader()(tokenizer, config, parsed)
    for line, row in zip(load_lines(folder / "messages.jsonl", tmp_path / "cache"), [*EXAMPLES, talk], strict=True):
        found = strategy.tokenize_prompt(line)
        trained = [token for token, label in zip(found["input_ids"], found["labels"], strict=True) if label != -100]
        assert tokenizer.decode(trained).removesuffix("\n") == f"{row.response}<|im_end|>"


def test_pairs_for_llama_factory_and_axolotl(write: Write) -> None:
    folder = write(PAIRS, DPO, "d")
    (line,) = (folder / "messages.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "messages": [{"role": "user", "content": "¿Qué?"}],
        "chosen": {"role": "assistant", "content": "Nada."},
        "rejected": {"role": "assistant", "content": "Nothing."},
        "id": "c-1", "lang": "es", "kind": "target_side",
    }  # fmt: skip
    info = json.loads((folder / "dataset_info.json").read_text())
    assert info["xlift-d"]["ranking"] is True
    assert info["xlift-d"]["columns"] == {"messages": "messages", "chosen": "chosen", "rejected": "rejected"}
    settings = yaml.safe_load((folder / "axolotl.yaml").read_text())
    assert settings["datasets"][0]["type"] == "chat_template.default"
    assert {key: value for key, value in settings.items() if key != "datasets"} == {
        "rl": "dpo", "rl_beta": 0.2, "dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": [1.0, 0.5],
    }  # fmt: skip


def test_the_card_tells_where_rows_come_from(write: Write) -> None:
    front, text = read_card(
        write(
            drops={"es/translation: empty": 3},
            corpora=["alpaca/en", "parallel/es"],
            generated_tokens=70,
            translators=[{"kind": "seq2seq", "model": "nllb"}, {"kind": "self", "prompt_sha256": "ab"}],
            translated={"en-es: seq2seq": {"asked": 9, "failed": 2}},
        )
    )
    assert (front["language"], front["license"], front["size_categories"]) == (["en", "es"], ["apache-2.0"], "n<1K")
    assert {"xlift", "cross_lingual", "sft"} <= set(front["tags"])
    assert front["configs"] == [{"config_name": "default", "data_files": "rows.parquet"}]
    for line in (
        "2 rows that the method `cross_lingual` of xlift",
        "| es | translation | 1 |",
        "| es/translation | empty | 3 |",
        "| parallel (bundled samples) | es | Apache-2.0, written for xlift |",
        "70 tokens were generated",
        "Translator: seq2seq (model `nllb`).",
        "| en-es: seq2seq | 9 | 2 |",
        "xlift prepare suite.json",
    ):
        assert line in text


def test_the_card_of_pairs_names_objective_rounds_phases_and_profile(write: Write, run: Run) -> None:
    from xlift.harness.recipes import registry

    options = registry.load("dpo_self_improvement", {}).options.model_dump(mode="json")
    plan = {**DPO, "phases": [["target_side"], ["pivot_side"]], "profile": {"header": {"es": "Respuesta:"}}}
    folder = write(PAIRS, plan, "d", inputs={"options": options})
    front, text = read_card(folder)
    assert "dpo" in front["tags"]
    assert "DPO with beta 0.2 plus 0.5 times" in text
    assert "`target_side`; then `pivot_side`" in text
    assert "round 1 of 2" in text
    assert "Not recorded." in text  # an older manifest names no corpora
    assert json.loads((folder / "profile.json").read_text()) == {"header": {"es": "Respuesta:"}}
    assert "/" not in text.partition("the base model `")[2].partition("`")[0], "no folder of this machine in the card"


def test_the_suite_beside_the_rows_is_the_suite(write: Write, run: Run) -> None:
    assert load_suite(write() / "suite.json") == run.suite


def test_an_export_replaces_the_one_before(write: Write) -> None:
    folder = write(EXAMPLES, {**SFT, "profile": {"stops": ["x"]}})
    assert (folder / "profile.json").is_file()
    write(EXAMPLES[:1])
    assert not (folder / "profile.json").exists()
    assert (folder / "trl.jsonl").read_text().count('"prompt"') == 1


def test_of_a_method_without_rows_the_profile_is_written(write: Write) -> None:
    write()
    folder = write([], {**SFT, "profile": {"stops": ["x"]}})
    assert [path.name for path in folder.iterdir()] == ["profile.json"]
    assert json.loads((folder / "profile.json").read_text()) == {"stops": ["x"]}


def test_refusals(write: Write, run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: its rows are not prepared yet"):
        export(run, "m", tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("my own")
    with pytest.raises(UserError, match="holds other things than an earlier export"):
        write()
    assert (tmp_path / "out" / "README.md").read_text() == "my own"
    (tmp_path / "out" / "README.md").rename(tmp_path / "out" / "notes.txt")
    with pytest.raises(UserError, match="name another folder with --out"):
        write()
    with pytest.raises(UserError, match="thesis.txt: cannot be written .File exists."):
        (tmp_path / "thesis.txt").write_text("")
        export(run, "m", tmp_path / "stage", tmp_path / "thesis.txt")


def test_every_training_corpus_has_a_licence() -> None:
    from xlift.tasks.corpus_table import CORPORA
    from xlift.tasks.licences import LICENCES, find_licence

    training = {name: corpus for name, corpus in CORPORA.items() if not corpus.texts}
    for name, corpus in training.items():
        for part in corpus.parts or (None,):
            assert find_licence(name, "xx", part).tags
    assert {key.partition("/")[0] for key in LICENCES} == set(training)
    named = {key.partition("/")[2] for key in LICENCES if "/" in key}
    assert named <= {part for corpus in training.values() for part in corpus.parts}


def test_the_parts_that_were_read_are_traced(fill_folder: Callable[..., Path]) -> None:
    from xlift.tasks.licences import trace

    pairs = "en\tes\nthe bird\tel pájaro\n"
    fill_folder(**{"train/parallel/tatoeba.en-es.tsv.gz": pairs, "train/parallel/tico19.en-es.tsv.gz": pairs})
    found = trace("parallel", "es", samples="never")
    assert [(source.name, source.licence.text) for source in found] == [("parallel/tatoeba", "CC BY 2.0 FR"), ("parallel/tico19", "CC0")]
    (one,) = trace("parallel/tico19", "es", samples="never")
    assert one.name == "parallel/tico19"
