"""What determines a stage: settings, versions and data that move results, and nothing else."""

import datetime
import gzip
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from thinking import write_base

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.evaluation import tasks as evaluation_tasks
from xlift.harness.evaluation.records import make_public
from xlift.harness.models import bases
from xlift.harness.models.adapters import CARD
from xlift.harness.pipeline import fit, measure, prepare, stages
from xlift.harness.pipeline import run as pipeline
from xlift.harness.pipeline.stages import Measured, Prepared, Round, Run
from xlift.harness.recipes import registry
from xlift.harness.training.report import FitReport

FLORES = "xlift_flores_eng_Latn_spa_Latn"
SUITE: dict[str, Any] = {
    "name": "small",
    "data": {"samples": "missing"},
    "languages": {"train": ["es"], "evaluate": ["es"]},
    "methods": {"m": {"method": "cross_lingual", "options": {"rows": 9}}},
    "translators": {"default": {"kind": "api", "model": "m", "url": "http://host/v1"}},
    "evaluate": {"tasks": [FLORES], "limit": 2},
}
PAIRS = "train/parallel/tatoeba.en-es.tsv.gz"
MORE_PAIRS = "train/parallel/tico19.en-es.tsv.gz"


def table(count: int) -> str:
    lines = [f"The little bird number {n} sings.\tEl pequeño pájaro número {n} canta." for n in range(count)]
    return "\n".join(["en\tes", *lines]) + "\n"


def open_run(base: Path, runs: Path, **changes: Any) -> Run:
    settings = {**SUITE, "base": {"model": str(base)}}
    for section, values in changes.items():
        settings[section] = {**settings.get(section, {}), **values}
    return pipeline.open_run(read_suite(settings, "test"), runs)


def names(run: Run) -> tuple[str, str]:
    return stages.prepare_stage(run, Round("m")).name, stages.evaluate_stage(run, Measured("base", None, None)).name


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize(
    ("changes", "moves_rows", "moves_scores"),
    [
        ({"engine": {"concurrency": 2, "kv_cache_gib": 8, "key_variable": "KEY", "gpu_memory_utilization": 0.5}}, False, False),
        ({"translators": {"default": {**SUITE["translators"]["default"], "concurrency": 2, "key_variable": "KEY"}}}, False, False),
        ({"data": {"samples": "always"}}, False, False),
        ({"evaluate": {"engines": 2}}, False, False),
        ({"evaluate": {"limit": 3}}, False, True),
        ({"engine": {"dtype": "float32"}}, True, True),
        ({"engine": {"thinking": "template"}}, False, False),
        ({"engine": {"thinking_tokens": 64}}, True, True),
        ({"translators": {"default": {**SUITE["translators"]["default"], "model": "other"}}}, True, False),
        ({"data": {"strict": True}}, True, False),
    ],
)
def test_what_moves_no_result_moves_no_stage(
    changes: dict[str, Any], moves_rows: bool, moves_scores: bool, tiny_base: Path, tmp_path: Path
) -> None:
    plain, changed = open_run(tiny_base, tmp_path), open_run(tiny_base, tmp_path, **changes)
    assert [one != other for one, other in zip(names(plain), names(changed), strict=True)] == [moves_rows, moves_scores]
    moved = stages.identify_model(plain, None) != stages.identify_model(changed, None)
    assert moved == (moves_rows and moves_scores), "the answers that are kept for all runs go by the engine's settings"


@pytest.mark.usefixtures("unplugged")
def test_a_mode_of_thinking_moves_every_stage(tiny_base: Path, tmp_path: Path) -> None:
    base = write_base(tiny_base, tmp_path / "base")
    runs = [open_run(base, tmp_path), open_run(base, tmp_path, engine={"thinking": False})]
    rows = Prepared(tmp_path, {"stage": "prepare", "rows": 1, "plan": {"rows_sha256": "0"}})
    fits = [stages.fit_stage(run, Round("m"), rows, 0) for run in runs]
    assert all(one != other for one, other in zip(*map(names, runs), strict=True)) and fits[0].name != fits[1].name
    assert "thinking" in fits[0].inputs and "thinking" not in stages.fit_stage(open_run(tiny_base, tmp_path), Round("m"), rows, 0).inputs


@pytest.mark.usefixtures("unplugged")
def test_a_methods_version_moves_its_rows_alone(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(tiny_base, tmp_path)
    before = names(run)
    monkeypatch.setattr(registry.find_method("cross_lingual"), "version", 99)
    assert [one != other for one, other in zip(before, names(run), strict=True)] == [True, False]


def make_rows(run: Run) -> Any:
    (made,) = prepare.prepare_wave(run, [Round("m")])
    return made


@pytest.mark.usefixtures("unplugged")
def test_rows_go_by_the_corpora_that_were_read(tiny_base: Path, tmp_path: Path, fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{PAIRS: table(20)})
    run = open_run(tiny_base, tmp_path)
    made = make_rows(run)
    assert sorted(made.manifest["learned"]["read"]) == ["en/alpaca", "es/alpaca", "es/parallel"]
    assert stages.find_prepared(run, Round("m")) == made

    unread = {"train/parallel/tatoeba.en-de.tsv.gz": "en\tde\n", "train/lexicon/gatitos.en-es.tsv": "en\tes\n", "else/where.txt": "x"}
    fill_folder(**{PAIRS: table(20), **unread})
    assert stages.find_prepared(run, Round("m")) == made, "what was added elsewhere changes nothing"

    fill_folder(**{PAIRS: table(21)})
    assert stages.find_prepared(run, Round("m")) is None
    other = make_rows(run)
    assert other.folder != made.folder and made.folder.is_dir(), "the rows of both are kept"

    fill_folder(**{PAIRS: table(20), MORE_PAIRS: table(3)})
    assert stages.find_prepared(run, Round("m")) is None, "another part of a corpus that was read"
    fill_folder(**{PAIRS: table(20)})
    assert stages.find_prepared(run, Round("m")) == made


@pytest.mark.usefixtures("unplugged")
def test_a_corpus_that_was_not_to_be_had_counts_once_it_is(tiny_base: Path, tmp_path: Path, fill_folder: Callable[..., Path]) -> None:
    """star_alignment goes without a lexicon where there is none: the samples have no Portuguese one."""
    pairs = {"train/parallel/tatoeba.en-pt.tsv.gz": table(20).replace("en\tes", "en\tpt", 1)}
    fill_folder(**pairs)
    chosen = {"method": "star_alignment", "languages": ["pt"], "options": {"rows": 9, "instructions": 0, "translation": 0.9}}
    run = open_run(tiny_base, tmp_path, methods={"m": chosen})
    made = make_rows(run)
    assert made.manifest["learned"]["read"]["pt/lexicon"] is None
    assert stages.find_prepared(run, Round("m")) == made
    fill_folder(**pairs, **{"train/lexicon/gatitos.en-pt.tsv": "en\tpt\nbird\tpássaro\n"})
    assert stages.find_prepared(run, Round("m")) is None


@pytest.mark.usefixtures("unplugged")
def test_rows_go_by_the_files_that_were_read(
    tiny_base: Path, tmp_path: Path, fill_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    fill_folder(**{PAIRS: table(20)})
    words, method = tmp_path / "words.tsv", registry.find_method("cross_lingual")
    words.write_text("bird")
    before = method.prepare

    def prepare_with_words(self: Any, ctx: Any) -> Any:
        assert ctx.read_file(words).decode() in ("bird", "birds")
        return before(self, ctx)

    run = open_run(tiny_base, tmp_path)
    plain = make_rows(run)
    assert "files" not in plain.manifest["learned"] and plain.manifest["files"] == []
    monkeypatch.setattr(method, "prepare", prepare_with_words)
    monkeypatch.setattr(method, "version", 99)
    made = make_rows(run)
    # printf bird | sha256sum
    sha256 = "7a5179eecc0fe18760ba615f92603372ae3fe302860098a019e15927551fee3b"
    assert made.manifest["learned"]["files"] == [[str(words), sha256]]
    assert made.manifest["files"] == [{"name": str(words), "origin": "user", "bytes": 4, "sha256": sha256}]
    published = json.dumps(make_public(made.manifest))
    assert str(tmp_path) not in published and '"words.tsv"' in published
    assert stages.find_prepared(run, Round("m")) == made
    words.write_text("birds")
    assert stages.find_prepared(run, Round("m")) is None
    words.unlink()
    assert stages.find_prepared(run, Round("m")) is None, "it cannot be read as it was"


def extend(data: Path) -> None:
    """Add a corpus to a data folder and its manifest, as a download beside a run does."""
    content = gzip.compress(table(5).replace("\tes", "\tde").encode())
    (data / "train/parallel/tatoeba.en-de.tsv.gz").write_bytes(content)
    entries = json.loads((data / "manifest.json").read_text())
    entries.append({"file": "train/parallel/tatoeba.en-de.tsv.gz", "sha256": hashlib.sha256(content).hexdigest()})
    (data / "manifest.json").write_text(json.dumps(entries))


@pytest.mark.usefixtures("unplugged", "in_process")
def test_a_data_folder_that_grows_during_a_run_loses_no_measurement(
    tiny_base: Path, tmp_path: Path, fill_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training and the measuring are stood in for; rows, stages, costs and records are the run's own."""
    from xlift.harness.evaluation.evaluate import Evaluation
    from xlift.harness.evaluation.records import TaskResult
    from xlift.harness.evaluation.tasks import TaskSet
    from xlift.harness.training import trainer

    data = fill_folder(**{PAIRS: table(20)})

    def train(base: Path, plan: Any, settings: Any, out: Path, **more: Any) -> FitReport:
        extend(data)
        out.mkdir()
        write_json(out / CARD, {**more["provenance"], "profile": {"system": {"es": "Responde en español."}}})
        return FitReport(
            steps=3, tokens_trained=700, response_tokens=400, epochs=1.0, padding_share=0.0, rows=len(plan.rows), rows_cut=0,
            rows_dropped=0, seconds=1.5, peak_memory_mib=9, device="cpu", arithmetic="float32", final_loss=1.0, curve=((3, 700, 1.0),),
            reward_margin=None, reward_accuracy=None, resumed_from_step=None,
        )  # fmt: skip

    monkeypatch.setattr(trainer, "fit", train)

    def measured(engine: Any, suite: Any, tasks: TaskSet, out: Path, kept: Any) -> Evaluation:
        result = TaskResult(
            items=2, items_of=40, version="1", data_sha256=None, data_origin=None, metrics={}, comparability="c", samples=None
        )  # fmt: skip
        return Evaluation(dict.fromkeys(tasks.names, result), engine.describe(), {"seconds": 1.0})

    monkeypatch.setattr(measure.StageEngine, "hold", lambda self, adapter: SimpleNamespace(describe=lambda: {"backend": "none"}))
    monkeypatch.setattr(measure, "open_tasks", lambda suite, names: nullcontext(TaskSet(names, None, None)))
    monkeypatch.setattr(measure, "evaluate", measured)

    suite = read_suite({**SUITE, "base": {"model": str(tiny_base)}}, "test")
    folder = pipeline.run_suite(suite, tmp_path / "runs")
    left = sorted(path.parent.name.rpartition("-")[0] for path in folder.glob("*/manifest.json"))
    assert left == ["evaluate-base", "evaluate-m-seed0", "fit-m-seed0", "prepare-m"]
    (record,) = (json.loads(path.read_text())["record"] for path in folder.glob("evaluate-m-*/manifest.json"))
    assert (record["cost"]["prepare"]["rows"], record["cost"]["fit"]["tokens_trained"]) == (9, 700)

    before = sorted(folder.iterdir())
    pipeline.run_suite(suite, tmp_path / "runs")
    assert sorted(folder.iterdir()) == before, "nothing is prepared again"


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize("damage", ["cut", "edited", "gone"])
def test_rows_that_are_not_those_of_the_manifest_are_not_trained(
    damage: str, tiny_base: Path, tmp_path: Path, fill_folder: Callable[..., Path]
) -> None:
    fill_folder(**{PAIRS: table(20)})
    made = make_rows(open_run(tiny_base, tmp_path))
    rows, path = fit.read_rows(made), made.folder / "rows.jsonl"
    assert len(rows) == made.count == 9
    lines = path.read_text().splitlines(keepends=True)
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("".join(lines[:5]) if damage == "cut" else "".join(lines).replace("bird", "dog"))
    found = {"cut": 5, "edited": 9, "gone": 0}[damage]
    with pytest.raises(UserError) as caught:
        fit.read_rows(made)
    assert str(caught.value) == (
        f"{path}: not the 9 rows that were prepared ({found} lines, another sha256); delete {made.folder} and run again"
    )


@pytest.mark.usefixtures("unplugged")
def test_two_runs_in_one_folder(tiny_base: Path, tmp_path: Path) -> None:
    suite = read_suite({**SUITE, "base": {"model": str(tiny_base)}}, "test")
    with pipeline.begin(suite, tmp_path):
        other = pipeline.begin(suite, tmp_path)
        with pytest.raises(UserError, match=rf"small: process {os.getpid()} on .* works in it; wait for its end"):
            other.__enter__()
    with pipeline.begin(suite, tmp_path) as run:
        assert json.loads((run.root / "suite.resolved.json").read_text())["name"] == "small"


@pytest.mark.usefixtures("unplugged")
def test_a_run_keeps_the_day_of_its_first_start(make_base: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that steps over midnight moves no stage of a run whose template writes the date, and another day moves them all."""
    base = make_base(positions=4096)
    template = base / "chat_template.jinja"
    template.write_text("{{ strftime_now('%d %b %Y') }}" + template.read_text())
    monkeypatch.setattr(bases, "today", lambda: datetime.date(2026, 11, 27))
    suite = read_suite({**SUITE, "base": {"model": str(base)}}, "test")
    with pipeline.begin(suite, tmp_path) as first:
        pass
    monkeypatch.setattr(bases, "today", lambda: datetime.date(2026, 11, 28))
    again, elsewhere = pipeline.open_run(suite, tmp_path), pipeline.open_run(suite, tmp_path / "other")
    given = pipeline.open_run(read_suite({**SUITE, "base": {"model": str(base), "date": "2026-11-27"}}, "test"), tmp_path / "third")
    assert first == again and names(first) == names(given)
    assert all(one != other for one, other in zip(names(first), names(elsewhere), strict=True))
    assert json.loads((tmp_path / "small" / "suite.resolved.json").read_text())["base"]["date"] == "2026-11-27"
    assert [run.base.date and run.base.date.day for run in (first, again, elsewhere, given)] == [27, 27, 28, 27]


@pytest.mark.usefixtures("unplugged")
def test_a_run_whose_template_writes_no_date_has_none(tiny_base: Path, tmp_path: Path) -> None:
    suite = read_suite({**SUITE, "base": {"model": str(tiny_base)}}, "test")
    with pipeline.begin(suite, tmp_path) as run:
        assert run.suite.base.date is None
    (tmp_path / "small" / "suite.resolved.json").write_text("{}")
    with pytest.raises(UserError, match=r"suite\.resolved\.json: damaged \(KeyError\); delete it and run again"):
        pipeline.open_run(suite, tmp_path)


def test_articles_that_become_known_are_measured_by(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # two of forty items that a limit draws were others once it was known which sentences are of one article
    found: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(evaluation_tasks, "find_articles", lambda suite, names, fetch: found)
    unknown = names(open_run(tiny_base, tmp_path))
    found[FLORES] = {"0": "https://news/0", "1": "https://news/0"}
    known = names(open_run(tiny_base, tmp_path))
    assert known[0] == unknown[0] and known[1] != unknown[1]
