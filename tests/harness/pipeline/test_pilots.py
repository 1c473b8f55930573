"""Pilots of the scaling law, from files and from run folders."""

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from xlift.harness.evaluation.records import Record, Score, TaskResult
from xlift.harness.pipeline.pilots import read_pilots
from xlift.harness.plugin import UserError
from xlift.harness.recipes.scaling_law import Pilot

SPANISH = [Pilot("es", 4, 60), Pilot("es", 16, 80), Pilot("es", 64, 90)]
GERMAN = Pilot("de", 8, 20)


def write_csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pilots.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_pilots_from_a_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "\ufefflanguage,rows,score,similarity\nes,4,60,0.5\n\nde, 8 ,20.5,\n")
    assert read_pilots([path]) == [Pilot("es", 4, 60, 0.5), Pilot("de", 8, 20.5)]
    assert read_pilots([write_csv(tmp_path, "score,language,rows\n60,spa_Latn,4\n")]) == [Pilot("es", 4, 60)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column 'language'"),
        ("language,rows\nes,4\n", "no column 'score'; the first line must name"),
        ("language,row,score\nes,4,60\n", "unknown column 'row'; did you mean 'rows'"),
        ("language,rows,score\nes,4k,60\n", "line 2: rows is not a number: '4k'"),
        ("language,rows,score\nes,4\n", "line 2: score is not a number: ''"),
        ("language,rows,score\nes,1,000,60\n", "line 2: more values than columns"),
        ("language,rows,score\nspanish,4,60\n", "line 2: unknown language 'spanish': write its code, 'es'"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_pilots([write_csv(tmp_path, text)])


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pilots.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_pilots([path])
    with pytest.raises(UserError, match="no such run folder"):
        read_pilots([tmp_path / "nowhere"])


def write_run(root: Path, label: str, kinds: dict[str, int], scores: dict[str, float], **changes: Any) -> None:
    """The manifests that a finished label leaves: prepare, fit and evaluate."""
    trained = tuple(changes.pop("trained", scores))
    key, base, epochs = changes.pop("key", "k"), changes.pop("base", "b"), changes.pop("epochs", 1.0)
    names = {"es": "spa_Latn", "de": "deu_Latn"}
    tasks = {
        f"xlift_flores_eng_Latn_{names[lang]}": TaskResult(
            items=8, items_of=8, version="1", data_sha256=None, data_origin=None, comparability=key, samples=None,
            metrics={"corpus_chrf": Score(value=score, stderr=None), "corpus_spbleu": Score(value=score / 2, stderr=None)},
        )
        for lang, score in scores.items()
    }  # fmt: skip
    record = Record(
        suite="pilots", label=label, method="cross_lingual", seed=0, trained=trained, pivot="en", base={"sha256": base},
        adapter={"sha256": f"adapter-{label}"}, engine={}, system=None, tasks=tasks, cost={"fit": {"epochs": epochs}},
    )  # fmt: skip
    plan = {"rows_sha256": f"rows-{label}"}
    stages = {
        f"prepare-{label}-0": {"stage": "prepare", "plan": plan, "kinds": kinds},
        f"fit-{label}-seed0-0": {"stage": "fit", "inputs": {"plan": plan}, "adapter_sha256": f"adapter-{label}"},
        f"evaluate-{label}-seed0-0": {"stage": "evaluate", "record": record.model_dump(mode="json")},
    }
    for name, manifest in stages.items():
        (root / name).mkdir(parents=True)
        (root / name / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def test_pilots_from_runs(tmp_path: Path) -> None:
    write_run(tmp_path / "one", "es-4", {"en/pivot_instructions": 90, "es/translation": 4}, {"es": 60})
    write_run(tmp_path / "one", "es-16", {"en/translation": 8, "es/translation": 8}, {"es": 80})
    write_run(tmp_path / "two", "both", {"es/translation": 64, "de/translation": 8}, {"es": 90, "de": 20})
    found = read_pilots([tmp_path / "one", tmp_path / "two"])
    assert Counter(found) == Counter([*SPANISH, GERMAN])
    assert {pilot.score for pilot in read_pilots([tmp_path / "two"], metric="corpus_spbleu")} == {45, 10}


def test_models_without_translation_are_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path, "es-4", {"es/translation": 4}, {"es": 60})
    write_run(tmp_path, "control", {"en/pivot_instructions": 90}, {"es": 30})
    with caplog.at_level(logging.WARNING):
        assert read_pilots([tmp_path]) == [SPANISH[0]]
    assert "control (seed 0) left out" in caplog.text
    with pytest.raises(UserError, match="no model in it was trained on rows of kind 'interactive'"):
        read_pilots([tmp_path], kind="interactive")


def test_unequal_epochs_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_run(tmp_path, "es-4", {"es/translation": 4}, {"es": 60}, epochs=4.0)
    write_run(tmp_path, "es-16", {"es/translation": 16}, {"es": 80})
    with caplog.at_level(logging.WARNING):
        assert len(read_pilots([tmp_path])) == 2
    assert "set train.epochs and no train.tokens" in caplog.text


@pytest.mark.parametrize(
    ("kinds", "scores", "changes", "says"),
    [
        ({"es/translation": 16}, {}, {"trained": ["es"]}, "has no score of xlift_flores_eng_Latn_spa_Latn; add it to evaluate.tasks"),
        ({"es/translation": 16}, {"es": 80}, {"key": "other"}, "cannot be compared in es"),
        ({"es/translation": 16}, {"es": 80}, {"base": "other"}, "different base models"),
        ({"es/translation": 9, "en/translation": 9}, {"es": 80, "de": 9}, {}, "cannot be told apart by language"),
    ],
)
def test_runs_that_do_not_serve_are_refused(
    tmp_path: Path, kinds: dict[str, int], scores: dict[str, float], changes: dict[str, Any], says: str
) -> None:
    write_run(tmp_path, "a", {"es/translation": 4}, {"es": 60})
    write_run(tmp_path, "b", kinds, scores, **changes)
    with pytest.raises(UserError, match=says):
        read_pilots([tmp_path])


def test_missing_stages_and_metrics_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, "a", {"es/translation": 4}, {"es": 60})
    with pytest.raises(UserError, match="has no metric 'comet'.*known: corpus_chrf, corpus_spbleu"):
        read_pilots([tmp_path], metric="comet")
    (tmp_path / "prepare-a-0" / "manifest.json").unlink()
    with pytest.raises(UserError, match="the stages that made its adapter are not in the folder"):
        read_pilots([tmp_path])
    (tmp_path / "prepare-a-0" / "manifest.json").write_text('{"stage": "prepare"}', encoding="utf-8")
    with pytest.raises(UserError, match="has no 'plan': an older xlift wrote it"):
        read_pilots([tmp_path])
