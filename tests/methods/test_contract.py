"""The contract of every method, on a fake Context, and what cross_lingual itself promises."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fakes import TEXT, FakeContext

from xlift.harness.config.suite import read_suite
from xlift.harness.core.languages import languages
from xlift.harness.core.types import list_texts
from xlift.harness.models.steering import check_arrays
from xlift.harness.pipeline.dry_run import check_suite
from xlift.harness.plugin import (
    Align,
    Answer,
    Chat,
    Dpo,
    Gap,
    LanguageMissingError,
    Mask,
    Method,
    Parallel,
    Plan,
    Preference,
    Sampling,
    Sft,
    UserError,
    find_method,
    load,
    names,
)  # fmt: skip
from xlift.harness.recipes.parts import check_parts
from xlift.harness.recipes.registry import read_defaults
from xlift.tasks.corpus_table import CORPORA


def prepare(options: Mapping[str, Any], **context: Any) -> Plan:
    return load("cross_lingual", options).prepare(FakeContext(**context))


@cache
def load_default(name: str) -> Method[Any]:
    return load(name, {})  # once, as each look among the installed plugins takes a while


def dump(plan: Plan) -> str:
    """All of a plan as JSON, which fails where something in it is no plain data."""
    profile = plan.profile.model_dump(mode="json") if plan.profile else None
    policy = plan.policy.model_dump(mode="json") if plan.policy else None
    return json.dumps([[row.to_dict() for row in plan.rows], dict(plan.drops), plan.phases, profile, policy, dict(plan.facts)])


def check(plan: Plan, context: FakeContext) -> None:
    """What holds of every plan, however bad the world it was made in."""
    none = "a plan without rows is its profile, its edit or its moves, or says why it has none"
    assert plan.rows or plan.profile or plan.policy or plan.edit or plan.steer or plan.drops, none
    assert not plan.policy or not plan.rows and plan.chosen_on and {*plan.policy.weights} <= {*context.languages}
    if plan.steer:
        check_arrays(plan.steer, plan.arrays, "arrays")
        assert not plan.rows and {*plan.arrays} == {*plan.steer.strengths} and plan.chosen_on
    if plan.module:
        assert plan.rows and isinstance(plan.objective, Sft) and not plan.parts
    assert len(plan.rows) <= (context.budget or 10**9)
    assert {row.lang for row in plan.rows} <= {context.pivot, *context.languages}
    assert len({row.id for row in plan.rows}) == len(plan.rows)
    assert all(isinstance(row, Preference) == isinstance(plan.objective, Dpo | Gap) for row in plan.rows)
    assert all(bool(row.twin) == isinstance(plan.objective, Gap) for row in plan.rows if isinstance(row, Preference))
    parallel = [row for row in plan.rows if isinstance(row, Parallel)]
    assert isinstance(plan.objective, Align) >= bool(parallel)
    for row in parallel:
        assert row.anchor in row.texts and len(row.texts) > 1 and {*row.texts} <= {context.pivot, *context.languages}
        assert all(text.strip() for text in list_texts(row))
        assert len({*list_texts(row)}) == len(row.texts), "a text that is its own translation teaches nothing"
    if isinstance(plan.objective, Align) and plan.rows:
        check_terms(plan, plan.objective)
    for row in (row for row in plan.rows if not isinstance(row, Parallel)):
        assert row.messages[-1]["role"] == "user"
        assert all(message["content"].strip() for message in row.messages)
        answers = [row.chosen, row.rejected] if isinstance(row, Preference) else [row.response]
        assert all(answer.strip() for answer in answers)
        assert len(set(answers)) == len(answers), "a pair of equal answers teaches nothing"
    kinds = {row.kind for row in plan.rows}
    assert not plan.phases or sorted(kind for phase in plan.phases for kind in phase) == sorted(kinds)
    if plan.rows or isinstance(plan.edit, Mask):
        check_parts(plan)
    assert all(np.isfinite(array).all() for array in plan.arrays.values())
    for reason, count in plan.drops.items():
        assert re.fullmatch(r"[a-zA-Z-]+/[a-z_]+: \S.*", reason), "language/kind: reason"
        assert count > 0
    assert dump(plan)


def check_terms(plan: Plan, objective: Align) -> None:
    assert objective.terms, "no terms would train nothing"
    named = [name for term in objective.terms for name in (term.basis, *term.directions.values()) if name]
    assert {*named} <= {*plan.arrays}
    for term in objective.terms:
        assert term.weight > 0
        if term.basis:
            basis = plan.arrays[term.basis]
            assert len(basis) == len(term.layers)
            assert all(np.allclose(one.T @ one, np.eye(one.shape[1]), atol=1e-4) for one in basis), "orthonormal columns"
    for array in plan.arrays.values():
        assert array.dtype == np.float32 and np.isfinite(array).all()


@pytest.mark.parametrize("budget", [60, None])
@pytest.mark.parametrize("name", names())
def test_contract(name: str, budget: int | None) -> None:
    context = FakeContext(budget=budget)
    plan = load_default(name).prepare(context)
    check(plan, context)
    assert plan.rows or plan.profile or plan.policy or plan.edit or plan.steer
    assert load_default(name).prepare(FakeContext(budget=budget)) == plan, "same options, same context, same rows"
    chats = [chat for row in plan.rows for chat in (row.texts.values() if isinstance(row, Parallel) else [row.messages])]
    turns = [message["role"] for chat in chats if not isinstance(chat, str) for message in chat]
    assert ("system" in turns) <= find_method(name).system_turn
    assert {layer for term in getattr(plan.objective, "terms", ()) for layer in term.layers} <= {*load_default(name).states}
    again = load_default(name).prepare(FakeContext(budget=budget)).arrays
    assert again.keys() == plan.arrays.keys() and all(np.array_equal(again[key], plan.arrays[key]) for key in again)
    assert bool(plan.rows) == find_method(name).trains
    assert bool(plan.parts) == find_method(name).combines
    assert isinstance(plan.edit, Mask) == find_method(name).masks
    assert {*getattr(plan.edit, "layers", ())} == {*load_default(name).blocks}
    assert plan.module == load_default(name).module
    assert plan.where == load_default(name).where, "what is checked against the base is what is trained"


def test_no_plan_depends_on_the_order_of_sets() -> None:
    code = "import test_contract as t\nfor name in t.names(): print(name, t.dump(t.load_default(name).prepare(t.FakeContext())))"
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder.parent / "support"), os.environ.get("PYTHONPATH", "")])
    texts = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert texts[0].stdout == texts[1].stdout


@pytest.mark.parametrize("name", names())
def test_options(name: str) -> None:
    method = find_method(name)
    assert issubclass(method, Method)
    assert set(read_defaults(method)) == set(method.Options.model_fields), "the YAML file gives every option"
    with pytest.raises(UserError, match=f"method {name}: unknown key 'no_such_option'"):
        load(name, {"no_such_option": 1})
    with pytest.raises(UserError, match=f"method {name}: "):
        load(name, dict.fromkeys(method.Options.model_fields, object()))


@pytest.mark.parametrize("name", names())
def test_a_head_says_what_of_its_paper_is_there_differs_or_is_missing(name: str) -> None:
    head = import_module(find_method(name).__module__).__doc__ or ""
    order = [head.find(word) for word in ("Source: ", "As in the paper", "Different: ", "Missing: ")]
    assert -1 not in order
    assert order == sorted(order)


class SilentModel(FakeContext):
    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return [Answer("", 1, True) for _ in chats]


class SilentTranslator(FakeContext):
    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [None for _ in texts]


class FaultyTranslator(FakeContext):
    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        return [text if number % 2 else None for number, text in enumerate(super().translate(texts, source, target))]


class DoubledIds(FakeContext):
    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return [{**row, "id": str(number // 2)} for number, row in enumerate(super().read(corpus, lang))]


class EmptyTexts(FakeContext):
    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return [{**row, **{key: "" for key in row if key != "id"}} for row in super().read(corpus, lang)]


class NoRows(FakeContext):
    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        return []


@pytest.mark.parametrize("world", [SilentModel, SilentTranslator, FaultyTranslator, DoubledIds, EmptyTexts, NoRows])
@pytest.mark.parametrize("name", names())
def test_a_bad_world_ends_in_an_error_for_users_or_in_counted_drops(name: str, world: type[FakeContext]) -> None:
    context = world()
    try:
        plan = load_default(name).prepare(context)
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) > 20
    else:
        check(plan, context)


class NoTranslator(FakeContext):
    def require_translator(self, source: str, target: str) -> None:
        raise UserError(f"translators: none for {source}-{target}")

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        pytest.fail("nothing is translated before every translator is found")

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        pytest.fail("nothing is generated before every translator is found")


@pytest.mark.parametrize(
    ("name", "options", "pair"),
    [
        ("dpo_self_improvement", {}, "en-es"),
        ("sft_on_chosen", {}, "en-es"),
        ("preference_gap", {}, "en-es"),
        ("self_distillation", {}, "en-es"),
        ("translate_then_sft", {}, "en-es"),
        ("pivot_language", {"answers": "self"}, "en-es"),
        ("linguistically_diverse_prompts", {"translations": "translator"}, "es-en"),
        ("multilingual_reasoning", {}, "en-es"),
        ("alignment_preference", {}, "es-en"),
        ("query_policy", {}, "en-es"),
    ],
)
def test_a_missing_translator_is_found_before_any_work(name: str, options: dict[str, Any], pair: str) -> None:
    with pytest.raises(UserError, match=f"translators: none for {pair}"):
        load(name, options).prepare(NoTranslator())


CONTROLS: dict[str, dict[str, Any]] = {
    "encoder_merge": {"zeroed": True}, "inference_intervention": {"random": True}, "knowledge_alignment": {"shuffled": True},
    "language_neurons": {"random": True}, "layer_swap": {"uniform": True}, "pivot_only": {}, "preference_gap": {"shuffled": True},
    "query_policy": {"choose": "static"}, "representation_alignment": {"shuffled": True}, "sft_on_chosen": {},
    "subspace_alignment": {"shuffled": True}, "task_arithmetic": {"uniform": True}, "translate_then_sft": {},
    "translation_pruning": {"random": True},
}  # fmt: skip
"""Each method that is a control, or has an option that makes it one."""


@pytest.mark.parametrize("name", names())
def test_what_leaves_out_its_idea_is_a_control(name: str) -> None:
    assert load_default(name).is_control == (CONTROLS.get(name) == {})
    if options := CONTROLS.get(name):
        assert load(name, options).is_control
    flags = {"random", "shuffled", "uniform", "zeroed"} & {*load_default(name).options.model_dump()}
    assert flags <= {*CONTROLS.get(name, {})}, "an option that leaves out the idea makes a control"


def test_unknown_method_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'cross_lingual'"):
        load("cross_lingaul", {})


def test_shares_of_the_budget() -> None:
    plan = prepare({"pivot_instructions": 0.2, "target_instructions": 0.3, "translation": 0.5})
    # 60 rows: 12 English, 9 for each target language, 15 pairs for each.
    assert Counter((row.kind, row.lang) for row in plan.rows) == {
        ("pivot_instructions", "en"): 12, ("target_instructions", "es"): 9, ("target_instructions", "sw"): 9,
        ("translation", "es"): 15, ("translation", "sw"): 15,
    }  # fmt: skip


@pytest.mark.parametrize(("direction", "answers"), [("from_pivot", {"es"}), ("to_pivot", {"en"}), ("both", {"en", "es"})])
def test_direction_of_translation(direction: str, answers: set[str]) -> None:
    plan = prepare(
        {"pivot_instructions": 0, "target_instructions": 0, "translation": 1, "direction": direction}, languages=("es",), budget=20
    )
    assert {row.lang for row in plan.rows} == answers
    for row in plan.rows:
        number = row.id.rsplit("-", 1)[1]
        source = TEXT["es"] if row.lang == "en" else TEXT["en"]
        assert f"{source} {number}" in row.messages[0]["content"]
        assert row.response == f"{TEXT[row.lang]} {number}"
        assert ("Spanish" if row.lang == "es" else "English") in row.messages[0]["content"]


class Published(FakeContext):
    """Each corpus has the languages that are published, and no others."""

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        known = ("en", "fr", "zh") if corpus == "alpaca" else CORPORA[corpus].languages
        if known and lang not in known:
            raise LanguageMissingError(f"corpus {corpus} has no {lang!r}")
        return super().read(corpus, lang)


def test_cross_lingual_with_its_defaults_works_for_every_language() -> None:
    method = load("cross_lingual", {})
    for lang in languages():
        if lang != "en":
            plan = method.prepare(Published((lang,), 6))
            assert Counter(row.kind for row in plan.rows) == {"pivot_instructions": 2, "target_instructions": 2, "translation": 2}, lang
            translated = [row.response.endswith(f"[{lang}]") for row in plan.rows if row.kind == "target_instructions"]  # type: ignore[union-attr]
            assert all(translated) == (lang not in ("fr", "zh")), "French and Chinese alone have instructions of their own"
            assert plan.facts["translated_instructions"] == ([lang] if all(translated) else [])


def test_cross_lingual_translates_all_or_nothing_where_asked_to() -> None:
    options = {"pivot_instructions": 0, "target_instructions": 1, "translation": 0, "spare": 1.5}
    context = Published(("zh",), 10)
    plan = load("cross_lingual", {**options, "translated": "always"}).prepare(context)
    assert len(plan.rows) == 10
    assert len(context.translated) == 30, "15 questions and 15 answers for 10 rows"
    with pytest.raises(LanguageMissingError, match="corpus alpaca has no 'es'"):
        load("cross_lingual", {**options, "translated": "never"}).prepare(Published(("es",), 10))


def test_the_suite_of_the_readme_runs_as_it_is_written() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    suite = read_suite(yaml.safe_load(text.split("```yaml\n# my-suite.yaml\n")[1].split("```")[0]), "README.md")
    check_suite(suite)
    assert suite.languages.train == ("es", "sw")
    for label, chosen in suite.methods.items():
        context = Published(suite.trained(label), None)
        check(load(chosen.method, chosen.options).prepare(context), context)


def test_what_a_small_corpus_lacks_is_counted_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    plan = prepare({"pivot_instructions": 1, "target_instructions": 0, "translation": 0}, budget=50)
    assert len(plan.rows) == 40
    assert plan.drops == {"en/pivot_instructions: corpus too small": 10}
    assert caplog.messages == ["en/pivot_instructions: 40 of 50 rows (80 %): all that could be had"]


@pytest.mark.parametrize(
    ("english", "other", "reason"),
    [("", "x", "empty"), ("same", "Same", "not translated"), ("a" * 100, "b" * 20, "length ratio"), ("a" * 900, "b" * 900, "too long")],
)
def test_bad_pairs_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch, english: str, other: str, reason: str) -> None:
    rows = [{"id": "0", "en": english, "text": other}, {"id": "1", "en": "good", "text": "bueno"}]
    monkeypatch.setattr(FakeContext, "read", lambda self, corpus, lang: rows)
    plan = prepare({"pivot_instructions": 0, "target_instructions": 0, "translation": 1}, languages=("es",), budget=2)
    assert [row.response for row in plan.rows] == ["bueno"]
    assert plan.drops == {f"es/translation: {reason}": 1, "es/translation: corpus too small": 1}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"translation": 0.5}, "add up to 1.167"),
        ({"direction": "sideways"}, "direction"),
        ({"translation": 1.5}, "less than or equal to 1"),
        ({"shares": {}}, "unknown key 'shares'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        prepare(options)


def test_a_part_without_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeContext, "read", lambda self, corpus, lang: [])
    with pytest.raises(UserError, match="en/pivot_instructions: there are no usable rows"):
        prepare({})
