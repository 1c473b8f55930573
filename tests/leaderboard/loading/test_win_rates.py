"""Win rates in the report and on the site: a table for each judge, no rank, and none for answers that were measured again."""

import json
from pathlib import Path
from typing import Any

import pytest
from result_folders import write_run

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.evaluation.records import read_records
from xlift.leaderboard.analysis.tables import spread_win_rates, tabulate_win_rates
from xlift.leaderboard.loading.win_rates import group_settings, read_win_rates
from xlift.leaderboard.site.builder import build

TASK = "xlift_x_alpaca_eval_es"


def write_judgement(run: Path, judge: str = "j", against: str = "base", **changes: Any) -> Path:
    (record,) = (one for one in read_records([run]).records if one.label == "m")
    folder = run / f"judge-{judge}-{against}"
    folder.mkdir()
    row = {
        "suite": record.suite, "label": "m", "seed": None, "task": TASK, "items": 3, "items_of": 3,
        "comparability": record.tasks[TASK].comparability, "samples": record.tasks[TASK].samples, "win_rate": 0.6,
        "win_rate_stderr": 0.1, "length_controlled": 0.5, "length_controlled_stderr": 0.05, "length_control": "minimal", "flips": 0.25,
        "win_rate_as_written": 0.7, "length_controlled_as_written": 0.65,
        "parse_errors": 0.0, "verdicts": "verdicts_x.jsonl", **changes,
    }  # fmt: skip
    head = {"kind": "api", "model": judge, "served": f"{judge}-2026", "mode": "verdict", "prompt_sha256": "p" * 64}
    write_json(folder / "judgements.json", {"judge": head, "against": against, "calibration": "abc123", "results": [row]})
    line = {"id": "None", "outcome": "win", "preference": 0.75, "replies": ["better [[A]]", "<script>alike</script> [[C]]"]}
    (folder / "verdicts_x.jsonl").write_text(json.dumps(line) + "\n")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    for label in ("base", "m"):
        write_run(tmp_path / "s", label, {TASK: [1.0, 0.0, 1.0]})
    return tmp_path / "s"


def test_intervals_and_settings(run: Path) -> None:
    write_judgement(run)
    write_judgement(run, judge="k")
    write_judgement(run, against="gpt-4o-mini")
    rates = read_win_rates(read_records([run]).measurements)
    assert rates[0].rate.interval == pytest.approx((0.404, 0.796)) and rates[0].rate.controlled_interval == pytest.approx((0.402, 0.598))
    assert [setting.name for setting in group_settings(rates)] == [
        "j, verdict mode, against base", "j, verdict mode, against gpt-4o-mini", "k, verdict mode, against base",
    ]  # fmt: skip
    table = tabulate_win_rates(rates)
    assert table["setting"].nunique() == 3 and "rank" not in table
    (shown,) = spread_win_rates(rates[:1]).to_dict("records")
    assert (shown["win rate"], shown["length-controlled"]) == ("0.600 [0.404, 0.796]", "0.500 [0.402, 0.598]")
    assert shown["as written"] == "0.700"


def test_an_older_xlift_wrote_the_judge_s_word_alone(run: Path) -> None:
    path = write_judgement(run) / "judgements.json"
    said = json.loads(path.read_text())
    for name in ("win_rate_as_written", "length_controlled_as_written"):
        del said["results"][0][name]
    path.write_text(json.dumps(said))
    (judged,) = read_win_rates(read_records([run]).measurements)
    assert (judged.rate.win_rate, judged.rate.interval, judged.rate.length_controlled) == (None, None, None)
    assert (judged.rate.win_rate_as_written, judged.rate.length_controlled_as_written) == (0.6, 0.5)
    assert "judge the run again" in judged.rate.length_control


def test_judgements_of_older_answers_are_left_out(run: Path) -> None:
    write_judgement(run, samples="samples_older.jsonl")
    assert read_win_rates(read_records([run]).measurements) == []


def test_a_damaged_judgement_is_named(run: Path) -> None:
    (write_judgement(run) / "judgements.json").write_text("{")
    with pytest.raises(UserError, match="damaged; delete it and judge the run again"):
        read_win_rates(read_records([run]).measurements)


def test_the_site_shows_judge_calibration_and_verdicts(run: Path, tmp_path: Path) -> None:
    folder = write_judgement(run)
    out = tmp_path / "site"
    build([run], out)
    page = (out / "runs" / "s--m.html").read_text()
    assert "j, verdict mode, against base" in page and "Calibration: abc123" in page
    assert "60.0" in page and "[40.2, 59.8]" in page
    sample = next((out / "samples" / "s--m").iterdir()).read_text()
    assert "0.75 for the answer" in sample and "better [[A]]" in sample and "<script>alike" not in sample
    (row,) = json.loads((out / "data" / "win_rates.json").read_text())
    assert (row["win_rate"], row["calibration"], row["served"]) == (0.6, "abc123", "j-2026")
    # another verdict is another site
    before = (out / ".site.json").read_text()
    (folder / "verdicts_x.jsonl").write_text("")
    build([run], out)
    assert (out / ".site.json").read_text() != before


@pytest.mark.parametrize(
    "changes", [{"verdicts": "../v.jsonl"}, {"verdicts": ""}, {"items": "many"}, {"win_rate": "high"}, {"length_control": None}]
)
def test_a_row_of_another_shape_is_damage(run: Path, changes: dict[str, Any]) -> None:
    write_judgement(run, **changes)
    with pytest.raises(UserError, match="judgements.json: damaged; delete it and judge the run again"):
        read_win_rates(read_records([run]).measurements)


def test_what_a_later_xlift_adds_is_passed_over(run: Path) -> None:
    path = write_judgement(run, confidence=0.9) / "judgements.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "panel": ["a", "b"]}))
    (judged,) = read_win_rates(read_records([run]).measurements)
    assert (judged.rate.win_rate, judged.rate.model, judged.calibration) == (0.6, "m", "abc123")
