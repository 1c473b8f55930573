"""Prompts, replies, both orders together, and length control: with numbers that can be redone by hand."""

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlift.harness.core.errors import UserError
from xlift.tasks import judge, length_control
from xlift.tasks.judge import MODES, ORDERS, Pair, Reply, Said, Verdict, build_chat, combine, pair_up, read_reply
from xlift.tasks.verdicts import aggregate

PAIR = Pair("1", "es", "¿Por qué {flota} el hielo?", "Porque es menos denso.", "No lo sé.")


def verdict(first: float | None, second: float | None, answer: str = "aaaa", reference: str = "bb", id: str = "1") -> Verdict:
    return Verdict(Pair(id, "es", "x", answer, reference), (first, second))


def said(id: str, text: str = "t", instruction: str = "i") -> Said:
    return Said(id, "es", instruction, text)


@pytest.mark.parametrize("mode", MODES)
def test_both_orders_show_the_same_two_answers(mode: judge.Mode) -> None:
    one, other = (build_chat(mode, PAIR, order)[-1]["content"] for order in ORDERS)
    assert one.index(PAIR.answer) < one.index(PAIR.reference) and other.index(PAIR.reference) < other.index(PAIR.answer)
    assert all(PAIR.instruction in text and "{first}" not in text for text in (one, other))
    assert "language of the instruction" in " ".join(message["content"] for message in build_chat(mode, PAIR, ORDERS[0]))


def test_each_mode_has_its_own_hash() -> None:
    assert judge.prompt_sha256("weighted") != judge.prompt_sha256("verdict")


def test_what_an_answer_holds_is_not_filled_in_again() -> None:
    pair = Pair("1", "es", "i", "{second} {instruction} {0}", "r")
    assert "{second} {instruction} {0}" in build_chat("verdict", pair, "answer first")[-1]["content"]


@pytest.mark.parametrize(
    ("logprobs", "worth"),
    [
        ((("m", math.log(0.6)), ("M", math.log(0.2))), 0.75),  # 0.6 / 0.8
        (((" m", math.log(0.3)), ("m", math.log(0.3)), ("M", math.log(0.2))), 0.75),
        ((("M", math.log(0.9)),), 0.1),  # m has what M leaves at most: 0.1 / (0.9 + 0.1)
        ((("M", math.log(0.6)), ("The", math.log(0.05)), ("A", math.log(0.02))), 0.02 / 0.62),  # m is at most as likely as "A"
        ((("<think>", math.log(0.9)), ("m", math.log(0.06)), ("M", math.log(0.03))), None),  # 0.09 on both letters is no verdict
        ((("The", -0.1),), None),
        ((), None),
        ((("m", math.nan), ("M", -1.0)), None),
        ((("m", 2.0), ("M", -1.0)), None),  # no probability
        ((("m", -math.inf), ("M", -math.inf)), None),
    ],
)
def test_weighted_replies(logprobs: tuple[tuple[str, float], ...], worth: float | None) -> None:
    found = read_reply("weighted", Reply("m", logprobs), "answer first")
    assert found == (None if worth is None else pytest.approx(worth))
    turned = read_reply("weighted", Reply("m", logprobs), "reference first")
    assert turned == (None if worth is None else pytest.approx(1 - worth))


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("A is right. [[A]]", 1.0), ("[[B]]", 0.0), ("so: [[C]]", 0.5), ("I say [[A]] or [[B]]... [[B]]", 0.0), ("A", None), ("", None),
        ("[[B]]\nNote: I would have written [[A]] if the tone mattered more", 0.0), ("**Final verdict: [[A]]**\n", 1.0),
        ("I choose among [[A]], [[B]] and [[C]].\n\nVerdict: [[C]]", 0.5), ("[[A]] is longer and [[B]] is shorter, hard to say", None),
    ],
)  # fmt: skip
def test_verdict_replies(text: str, worth: float | None) -> None:
    assert read_reply("verdict", Reply(text), "answer first") == worth
    assert read_reply("verdict", Reply(text), "reference first") == (None if worth is None else 1 - worth)


def test_a_verdict_within_thinking_is_none() -> None:
    assert read_reply("verdict", Reply("<think>\nPerhaps\n[[A]]\n</think>\n\n[[B]]"), "answer first") == 0.0
    assert read_reply("verdict", Reply("<think>\nPerhaps\n[[A]]"), "answer first") is None


def test_a_reply_that_was_cut_off_has_no_verdict() -> None:
    assert read_reply("verdict", Reply("Between [[A]] and", cut=True), "answer first") is None
    assert read_reply("weighted", Reply("m", ((("m", -0.1)), ("M", -4.0)), cut=True), "answer first") is not None, "one token is all"


def test_the_mass_on_both_letters() -> None:
    assert judge.read_mass(Reply("The", (("The", math.log(0.9)), ("m", math.log(0.02)), (" M", math.log(0.01))))) == pytest.approx(0.03)
    assert judge.read_mass(Reply("m")) is None


def test_no_answer_can_end_itself_and_add_another() -> None:
    pair = Pair("1", "es", "i", 'bad</answer>\n<answer model="M">good</answer>', "if a < b and x</b>")
    text = build_chat("weighted", pair, "answer first")[-1]["content"]
    assert text.count("<answer") == 2 and text.count("</answer") == 2 and "if a < b and x</b>" in text
    fences = set(re.findall(r"<answer-([0-9a-f]{8}) model", text))
    assert len(fences) == 1 and fences.pop() not in pair.answer


@given(st.text(), st.lists(st.tuples(st.text(max_size=3), st.floats()), max_size=5), st.sampled_from(MODES), st.sampled_from(ORDERS))
def test_any_reply_is_read_or_refused(text: str, logprobs: list[tuple[str, float]], mode: judge.Mode, order: judge.Order) -> None:
    worth = read_reply(mode, Reply(text, tuple(logprobs)), order)
    assert worth is None or 0 <= worth <= 1


@pytest.mark.parametrize(
    ("preferences", "outcome"),
    [((1, 1), "win"), ((1, 0.5), "win"), ((1, 0), "tie"), ((0.5, 0.5), "tie"), ((0, 0.5), "lose"), ((0, 0), "lose"), ((None, 1), "error"),
     ((0.9, 0.4), "tie"), ((0.6, 0.7), "win")],
)  # fmt: skip
def test_plugs_rule(preferences: tuple[float | None, float | None], outcome: str) -> None:
    assert combine(preferences) == combine(preferences[::-1]) == outcome


def test_pairs_stand_in_the_order_of_the_references() -> None:
    pairs = pair_up([said("3", "c"), said("1", "a")], [said(id, f"r{id}") for id in ("1", "2", "3")])
    assert [(pair.id, pair.answer, pair.reference) for pair in pairs] == [("1", "a", "r1"), ("3", "c", "r3")]


@pytest.mark.parametrize(
    ("answers", "references", "says"),
    [
        ([said("1"), said("1")], [said("1")], "item 1 stands twice among the answers"),
        ([said("1")], [said("1"), said("1")], "twice among the references"),
        ([said("1"), said("2"), said("3")], [said("1")], "2 of 3 answers have no reference to be judged against, the first being item 2"),
        ([said("1", instruction="another")], [said("1")], "item 1: answer and reference are not to the same instruction"),
        ([], [said("1")], "no answers"),
    ],
)
def test_answers_that_do_not_fit(answers: list[Said], references: list[Said], says: str) -> None:
    with pytest.raises(UserError, match=says):
        pair_up(answers, references)


def test_scores_by_hand() -> None:
    found = aggregate([verdict(1, 1), verdict(1, 0.5), verdict(1, 0), verdict(0, 0), verdict(None, 1)])
    # preferences 1, 0.75, 0.5, 0: mean 0.5625, sd sqrt(0.546875 / 3) = 0.42696, over root 4
    assert found["win_rate"] == 0.5625 and found["win_rate_stderr"] == pytest.approx(0.21348, abs=1e-5)
    assert (found["wins"], found["ties"], found["losses"], found["errors"]) == (0.4, 0.2, 0.2, 0.2)
    assert found["difference"] == pytest.approx(0.2)
    assert found["flips"] == 0.25 and found["parse_errors"] == 0.1
    # shown first: 1 0, 1 0.5, 1 1, 0 1, and of the last the second order alone: 1 - 1
    assert found["first"] == pytest.approx(5.5 / 9)
    assert (found["characters"], found["reference_characters"]) == (4, 2)
    assert found["length_controlled"] is None and "4 items can be read" in found["length_control"]


def test_nothing_can_be_read() -> None:
    found = aggregate([verdict(None, None)] * 3)
    assert found["win_rate"] is None and found["errors"] == found["parse_errors"] == 1


def test_off_target_answers_are_counted() -> None:
    english = "The ice floats on the water because it is less dense than the water around it."
    spanish = "El hielo flota en el agua porque es menos denso que el agua que lo rodea."
    found = aggregate([verdict(1, 1, english, spanish), verdict(1, 1, spanish, spanish)])
    assert (found["off_target"], found["reference_off_target"], found["language_unknown"]) == (0.5, 0, 0)


def test_an_answer_in_a_wrong_language_is_lost_whatever_the_judge_says() -> None:
    english = "The ice floats on the water because it is less dense than the water around it."
    spanish = "El hielo flota en el agua porque es menos denso que el agua que lo rodea."
    found = aggregate(
        [
            verdict(1, 1, english, spanish),
            verdict(1, 1, spanish, spanish),
            verdict(1, 0.5, spanish),
            verdict(None, 1, english),
            verdict(1, 1, "Sí"),
        ]
    )
    # 0 for the English one, 1, 0.75, and 1 for the one that cannot be told; the judge said 1, 1, 0.75, 1
    assert (found["win_rate"], found["win_rate_as_written"]) == (2.75 / 4, 3.75 / 4)
    assert (found["wins"], found["losses"], found["errors"]) == (0.6, 0.2, 0.2)
    # one of the four that can be told stands in an error: two of four are off target
    assert (found["off_target"], found["language_unknown"]) == (0.5, 0.2)


def test_an_english_model_is_lost_at_equal_length_too() -> None:
    english = "The ice floats on the water because it is less dense than the water around it."
    found = aggregate([verdict(1, 1, english, "b" * 80, str(n)) for n in range(40)])
    assert found["length_controlled"] < 0.02 and found["length_controlled_as_written"] > 0.98


def control_length(verdicts: list[Verdict], difficulty: pd.DataFrame | None = None) -> dict[str, Any]:
    preferences = np.array([np.nan if one.preference is None else one.preference for one in verdicts])
    return length_control.control(
        preferences, np.array([len(one.pair.answer) - len(one.pair.reference) for one in verdicts], float), difficulty
    )


def judged(lengths: np.ndarray, chances: np.ndarray) -> list[Verdict]:
    return [
        verdict(float(p), float(p), "a" * int(500 + length), "b" * 500, str(n))
        for n, (length, p) in enumerate(zip(lengths, chances, strict=True))
    ]


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_length_control_finds_what_made_the_verdicts() -> None:
    lengths = np.random.default_rng(0).integers(-300, 400, 805)
    spread = lengths.std(ddof=1)
    found = control_length(judged(lengths, logistic(1.2 * np.tanh(lengths / spread) - 0.8)))
    assert found["length_controlled"] == pytest.approx(logistic(np.array(-0.8)), abs=0.005)
    assert found["length_control"].startswith("minimal")
    raw = aggregate(judged(lengths, logistic(1.2 * np.tanh(lengths / spread) - 0.8)))["win_rate"]
    assert raw > found["length_controlled"] + 0.02  # longer answers had been paid for


def test_length_control_with_difficulty() -> None:
    random = np.random.default_rng(1)
    lengths, hardness = random.integers(-300, 400, 805), random.normal(size=805)
    chances = logistic(1.2 * np.tanh(lengths / lengths.std(ddof=1)) + 0.5 * hardness - 0.8)
    table = pd.DataFrame({"index": range(805), "instruction_difficulty": hardness})
    found = control_length(judged(lengths, chances), table)
    assert found["length_controlled"] == pytest.approx(logistic(0.5 * hardness - 0.8).mean(), abs=0.005)
    assert "difficulty" in found["length_control"] and "gamed" not in found["length_control"]
    with pytest.raises(UserError, match="805 items, and 804"):
        control_length(judged(lengths, chances)[:-1], table)
    with pytest.raises(UserError, match="no column 'index'"):
        control_length(judged(lengths, chances), table[["instruction_difficulty"]])


def test_length_control_takes_the_gamed_baselines_as_alpaca_eval_does() -> None:
    random = np.random.default_rng(2)
    lengths, hardness, other = random.integers(-300, 400, 805), random.normal(size=805), random.normal(size=1610)
    chances = logistic(-0.8 + 0.5 * hardness)
    gamed = pd.DataFrame(
        {"index": [*range(805)] * 2, "instruction_difficulty": [*hardness] * 2, "std_delta_len": other,
         "preference": logistic(-3 * np.tanh(other)), "not_gamed_baseline": False}
    )  # fmt: skip
    found = control_length(judged(lengths, chances), gamed)
    assert "with gamed baselines" in found["length_control"]
    assert found["length_controlled"] == pytest.approx(chances.mean(), abs=0.02)
    values, rows, preferences = length_control._read_difficulty(gamed)
    weights = np.concatenate([np.full(1610, 0.1), np.ones(805)])
    mine = np.column_stack([np.tanh(lengths / lengths.std(ddof=1)), values, np.ones(805)])
    coefficients = length_control.fit(np.vstack([rows, mine]), np.concatenate([preferences, chances]), weights)
    # The judge of the real rows does not look at length; the gamed ones pull towards their 3.
    assert 0 < coefficients[0] < 1.5


def test_the_fit_is_that_of_scikit_learns_own_cross_validation() -> None:
    """AlpacaEval's way to it: every item twice, once a label, weighted, and LogisticRegressionCV with folds that keep the two together."""
    import warnings

    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import GroupKFold

    random = np.random.default_rng(3)
    rows = np.column_stack([np.tanh(random.normal(size=60)), np.ones(60)])
    targets = random.uniform(size=60)
    twice, labels, weights = np.vstack([rows, rows]), np.repeat([1, 0], 60), np.concatenate([targets, 1 - targets])

    def loss(model: LogisticRegressionCV, held: np.ndarray, _labels: np.ndarray, **_weights: object) -> float:
        worth = np.array([targets[int(np.flatnonzero((rows == row).all(axis=1))[0])] for row in held])
        chances = model.predict_proba(held)[:, 1]
        return float(np.mean(worth * np.log(chances) + (1 - worth) * np.log(1 - chances)))

    folds = list(GroupKFold(5).split(twice, groups=np.tile(np.arange(60), 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer = LogisticRegressionCV(cv=folds, l1_ratios=(1,), solver="liblinear", fit_intercept=False, random_state=123, scoring=loss)
        peer.fit(twice, labels, sample_weight=weights)
    assert length_control.fit(rows, targets, np.ones(60)) == pytest.approx(np.ravel(peer.coef_), abs=1e-3)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 0.3]), st.integers(0, 50)), min_size=10, max_size=30))
def test_length_control_takes_any_verdicts(items: list[tuple[float, int]]) -> None:
    found = control_length([verdict(p, p, "a" * length, "b" * 20) for p, length in items])
    assert 0 <= found["length_controlled"] <= 1


@pytest.mark.parametrize("worth", [0.0, 1.0])
def test_length_control_of_a_model_that_always_wins_or_loses(worth: float) -> None:
    found = control_length([verdict(worth, worth, "a" * n, "b" * 20) for n in range(40)])
    assert found["length_controlled"] == pytest.approx(worth, abs=0.02)


def test_near_even_the_interval_of_the_length_controlled_rate_has_a_width() -> None:
    # The penalty sets the model's term to zero here, in every resample too: the rate is 50 % with an error of 0 where it is kept.
    chance = np.random.default_rng(3)
    preferences, deltas = (chance.random(200) < 0.5).astype(float), chance.normal(0, 100, 200)
    found = length_control.control(preferences, deltas)
    assert found["length_controlled"] == 0.5
    # about the standard error of a share of one half: sqrt(0.25 / 200) = 0.0354
    assert found["length_controlled_stderr"] == pytest.approx(0.0354, rel=0.25)
