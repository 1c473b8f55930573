"""Labelled probes: on states that were made up so that a reader knows what is in them, on a tiny model, and from the command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xlift.harness.cli.main import app
from xlift.harness.core.errors import LeakError, UserError
from xlift.harness.diagnostics.labels import (
    Labelled,
    States,
    choose_layers,
    compare_weights,
    measure_words,
    probe_model,
    read_labelled,
    share_between,
)
from xlift.harness.diagnostics.records import Probe
from xlift.harness.diagnostics.resampling import bootstrap
from xlift.tasks.data import read_training

TRAIN, DEV, TEST = 40, 20, 20
TOPICS = ("science/technology", "sports")


def make_labelled(languages: tuple[str, ...] = ("en", "es")) -> Labelled:
    count = TRAIN + DEV + TEST
    labels = tuple(number % 2 for number in range(count))
    texts = {code: tuple(f"{code}{label} word {number % 7}" for number, label in enumerate(labels)) for code in languages}
    return Labelled(texts, labels, (TRAIN, TRAIN + DEV, count), {})


def make_states(labelled: Labelled, sign: float, offset: float, seed: int) -> States:
    """Three layers of four numbers: noise, the label in the first number, the label in the last token's first number alone."""
    noise = np.random.default_rng(seed).normal(size=(len(labelled.labels), 3, 4))
    mean, last = noise.copy(), noise.copy()
    label = 8 * sign * (np.array(labelled.labels) - 0.5)
    mean[:, 1, 0] += label
    last[:, 2, 0] += label
    mean += offset
    return States(mean.astype(np.float32), last.astype(np.float32))


def test_what_is_in_states_is_found_and_nothing_else() -> None:
    labelled = make_labelled()
    states = {"en": make_states(labelled, 1, 0, 1), "es": make_states(labelled, 1, 30, 2)}
    found, layer, right = probe_model("base", states, labelled, None, None)
    assert layer == 1, "where dev is read best"
    for code in ("en", "es"):
        one = found.languages[code]
        assert one.mean[1] == one.last[2] == 1.0
        assert max(one.mean[0], one.mean[2], one.last[0], one.last[1], *one.shuffled) < 0.85
        assert right[code].tolist() == [1.0] * TEST
        assert one.change is None
    # One direction in both languages, and an offset that standardising takes away.
    assert found.transfer == {"en": {"en": 1.0, "es": 1.0}, "es": {"en": 1.0, "es": 1.0}}
    assert found.weights_cosine["en"]["es"] > 0.9 and found.weights_cosine["en"]["en"] == pytest.approx(1)
    assert found.language_identity[0] == 1.0 and found.variance_between[0] > 0.9


def test_a_turned_direction_does_not_transfer() -> None:
    labelled = make_labelled()
    states = {"en": make_states(labelled, 1, 0, 1), "es": make_states(labelled, -1, 0, 2)}
    found, _, right = probe_model("base", states, labelled, 1, None)
    assert found.transfer["en"] == {"en": 1.0, "es": 0.0}
    assert found.weights_cosine["en"]["es"] < -0.9
    assert found.variance_between[0] < 0.1, "languages that lie in one place"
    worse = {code: np.zeros(TEST) for code in states}
    better, layer, _ = probe_model("m", states, labelled, 1, worse)
    assert layer == 1 and better.languages["en"].change == (1.0, 1.0)


def test_numbers_by_hand() -> None:
    assert compare_weights(np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 1.0]])) == pytest.approx((0.5**0.5 + 1) / 2)
    # Two groups at 0 and 4, each of two states 1 apart from its mean: 4 * 2**2 between, 4 * 1 within.
    assert share_between([np.array([[-1.0], [1.0]]), np.array([[3.0], [5.0]])]) == pytest.approx(16 / 20)
    assert share_between([np.zeros((2, 1)), np.zeros((2, 1))]) == 0
    assert choose_layers(31) == (0, 3, 5, 8, 11, 14, 16, 19, 22, 25, 27, 30) and choose_layers(3) == (0, 1, 2)
    assert choose_layers(5, 1) == (0,)
    low, high = bootstrap(np.array([1.0, 0.0] * 50))
    # The standard error of a mean of 100 such differences is 0.05.
    assert (low, high) == (pytest.approx(0.4, abs=0.02), pytest.approx(0.6, abs=0.02))


def test_controls_that_need_no_model() -> None:
    labelled = make_labelled()
    assert labelled.majority == 0.5
    assert measure_words(labelled) == {"en": 1.0, "es": 1.0}, "the label stands in the first word"


def sib(split: str, code: str, count: int, start: int = 0) -> dict[str, str]:
    rows = [{"index_id": start + at, "category": TOPICS[at % 2], "text": f"{code} {TOPICS[at % 2][:3]} {at}"} for at in range(count)]
    return {f"sib200/{split}/{code}.jsonl.gz": "".join(f"{json.dumps(row)}\n" for row in rows)}


@pytest.fixture
def fill_sib(fill_folder: Callable[..., Path]) -> Path:
    made: dict[str, str] = {}
    for code in ("eng_Latn", "spa_Latn"):
        made |= sib("train", code, 8) | sib("dev", code, 4, 100) | sib("test", code, 4, 200)
        made[f"flores200_dataset/dev/{code}.dev"] = f"{code} one.\n{code} two.\n{code} three.\n"
    return fill_folder(**made)


def test_sentences_are_joined_by_number_and_never_trained_on(fill_sib: Path, fill_folder: Callable[..., Path]) -> None:
    found = read_labelled(["en", "es"])
    assert found.ends == (8, 12, 16) and found.labels == (0, 3) * 8
    assert found.cut(found.texts["es"], "dev") == ("spa_Latn sci 0", "spa_Latn spo 1", "spa_Latn sci 2", "spa_Latn spo 3")
    assert read_labelled(["es"], limit=2).ends == (2, 4, 6)
    with pytest.raises(LeakError, match="sib200 is an evaluation corpus"):
        read_training("sib200", "en")
    with pytest.raises(UserError, match="the first 1 sentences have one label alone; raise --limit"):
        read_labelled(["es"], limit=1)
    same = {**sib("train", "eng_Latn", 8), **sib("dev", "eng_Latn", 4, 100), **sib("test", "eng_Latn", 4, 4)}
    fill_folder(**same)
    with pytest.raises(UserError, match="sentences of test stand in an earlier split too"):
        read_labelled(["en"])


def test_the_command_shows_probes_with_their_controls(
    fill_sib: Path, tiny_base: Path, tiny: object, make_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    adapter = make_adapter(tiny, scale=0.5)
    arguments = ["probe", str(tiny_base), "--adapter", f"m={adapter}", "--languages", "es", "--labels", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments, terminal_width=250)
    assert done.exit_code == 0, done.output
    assert "Labelled probes, sib200: 2 classes, 8 sentences to fit, 4 to test" in done.stdout
    assert "m: a classifier names the language of" in done.stdout
    found = Probe(**json.loads((tmp_path / "out" / "probe.json").read_text())).labels
    assert found and found.layers == (0, 1, 2) and found.layer in found.layers and [model.label for model in found.models] == ["base", "m"]
    base, tuned = found.models
    assert base.languages["es"].change is None and tuned.languages["es"].change is not None
    assert set(base.transfer) == {"en", "es"} and len(base.language_identity) == 3
