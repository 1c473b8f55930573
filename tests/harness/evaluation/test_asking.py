"""Prompts as running text, and with examples: what a suite's ``prompt_style`` and ``num_fewshot`` make of the tasks."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.evaluator import simple_evaluate

from xlift.harness.config.suite import EvaluateSettings, Suite
from xlift.harness.core.errors import UserError
from xlift.harness.engines.kept_answers import KeptAnswers
from xlift.harness.evaluation.evaluate import evaluate
from xlift.harness.evaluation.samples import read_samples
from xlift.harness.evaluation.tasks import check_shots, expand_tasks, open_tasks


def suite_of(*tasks: str, **asked: Any) -> Suite:
    evaluate = {"tasks": tasks, "limit": 1, **asked}
    return Suite(name="s", data={"samples": "missing"}, languages={"evaluate": ("en", "es")}, evaluate=evaluate)  # type: ignore[arg-type]


class Keeping(LM):  # type: ignore[misc]
    """Keeps what it is asked."""

    tokenizer_name = "keeping"

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Instance] = []

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return json.dumps([f"{turn['role']}: {turn['content']}" for turn in chat_history], ensure_ascii=False)

    def chat_template(self, chat_template: bool | str = False) -> str:
        return ""

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        self.requests += requests
        return [""] * len(requests)

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        self.requests += requests
        return [(-1.0, False)] * len(requests)

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        raise AssertionError("no task asks for it")


def ask_all(suite: Suite) -> list[tuple[Any, ...]]:
    names, _ = expand_tasks(suite)
    check_shots(suite, names)
    with open_tasks(suite, names) as tasks:
        lm = Keeping()
        simple_evaluate(
            model=lm, tasks=list(names), task_manager=tasks.manager, samples=tasks.items, bootstrap_iters=0, random_seed=None,
            apply_chat_template=suite.evaluate.prompt_style == "chat", num_fewshot=suite.evaluate.num_fewshot or None,
        )  # fmt: skip
    return [request.args for request in lm.requests]


@pytest.fixture
def mgsm(fill_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    shot = {"lang": "es", "question": "Pregunta: ¿Uno más uno?", "cot_answer": "Respuesta paso a paso: 1 + 1. La respuesta es 2."}
    other = {"lang": "es", "question": "Pregunta: ¿Dos más dos?", "cot_answer": "Respuesta paso a paso: 2 + 2. La respuesta es 4."}
    shots = [{**shot, "id": 1, "number_answer": 2}, {**other, "id": 2, "number_answer": 4}]
    fill_folder(
        **{
            "mgsm/test/es.jsonl": json.dumps({"id": 0, "question": "¿Cuánto?", "answer": "5"}) + "\n",
            "mgsm/exemplars.jsonl": "".join(json.dumps(one) + "\n" for one in shots),
        }
    )


@pytest.mark.usefixtures("mgsm")
def test_mgsm_is_asked_as_in_its_paper() -> None:
    [(prompt, options)] = ask_all(suite_of("xlift_mgsm_cot_es", prompt_style="plain", num_fewshot=2))
    assert prompt == (
        "Pregunta: ¿Uno más uno?\nRespuesta paso a paso: 1 + 1. La respuesta es 2.\n\n"
        "Pregunta: ¿Dos más dos?\nRespuesta paso a paso: 2 + 2. La respuesta es 4.\n\n"
        "Pregunta: ¿Cuánto?\nRespuesta paso a paso:"
    )
    assert options == {"until": ["\nPregunta:"], "do_sample": False, "max_gen_toks": 512}


@pytest.mark.usefixtures("mgsm")
def test_examples_are_turns_of_a_chat() -> None:
    (steps, _), (number, options) = ask_all(suite_of("xlift_mgsm_cot_es", "xlift_mgsm_direct_es", num_fewshot=1))
    turns = json.loads(steps)
    assert turns[0].startswith("user: ¿Uno más uno?\n\nPiensa") and turns[1] == "assistant: 1 + 1. La respuesta es 2."
    assert turns[2].startswith("user: ¿Cuánto?\n\nPiensa") and json.loads(number)[1] == "assistant: 2"
    assert options["until"] == []


@pytest.mark.usefixtures("mgsm")
def test_an_answer_begins_behind_an_empty_line() -> None:
    (number, options), (prompt, answer) = ask_all(
        suite_of("xlift_mgsm_direct_es", "xlift_mgsm_bpb_sentence_es", prompt_style="plain", num_fewshot=1)
    )
    instruction = "\n\nResponde solo con el número, sin explicaciones.\n\n"
    assert number == f"¿Uno más uno?{instruction}2\n\n¿Cuánto?{instruction}" and options["until"] == ["\n\n"]
    assert "en lugar de N.\n\nLa respuesta es 2.\n\n¿Cuánto?\n\n" in prompt
    assert prompt.endswith("en lugar de N.\n\n") and answer == "La respuesta es 5."


@pytest.mark.usefixtures("mgsm")
def test_more_examples_than_there_are() -> None:
    with pytest.raises(UserError, match="num_fewshot: 'xlift_mgsm_cot_es' has 2 examples, and 8 are asked for"):
        ask_all(suite_of("xlift_mgsm_cot_es", num_fewshot=8))
    with pytest.raises(UserError, match="num_fewshot: 'xlift_xquad_es' has no split that could give examples"):
        ask_all(suite_of("xlift_xquad_es", num_fewshot=1))


def test_style_and_examples_count_where_they_are_not_the_default() -> None:
    plain = EvaluateSettings(tasks=("a",))
    assert plain.asked == {} and not plain.identity().keys() & {"prompt_style", "num_fewshot"}
    other = EvaluateSettings(tasks=("a",), prompt_style="plain", num_fewshot=8)
    assert other.asked == {"prompt_style": "plain", "num_fewshot": 8} and other.identity().items() >= other.asked.items()


def test_a_served_model_is_not_asked_for_likelihoods() -> None:
    served = suite_of("xlift_xquad_bpb_es").model_copy(update={"engine": suite_of("a").engine.model_copy(update={"backend": "api"})})
    with pytest.raises(UserError, match="'xlift_xquad_bpb_es' asks for likelihoods, which a served model does not give"):
        expand_tasks(served)


class KeepingEngine:
    """As much of an engine as an evaluation asks for."""

    def __init__(self) -> None:
        self.usage: dict[str, float] = {"generate_seconds": 0, "score_seconds": 0}
        self.model = Keeping()
        self.model.take_whole_answers = list  # type: ignore[attr-defined]
        self.model.take_costs = dict  # type: ignore[attr-defined]

    def lm(self) -> Keeping:
        return self.model

    def describe(self) -> dict[str, str]:
        return {"backend": "keeping", "dtype": "float32"}


def test_a_limit_and_the_samples_go_by_articles(fill_folder: Callable[..., Path], tmp_path: Path) -> None:
    fill_folder(
        **{
            "flores200_dataset/devtest/eng_Latn.devtest": "".join(f"Line {number}.\n" for number in range(12)),
            "flores200_dataset/devtest/spa_Latn.devtest": "".join(f"Línea {number}.\n" for number in range(12)),
            "flores200_dataset/metadata_devtest.tsv": "URL\n" + "".join(f"https://news/{number // 6}\n" for number in range(12)),
        }
    )
    task = "xlift_flores_eng_Latn_spa_Latn"
    suite = suite_of(task, limit=2)
    with open_tasks(suite, [task]) as tasks:
        assert tasks.items is not None and [place // 6 for place in tasks.items[task]] == [0, 1], "one of each article"
        whole = replace(tasks, items={task: [0, 1, 6]})
        evaluate(KeepingEngine(), suite, whole, tmp_path, KeptAnswers(tmp_path / "answers", {}))  # type: ignore[arg-type]
    (samples,) = tmp_path.glob(f"samples_{task}_*.jsonl")
    first, second, third = (line.group for line in read_samples(samples))
    assert first == second != third and len(first) == 16
