"""The world that a run shows to a method."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Example, Preference, Sampling, ask
from xlift.harness.pipeline.context import RunContext
from xlift.harness.plugin import Plan
from xlift.tasks.leaks import Guard


def open_context(translators: dict[str, Any], number: int = 0) -> RunContext:
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "methods": {"m": {"method": "cross_lingual"}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]}, "translators": translators,
    }  # fmt: skip
    return RunContext(read_suite(values, "test"), "m", Guard([]), lambda chats, sampling: pytest.fail("no engine is needed"), number)


def test_a_translator_is_required_without_a_translation() -> None:
    context = open_context({"en-es": {"kind": "command", "command": "cat"}, "es-en": {"kind": "command", "command": "no-such-program"}})
    context.require_translator("en", "es")
    assert context.describe_help()["translated"] == {}, "nothing was asked for"
    for want in (context.require_translator, lambda source, target: context.translate([], source, target)):
        with pytest.raises(UserError, match="there is no program 'no-such-program'"):
            want("es", "en")
        with pytest.raises(UserError, match="translators: none for sw-es; add sw-es or default"):
            want("sw", "es")


def test_files_are_read_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = open_context({})
    given = tmp_path / "words.tsv"
    given.write_bytes(b"bird\n")
    assert context.read_file(given) == context.read_file(str(given)) == b"bird\n"
    assert context.read_file("cross_lingual.yaml").startswith(b"#"), "beside the method's own file"
    monkeypatch.chdir(tmp_path)
    assert context.read_file("words.tsv") == b"bird\n", "else from the current folder on"
    own, *_ = [one for one in context.describe_help()["files"] if one["origin"] == "package"]
    theirs = [one for one in context.describe_help()["files"] if one["origin"] == "user"]
    # printf 'bird\\n' | sha256sum
    sha256 = "a9d03262d23184d1a74b5b309fe85fcfc9ea7ad48a21fe1dd21372496f836fbc"
    assert [(one["name"], one["bytes"], one["sha256"]) for one in theirs] == [(str(given), 5, sha256), ("words.tsv", 5, sha256)]
    assert own["name"] == "cross_lingual.yaml"
    with pytest.raises(UserError, match=r"CrossLingual reads 'cross_lingal.yaml': no such file; did you mean 'cross_lingual.yaml'\?"):
        context.read_file("cross_lingal.yaml")


def test_rows_take_no_thinking() -> None:
    context = open_context({})
    said = [
        Answer("<think>\nHm.\n</think>\n\n18", 9, finished=True, thinking_tokens=7),
        Answer("<think>\nHm.", 9, finished=True, thinking_tokens=9),
        Answer(" 18", 2, finished=True),
    ]
    context._generate = lambda chats, sampling: said
    answers = context.generate([], Sampling())
    assert [(answer.text, answer.finished) for answer in answers] == [("18", True), ("", False), (" 18", True)]
    told = context.describe_help()
    assert (told["generated_tokens"], told["thinking_tokens"], told["thinking_cut"]) == (20, 16, 1)


def test_translations_are_counted_by_pair_and_kind() -> None:
    context = open_context({"en-es": {"kind": "command", "command": "tr a-z A-Z"}})
    assert context.translate(["bird", ""], "en", "es") == ["BIRD", None]
    assert context.describe_help()["translated"] == {"en-es: command": {"asked": 2, "failed": 1}}


def test_windows_of_a_shuffled_list_are_disjoint_in_all_rounds() -> None:
    windows = []
    for number in range(2):
        context = open_context({}, number)
        prompts = list(range(100))
        context.rng.shuffle(prompts)
        windows.append(set(prompts[50 * context.round :][:50]))
    assert [len(window) for window in windows] == [50, 50]
    assert windows[0] & windows[1] == set(), "a generator seeded by the round gave two windows that share 23"
    assert context.rng.random() == context.rng.random()


def test_scores_of_translations_are_counted_as_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = open_context({"es-en": {"kind": "command", "command": "cat"}})
    with pytest.raises(UserError, match="cannot say how likely a translation is; .* name one of kind seq2seq for es-en"):
        context.score_translations([], [], "es", "en")
    translator = context._find_translator("es", "en")
    monkeypatch.setattr(type(translator), "score", lambda self, texts, *rest: [-0.5 if text else None for text in texts])
    assert context.score_translations(["uno", ""], ["one", "one"], "es", "en") == [-0.5, None]
    assert context.describe_help()["translated"] == {"es-en: command, scores": {"asked": 2, "failed": 1}}


def test_facts_that_are_asked_for_are_no_training_rows(fill_folder: Callable[..., Path]) -> None:
    facts = [{"head": "Paris", "relation": "country", "tail": name} for name in ("France", "Texas")]
    fill_folder(**{"train/kg/dbp5l.es.train.jsonl.gz": "".join(f"{json.dumps(fact)}\n" for fact in facts)})
    context = open_context({})
    context._suite = context._suite.model_copy(update={"data": context._suite.data.model_copy(update={"samples": "never"})})
    context._guard = Guard([], [("The capital of is Paris", "France")])
    assert [row["tail"] for row in context.read("triples", "es")] == ["Texas"]
    assert context._leaks == {"es/triples": {"dbp5l-0"}}


def row(response: Any = "Hola.") -> Example:
    return Example(ask("Hola"), response, "es", "r-1", "greeting")


def pair(twin: Preference | None = None) -> Preference:
    return Preference(ask("Hola"), "Hola.", "No.", "es", "r-1", "twins", twin)


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (None, "prepare gives back NoneType, where a Plan is wanted"),
        ([row()], "prepare gives back list, where a Plan is wanted"),
        (Plan(({"response": "Hola."},)), "a row of the plan is dict, where Example, Preference or Parallel is wanted"),  # type: ignore[arg-type]
        (Plan((row(),), objective="sft"), "objective: 'sft', where Sft, Dpo, Align or Gap is wanted"),  # type: ignore[arg-type]
        (Plan((row(5),)), "row 'r-1' holds 5, where a text is wanted"),
        (Plan((row(None),)), "row 'r-1' holds None, where a text is wanted"),
        (Plan((pair(pair(pair())),)), "row 'r-1': its twin has a twin itself"),
        (Plan((row(),), drops={"es/greeting: empty": "3"}), "drops: 'es/greeting: empty': '3', where a reason and a number"),  # type: ignore[dict-item]
    ],
)
def test_what_a_method_gives_back_is_looked_at(plan: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"^{says}"):
        open_context({}).vet(plan)


def test_a_plan_that_is_sound_stays_as_it_is() -> None:
    for plan in (Plan((row(),)), Plan((pair(pair()),), drops={"es/twins: none": 2})):
        assert open_context({}).vet(plan).rows == plan.rows
