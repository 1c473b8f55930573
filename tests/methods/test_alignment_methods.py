"""What the methods on hidden states promise: representation_alignment, subspace_alignment, knowledge_alignment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from fakes import FakeContext

from xlift.harness.plugin import Align, Example, Parallel, Plan, UserError, Where, load
from xlift.methods.subspace_alignment import find_spaces


def prepare(name: str, context: FakeContext | None = None, **options: Any) -> Plan:
    return load(name, options).prepare(context or FakeContext())


def objective_of(plan: Plan) -> Align:
    assert isinstance(plan.objective, Align)
    return plan.objective


def number_of(text: Any) -> str:
    """Of the fake corpora's sentence, which is the same in all languages."""
    words: str = text if isinstance(text, str) else text[-1]["content"]
    return words.rstrip("?").split()[-1]


@pytest.mark.parametrize("name", ["representation_alignment", "subspace_alignment"])
def test_texts_stand_beside_their_translations_and_in_the_control_beside_others(name: str) -> None:
    plan, control = prepare(name), prepare(name, shuffled=True)
    pairs = [row for row in plan.rows if isinstance(row, Parallel)]
    assert pairs and all(number_of(row.texts["en"]) == number_of(row.texts[row.lang]) for row in pairs)
    mixed = [row for row in control.rows if isinstance(row, Parallel)]
    assert all(number_of(row.texts["en"]) != number_of(row.texts[row.lang]) for row in mixed)
    for lang in ("es", "sw"):
        said = [Counter(str(row.texts[lang]) for row in rows if row.lang == lang) for rows in (pairs, mixed)]
        assert said[0] == said[1], "the same texts in both"
    assert [row.id for row in plan.rows] == [row.id for row in control.rows]


def test_representation_alignment_shares_its_budget() -> None:
    plan = prepare("representation_alignment", parallel=0.7, task=0.3)
    assert Counter((row.kind, row.lang) for row in plan.rows) == {("parallel", "es"): 21, ("parallel", "sw"): 21, ("task", "en"): 18}
    assert [type(row) for row in plan.rows].count(Example) == 18
    (term,) = objective_of(plan).terms
    assert (term.name, term.layers, term.pool, term.temperature, term.symmetric) == ("contrastive", (0.5,), "mean", 0.1, False)
    assert objective_of(plan).alternate
    afp = prepare("representation_alignment", layer=1, pool="last", temperature=0.05, alternate=False, task_weight=1.5)
    (term,) = objective_of(afp).terms
    assert (term.layers, term.pool, objective_of(afp).sft_weight, objective_of(afp).alternate) == ((1,), "last", 1.5, False)
    assert load("representation_alignment", {"layer": -1}).states == (-1,)
    with pytest.raises(UserError, match="30 parallel rows are fewer than the 31 that are contrasted with each other; lower batch, or"):
        prepare("representation_alignment", batch=31)


def test_spaces_by_hand() -> None:
    # two languages in three dimensions: the line through (1, 0, 1) and (0, 1, 1) is nearest to 0 at (0.5, 0.5, 1)
    means = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    shared, specific = find_spaces(means, 1)
    assert shared[:, 0].tolist() == pytest.approx(list(np.array([0.5, 0.5, 1.0]) / np.sqrt(1.5)))
    assert np.abs(specific[:, 0]).tolist() == pytest.approx([np.sqrt(0.5), np.sqrt(0.5), 0], abs=1e-6)
    for rank in (0, 2):
        with pytest.raises(UserError, match=f"rank {rank}: 2 languages with the pivot have from 1 to 1 dimensions of their own"):
            find_spaces(means, rank)


def test_the_published_shared_direction_knows_no_language() -> None:
    """The finding in the head of subspace_alignment: with one dimension less than languages no mean differs from another on c."""
    means = np.random.default_rng(3).normal(size=(5, 40)) + np.arange(5)[:, None]
    shared, specific = find_spaces(means, 4)
    assert np.ptp(means @ shared) < 1e-5 * np.abs(means @ shared).max()
    assert np.abs(specific.T @ shared).max() < 1e-6
    outside = means - means @ specific @ specific.T
    assert np.abs(outside - outside[0]).max() < 1e-5, "and nothing outside the specific space tells them apart either"
    _, smaller = find_spaces(means, 2)
    outside = means - means @ smaller @ smaller.T
    assert np.abs(outside - outside[0]).max() > 0.1, "but with fewer dimensions the complement does"


def test_subspace_alignment_builds_its_terms() -> None:
    context = FakeContext()
    plan = prepare("subspace_alignment", context, probed=30, step=2.0, keep=0.5)
    assert context.read_by == 3 * 30 and plan.where == Where((-2, -1))
    keep, offset, align = objective_of(plan).terms
    # a term is a mean over two languages, the code adds them up
    assert [(term.name, term.weight, term.pool) for term in (keep, offset, align)] == [
        ("keep", 0.5, "mean"), ("offset", 2.0, "last"), ("mse", 2.0, "last"),
    ]  # fmt: skip
    assert (offset.basis, align.basis, align.complement) == ("specific", "shared", False)
    assert dict(offset.directions) == {"es": "direction es", "sw": "direction sw"}
    specific = plan.arrays["specific"][0]
    assert plan.arrays["specific"].shape == (1, 6, 2) and np.allclose(specific.T @ specific, np.eye(2), atol=1e-6)
    once = prepare("subspace_alignment", probed=30).arrays["direction es"]
    assert np.allclose(plan.arrays["direction es"], 2 * once, atol=1e-5) and np.abs(once).max() > 0.1
    repaired = objective_of(prepare("subspace_alignment", shared="complement", rank=1)).terms[2]
    assert (repaired.basis, repaired.complement) == ("specific", True)
    with pytest.raises(UserError, match="separate and align are both 0"):
        prepare("subspace_alignment", separate=0, align=0)
    with pytest.raises(UserError, match="rank 3: 3 languages with the pivot have from 1 to 2"):
        prepare("subspace_alignment", rank=3)
    assert [term.name for term in objective_of(prepare("subspace_alignment", keep=0, align=0)).terms] == ["offset"]


NAMES = {"es": ("Londres", "Música rock", "Rocas"), "en": ("London", "Rock music", "Rocks")}


class Facts(FakeContext):
    """Three entities with names in English and Spanish, and facts about ten heads whose objects they are, or an unknown one."""

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus == "entities":
            return [{"id": f"e-{n}", "en": en, "text": es} for n, (en, es) in enumerate(zip(NAMES["en"], NAMES["es"], strict=True))]
        tails = [*NAMES[lang], "nobody"]
        return [{"id": f"t-{n}", "head": f"H{n}", "relation": "recordLabel", "tail": tails[n % 4]} for n in range(40)]


def test_knowledge_alignment_pairs_names_and_facts() -> None:
    plan = prepare("knowledge_alignment", Facts(("es",), 20), entities=0.15, triples=0.85)
    assert Counter(row.kind for row in plan.rows) == {"entities": 3, "triples": 17}
    rows = [row for row in plan.rows if isinstance(row, Parallel)]
    known = dict(zip(NAMES["en"], NAMES["es"], strict=True))
    for row in rows:
        if row.kind == "entities":
            assert row.anchor == "en" and known[str(row.texts["en"])] == row.texts["es"]
            continue
        answered = "es" if row.anchor == "en" else "en"
        head, relation = str(row.texts[row.anchor]).split(", ")
        number = int(head.removeprefix("H"))
        assert relation == "record label" and row.texts[answered] == NAMES[answered][number % 4]
    assert Counter(row.anchor for row in rows if row.kind == "triples") == {"en": 9, "es": 8}
    assert plan.drops["es/triples: object without a name in both languages"] > 0
    assert len({row.id for row in plan.rows}) == 20
    shuffled = prepare("knowledge_alignment", Facts(("es",), 20), entities=0.15, triples=0.85, shuffled=True)
    wrong = [row for row in shuffled.rows if isinstance(row, Parallel) and row.kind == "entities"]
    assert all(known[str(row.texts["en"])] != row.texts["es"] for row in wrong)


def test_a_corpus_of_facts_without_names_is_refused() -> None:
    class Unnamed(Facts):
        def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
            return [{**row, "tail": "nobody"} if "tail" in row else row for row in super().read(corpus, lang)]

    with pytest.raises(UserError, match="triples: no object in 'en' has a name in 'es'; set triples to 0"):
        prepare("knowledge_alignment", Unnamed(("es",), 20), entities=0, triples=1)
