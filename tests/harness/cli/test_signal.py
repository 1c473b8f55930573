"""``xlift signal`` and ``xlift plan-items`` as a user calls them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from result_folders import write_run
from typer.testing import CliRunner

import xlift
from xlift.harness.cli.main import app
from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json

TASK = "xlift_mgsm_direct_es"


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    root = tmp_path / "s"
    write_run(root, "base", {TASK: [0.0] * 15 + [1.0] * 5, "xlift_mgsm_direct_en": [0.0] * 20})
    for number, label in enumerate(("one", "two", "three")):
        right = 6 + 4 * number
        write_run(
            root, label, {TASK: [0.0] * (20 - right) + [1.0] * right, "xlift_mgsm_direct_en": [0.0] * 20}, seed=0, adapter=f"{number}"
        )
    return root


def test_signal_tells_what_tells_and_sets_the_floor_aside(finished: Path) -> None:
    found = CliRunner().invoke(app, ["signal", str(finished)])
    assert found.exit_code == 0, found.output
    assert "xlift_mgsm_direct_es" in found.output
    assert "set aside: xlift_mgsm_direct_en accuracy: no model rises above chance or the floor (base 0)" in found.output
    assert "No agreement of likelihoods with answers" in found.output


def test_signal_as_json(finished: Path) -> None:
    found = CliRunner().invoke(app, ["signal", str(finished), "--json", "--difference", "10"])
    rows = {(row["task"], row["metric"]): row for row in json.loads(found.output)["signal"]}
    row = rows[TASK, "accuracy"]
    assert (row["methods"], row["seeds"], row["noise"], row["step"], row["at_floor"]) == (3, 1, None, 0.1, False)
    assert row["base"] == 0.25 and row["signal"] == pytest.approx(0.2)  # 0.3, 0.5 and 0.7


@pytest.fixture
def with_points(tmp_path: Path) -> Path:
    """Bits of two methods with adapters kept at 25 % and 80 % of their training: a leads at both, b at the end."""
    root, task = tmp_path / "s", "xlift_flores_bpb_eng_Latn_spa_Latn"

    def write(label: str, bits: float, **options: Any) -> None:
        values = [bits - 0.5, bits + 0.5] * 20
        write_run(root, label, {task: values}, metric="bits_per_byte", adapter=f"{len(label)}{bits}"[0], **options)

    write("base", 2.0)
    for label, course in {"a": (1.7, 1.5, 1.4), "b": (1.9, 1.6, 1.2)}.items():
        for share, bits in zip((0.25, 0.8, 1.0), course, strict=True):
            write(label, bits, seed=0, share=share)
    return root


def test_the_last_points_and_the_order_at_a_quarter_are_shown(with_points: Path) -> None:
    """1.5 and 1.4 about 1.45, 1.6 and 1.2 about 1.4: squares 0.005 and 0.08, pooled over two. Ends of 1.4 and 1.2: 0.2 / sqrt(2)."""
    found = CliRunner().invoke(app, ["signal", str(with_points), "--json"])
    tables = json.loads(found.output)
    [row] = [row for row in tables["signal"] if row["metric"] == "bits_per_byte"]
    assert row["noise"] is None and row["late_noise"] == pytest.approx((0.085 / 2) ** 0.5)
    assert row["signal"] == pytest.approx(0.2 / 2**0.5) and row["late_ratio"] == pytest.approx(row["signal"] / row["late_noise"])
    order = [(one["share"], one["kept"], one["methods"]) for one in tables["order"] if one["metric"] == "bits_per_byte"]
    assert order == [(0.25, 0.0, 2), (0.8, 0.0, 2)]
    shown = CliRunner().invoke(app, ["signal", str(with_points)]).output
    assert "late_noise" in shown and "late_ratio" in shown and "Pairs of methods in their order of the end" in shown


def test_without_points_no_column_of_them_is_shown(finished: Path) -> None:
    shown = CliRunner().invoke(app, ["signal", str(finished)]).output
    assert "late_noise" not in shown and "No order of methods before the end of their training" in shown


def test_a_plan_of_items_learns_from_a_pilot(finished: Path, tmp_path: Path) -> None:
    suite = tmp_path / "mine.yaml"
    suite.write_text(
        "name: mine\ndata: {samples: always}\nlanguages: {train: [es], evaluate: [es]}\n"
        "evaluate: {tasks: ['xlift_mgsm_direct_{lang}', 'xlift_xquad_{lang}'], limit: 10}\n"
    )
    found = CliRunner().invoke(app, ["plan-items", str(suite), "--pilot", str(finished), "--json", "--difference", "10"])
    assert found.exit_code == 0, found.output
    mgsm, xquad = json.loads(found.output)
    assert (mgsm["items"], mgsm["available"], mgsm["source"]) == (10, 24, "measured on this task")
    assert xquad["source"].startswith("unknown") and xquad["items_needed"] is None


def test_a_folder_without_results_is_one_line(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["signal", str(tmp_path)])
    assert found.exit_code != 0 and "no finished evaluation in it" in str(found.exception)


def test_one_method_with_one_seed_has_no_spread_and_is_told_from_its_base(tmp_path: Path) -> None:
    root = tmp_path / "s"
    write_run(root, "base", {TASK: [0.0] * 30 + [1.0] * 10})
    write_run(root, "one", {TASK: [1.0] * 40}, seed=0)
    found = CliRunner().invoke(app, ["signal", str(root), "--json"])
    assert found.exit_code == 0, found.output
    (row,) = [row for row in json.loads(found.output)["signal"] if row["metric"] == "accuracy"]
    assert (row["methods"], row["seeds"], row["told"], row["pairs"]) == (1, 1, 1, 1)
    assert [row[name] for name in ("signal", "noise", "ratio", "late_noise", "reliability", "seeds_needed")] == [None] * 6


def test_a_base_alone_and_a_method_without_its_base_are_shown(tmp_path: Path) -> None:
    for label, seed in (("base", None), ("one", 0)):
        root = tmp_path / label / "s"
        write_run(root, label, {TASK: [0.0] * 10 + [1.0] * 30}, seed=seed)
        found = CliRunner().invoke(app, ["signal", str(root)])
        assert found.exit_code == 0 and TASK in found.output, found.output


def test_missing_samples_are_named_and_the_others_compared(finished: Path) -> None:
    lost, *others = sorted(finished.glob(f"evaluate-*/samples_{TASK}_*.jsonl"))
    lost.unlink()
    found = CliRunner().invoke(app, ["signal", str(finished), "--json"])
    assert found.exit_code == 0, found.output
    tables = json.loads(found.output)
    assert len(tables["left_out"]) == 1 and TASK in tables["left_out"][0]
    assert tables["signal"][0]["methods"] in (2, 3), "one of the base and three methods is gone"
    for path in (*others, *finished.glob("evaluate-*/samples_xlift_mgsm_direct_en_*.jsonl")):
        path.unlink()
    gone = CliRunner().invoke(app, ["signal", str(finished)])
    assert isinstance(gone.exception, UserError) and "no scores by document" in str(gone.exception)


def test_a_point_of_a_curve_that_is_gone_is_named(with_points: Path) -> None:
    points = [{"share": share, "step": 1, "tokens_trained": 10} for share in (0.25, 0.8)]
    fit: dict[str, Any] = {}
    for manifest in sorted(with_points.glob("evaluate-*/manifest.json")):
        record = json.loads(manifest.read_text())["record"]
        if record["label"] == "a" and record["share"] == 1:
            fit = {"adapter_sha256": record["adapter"]["sha256"], "report": {"points": points}}
        if record["label"] == "a" and record["share"] == 0.8:
            shutil.rmtree(manifest.parent)
        if record["label"] == "b" and record["share"] == 0.25:
            next(manifest.parent.glob("samples_*")).unlink()
    (with_points / "fit-a-seed0-0123456789ab").mkdir()
    write_json(with_points / "fit-a-seed0-0123456789ab" / "manifest.json", fit)
    assert xlift.load_results(with_points).lost == [
        "b (seed 0) at 25%: xlift_flores_bpb_eng_Latn_spa_Latn: its samples are gone",
        "a (seed 0): no evaluation of the adapters that were kept at 80% of its training",
    ]
    left_out = xlift.build_site(with_points, with_points.parent / "site")
    assert [line.rpartition(": ")[2] for line in left_out if "its samples" in line or "no evaluation" in line] == [
        "no evaluation of the adapters that were kept at 80% of its training", "its samples are gone",
    ]  # fmt: skip
    shown = CliRunner().invoke(app, ["signal", str(with_points)]).output
    assert "left out: a (seed 0): no evaluation of the adapters that were kept at 80% of its training" in shown


@pytest.mark.parametrize("given", ["inf", "nan", "0", "-1", "1e-300", "101"])
def test_a_difference_that_nobody_could_find_is_refused(finished: Path, given: str) -> None:
    for arguments in (["signal", str(finished)], ["plan-items", "samples"]):
        found = CliRunner().invoke(app, [*arguments, "--difference", given])
        assert isinstance(found.exception, UserError) and f"--difference {float(given):g}: name a number from 0.001" in str(found.exception)
    with pytest.raises(UserError, match="--bits"):
        xlift.plan_items(xlift.load_suite("samples"), bits=float(given))


def test_an_unfinished_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "suite.resolved.json").write_text("{}")
    (tmp_path / "evaluate-base-0123456789ab").mkdir()
    found = CliRunner().invoke(app, ["signal", str(tmp_path)])
    assert isinstance(found.exception, UserError) and "no finished evaluation in it" in str(found.exception)
