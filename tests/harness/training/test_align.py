"""Terms on hidden states in the trainer: each by hand, the loss of a step, the reference, and what is refused."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from preference_training import SETTINGS, make_pairs
from safetensors.torch import load_file

from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Example, Parallel, ask
from xlift.harness.engines.states import read_states
from xlift.harness.plugin import Align, Plan, Term, Where
from xlift.harness.training.align import HiddenTrainer, Sides, contrast, measure_term, project
from xlift.harness.training.batching import Corpus, encode
from xlift.harness.training.report import FitReport
from xlift.harness.training.trainer import fit

CONTRAST = Align((Term("contrastive", (0.5,)),), batch=4)


def make_rows(count: int = 16) -> tuple[Parallel, ...]:
    texts = [(f"the bird {n} sings", f"{n} canta el ave {'muy ' * (n % 3)}bien") for n in range(count)]
    return tuple(Parallel({"es": es, "en": en}, "en", f"p{n}", "test") for n, (en, es) in enumerate(texts))


def train(base: Path, stage: Path, objective: Align = CONTRAST, rows: Sequence[Any] | None = None, **changed: Any) -> FitReport:
    given = {name: changed.pop(name) for name in ("where", "arrays", "phases") if name in changed}
    plan = Plan(tuple(rows or make_rows()), objective, **given)
    settings = TrainSettings(**{**SETTINGS, "batch_tokens": 400, "micro_batch_tokens": 800, **changed})
    return fit(base, plan, settings, stage / "adapter", seed=0, provenance={"base": {"name": "org/tiny"}})


def test_contrast_by_hand() -> None:
    axes, apart = torch.eye(2), torch.zeros(2, 2, dtype=torch.bool)
    # cosines 1 with the own translation and 0 with the other: log(1 + e^-1); at temperature 0.5 log(1 + e^-2)
    assert contrast(axes, axes * 7, apart, 1.0, False).tolist() == pytest.approx([0.313262] * 2, abs=1e-6)
    assert contrast(axes, axes, apart, 0.5, False).tolist() == pytest.approx([0.126928] * 2, abs=1e-6)
    # both texts have the first axis as translation: the first sees 1 and 1, the second 0 and 0, so log 2 for each; back from them
    # the first sees 1 and 0, the second 1 for the other and 0 for its own: log(1 + e^-1) and log(1 + e)
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert contrast(axes, same, apart, 1.0, False).tolist() == pytest.approx([0.693147] * 2, abs=1e-6)
    both = [(0.693147 + 0.313262) / 2, (0.693147 + 1.313262) / 2]
    both = [(0.693147 + 0.313262) / 2, (0.693147 + 1.313262) / 2]
    assert contrast(axes, same, apart, 1.0, True).tolist() == pytest.approx(both, abs=1e-6)
    # pairs that share a text are no counter-examples
    assert contrast(axes, axes, torch.ones(2, 2, dtype=torch.bool), 1.0, True).tolist() == [0, 0]


def test_gradients_by_hand() -> None:
    anchors = torch.eye(2, requires_grad=True)
    contrast(anchors, torch.eye(2), torch.zeros(2, 2, dtype=torch.bool), 1.0, False)[0].backward()
    # the other translation's share of the softmax, 1 / (1 + e), pushes at right angles; along itself a cosine does not change
    assert anchors.grad is not None and anchors.grad[0].tolist() == pytest.approx([0, 1 / (1 + np.e)], abs=1e-6)
    others = torch.tensor([[1.0, 2.0]], requires_grad=True)
    measure_term(Term("mse", (1,)), 0, sides(torch.zeros(1, 2), others), {}).sum().backward()
    assert others.grad is not None and others.grad.tolist() == [[1, 2]], "2 x / 2 numbers"


def sides(anchors: torch.Tensor, others: torch.Tensor, /, **before: torch.Tensor) -> Sides:
    return Sides(anchors, others, torch.zeros(len(others), len(others), dtype=torch.bool), ("es",) * len(others), anchors, before)


def test_terms_by_hand() -> None:
    states, axis = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0], [0.0]])
    assert project(states, axis, False).tolist() == [[3, 0]] and project(states, axis, True).tolist() == [[0, 4]]
    zero, arrays = torch.zeros(1, 2), {"axis": axis[None], "move": torch.tensor([[3.0, 0.0]])}
    assert measure_term(Term("mse", (1,)), 0, sides(zero, states), arrays).tolist() == [12.5], "(9 + 16) / 2"
    assert measure_term(Term("mse", (1,), basis="axis"), 0, sides(zero, states), arrays).tolist() == [4.5]
    assert measure_term(Term("mse", (1,), basis="axis", complement=True), 0, sides(zero, states), arrays).tolist() == [8]
    kept = sides(states, states, kept=torch.tensor([[3.0, 2.0]]))
    assert measure_term(Term("keep", (1,)), 0, kept, arrays).tolist() == [2], "(0 + 4) / 2"
    # moved by (1, 4), of which the axis has (1, 0); it was to be (3, 0): 4 / 2
    offset = Term("offset", (1,), basis="axis", directions={"es": "move"})
    assert measure_term(offset, 0, sides(zero, states, others=torch.tensor([[2.0, 0.0]])), arrays).tolist() == [2]


def load_model(base: Path, adapter: Path | None = None) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    return PeftModel.from_pretrained(model, adapter).merge_and_unload() if adapter else model


def read_corpus(base: Path, rows: Sequence[Any]) -> Corpus:
    from transformers import AutoTokenizer

    return encode(rows, AutoTokenizer.from_pretrained(base), 96)


def read_plainly(model: Any, corpus: Corpus, layer: int, pool: str) -> torch.Tensor:
    """States (rows, 2, hidden) of anchors and others, each text by itself."""
    found = torch.cat([read_states(model, [sequence.tokens], [layer], pool, 1) for sequence in corpus.sequences])
    return found.view(corpus.rows, 2, -1)


def test_the_loss_of_a_step_is_that_of_all_states(tiny_base: Path, tmp_path: Path) -> None:
    rows = make_rows(8)
    corpus, model = read_corpus(tiny_base, rows), load_model(tiny_base)
    arrays = {"basis": np.linalg.qr(np.random.default_rng(0).normal(size=(32, 2)))[0].astype(np.float32)[None]}
    arrays["move"] = np.full((1, 32), 0.5, dtype=np.float32)
    terms = (
        Term("contrastive", (1,), "mean", 2.0, temperature=0.2, symmetric=True),
        Term("mse", (1, -1), "last", 0.5),
        Term("offset", (-1,), "last", 3.0, basis="basis", directions={"es": "move"}),
    )
    report = train(tiny_base, tmp_path, Align(terms, batch=8), rows, batch_tokens=5000, micro_batch_tokens=5000, arrays=arrays)
    middle, (one, two) = read_plainly(model, corpus, 1, "mean"), (read_plainly(model, corpus, layer, "last") for layer in (1, 2))
    none = torch.zeros(8, 8, dtype=torch.bool)
    expected = 2 * contrast(middle[:, 0], middle[:, 1], none, 0.2, True).mean()
    expected += 0.5 * sum((states[:, 1] - states[:, 0]).square().mean() for states in (one, two)) / 2
    expected += 3 * 0.25  # nothing has moved: each of 32 numbers is 0.5 off
    assert report.steps == 1 and report.curve[0][2] == pytest.approx(float(expected), abs=1e-4)
    assert sum(first for first, _ in report.terms.values()) == pytest.approx(report.curve[0][2], abs=1e-4)
    assert list(report.terms) == ["1 contrastive", "2 mse", "3 offset"]


@pytest.mark.parametrize("batch", [2, 8])
def test_passes_change_nothing_where_nothing_is_contrasted(batch: int, tiny_base: Path, tmp_path: Path) -> None:
    terms = (Term("mse", (-1,), "last"), Term("keep", (1,)))
    found = [train(tiny_base, tmp_path / str(size), Align(terms, batch=size)) for size in (batch, 16)]
    assert [point[2] for point in found[0].curve] == pytest.approx([point[2] for point in found[1].curve], abs=1e-5)


@pytest.mark.parametrize("term", [Term("contrastive", (0.5,)), Term("mse", (-1,), "last", basis="axis"), Term("mse", (1,))])
def test_every_term_learns(term: Term, tiny_base: Path, tmp_path: Path) -> None:
    axis = {"axis": np.eye(32, 1, dtype=np.float32)[None]}
    report = train(tiny_base, tmp_path, Align((term,), batch=8), epochs=12, arrays=axis)
    first, last = report.terms[f"1 {term.name}"]
    assert last < 0.8 * first
    assert report.tokens_trained == 12 * sum(read_corpus(tiny_base, make_rows()).lengths), "every language's side counts"
    assert report.response_tokens == 0 and report.rows == 16


def test_contrast_makes_translations_the_nearest(tiny_base: Path, tmp_path: Path) -> None:
    train(tiny_base, tmp_path, epochs=20)
    corpus = read_corpus(tiny_base, make_rows())

    def count_hits(adapter: Path | None) -> int:
        states = torch.nn.functional.normalize(read_plainly(load_model(tiny_base, adapter), corpus, 1, "mean"), dim=-1)
        return int(((states[:, 0] @ states[:, 1].T).argmax(dim=1) == torch.arange(16)).sum())

    assert count_hits(None) < 8 < count_hits(tmp_path / "adapter")


def test_offset_moves_a_language_and_keep_holds_the_anchor(tiny_base: Path, tmp_path: Path) -> None:
    move = np.zeros((1, 32), dtype=np.float32)
    move[0, :4] = 1.0
    terms = (Term("keep", (-1,), "mean"), Term("offset", (-1,), "last", 2.0, directions={"es": "move"}))
    train(tiny_base, tmp_path, Align(terms, batch=8), epochs=20, arrays={"move": move}, where=Where((-1,)))
    corpus = read_corpus(tiny_base, make_rows())
    before, after = (read_plainly(load_model(tiny_base, adapter), corpus, 2, "last") for adapter in (None, tmp_path / "adapter"))
    moved = (after - before).mean(dim=0)
    assert float(moved[1, :4].mean()) > 0.3 and float(moved[1, :4].mean()) > 3 * float(moved[0].abs().mean())
    names = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert names and all(".layers.1." in name for name in names)


EXAMPLES = tuple(Example(ask(f"say {number}"), "word " * 6, "en", f"e{number}", "task") for number in range(16))


def test_answers_beside_states_take_turns_or_are_added_up(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, collate = [], HiddenTrainer._collate

    def spy(trainer: HiddenTrainer, steps: Any) -> Any:
        found = collate(trainer, steps)
        held.append({"answers" if "answers" in one else "states" for one in found["passes"]})
        return found

    monkeypatch.setattr(HiddenTrainer, "_collate", spy)
    for alternate, expected in ((True, [{"answers"}, {"states"}] * 3), (False, [{"answers", "states"}] * 6)):
        held.clear()
        objective = Align(CONTRAST.terms, batch=4, sft_weight=1.5, alternate=alternate)
        report = train(tiny_base, tmp_path / str(alternate), objective, (*make_rows(), *EXAMPLES), tokens=2400)
        assert held[:6] == expected and report.steps == 6
        # both sorts end within a row of their share of the budget
        assert 2400 <= report.tokens_trained < 2400 + 2 * 96
        assert set(report.terms) == {"answers", "1 contrastive"} and report.response_tokens > 0
        assert report.terms["answers"][1] < report.terms["answers"][0]


def test_an_unshaken_reference_is_sealed_and_used_again(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = Align((Term("keep", (-1,)), Term("mse", (1,))), batch=8)
    whole = train(tiny_base, tmp_path / "whole", objective)
    with monkeypatch.context() as patched:
        patched.setattr(HiddenTrainer, "train", lambda *_, **named: sys.exit("killed"))
        with pytest.raises(SystemExit, match="killed"):
            train(tiny_base, tmp_path / "other", objective)
    with monkeypatch.context() as patched:
        patched.setattr(HiddenTrainer, "_read_all", lambda *_: pytest.fail("the reference was computed again"))
        resumed = train(tiny_base, tmp_path / "other", objective)
    assert resumed.curve == whole.curve
    weights = [(tmp_path / name / "adapter" / "adapter_model.safetensors").read_bytes() for name in ("whole", "other")]
    assert weights[0] == weights[1]


def test_passes_hold_whole_rows_of_a_step_however_many_languages(tiny_base: Path, tmp_path: Path) -> None:
    rows = [
        Parallel({"en": f"one {n}", "es": f"uno {n}", **({"sw": f"moja {n}"} if n % 2 else {})}, "en", f"g{n}", "test") for n in range(9)
    ]
    corpus = read_corpus(tiny_base, rows)
    assert corpus.sides == (2, 3) * 4 + (2,) and [one.lang for one in corpus.sequences[2:5]] == ["en", "es", "sw"]
    report = train(tiny_base, tmp_path, CONTRAST, rows, epochs=40)
    assert report.rows == 9 and report.terms["1 contrastive"][1] < report.terms["1 contrastive"][0]


@pytest.mark.parametrize(
    ("rows", "changed", "says"),
    [
        (make_pairs(2), {}, "row 'p0' is a preference, but the objective Align trains on Parallel and Example rows"),
        (EXAMPLES, {}, "there are no parallel rows, on whose states the objective Align is"),
        (
            make_rows(),
            {"objective": Align((Term("keep", (-1,)),))},
            "the terms of Align only keep what is there, so nothing would be",
        ),
        (make_rows(), {"objective": Align()}, "the terms of Align only keep what is there"),
        ([Parallel({"es": "a"}, "en", "x", "test")], {}, "row 'x': has texts in es, and needs 'en' and another language"),
        ([*make_rows(), *EXAMPLES], {"phases": (("test",), ("task",))}, "phases: parallel rows and examples are in every step together"),
        (make_rows(), {"batch_tokens": 64}, "a step holds a single parallel row, whose texts have nothing to be contrasted with; raise it"),
        (make_rows(), {"micro_batch_tokens": 120}, "4 rows whose texts are contrasted take .* tokens, train.micro_batch_tokens is 120"),
        (make_rows(), {"max_length": 16}, "train.max_length 16: none of 16 rows can be trained on, all are longer in some language"),
        (make_rows(), {"objective": Align((Term("mse", (3,)),))}, "layer 3: the base has states 0 to 2"),
    ],
)
def test_what_cannot_be_aligned_is_refused(rows: Any, changed: dict[str, Any], says: str, tiny_base: Path, tmp_path: Path) -> None:
    objective = changed.pop("objective", CONTRAST)
    with pytest.raises(UserError, match=says):
        train(tiny_base, tmp_path, objective, rows, **changed)
