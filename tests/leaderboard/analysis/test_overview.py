"""One line for each method: lifts and costs as text."""

from pathlib import Path

import pandas as pd
import pytest
from result_folders import write_run

import xlift
from xlift.leaderboard.analysis.conclusion import write_number
from xlift.leaderboard.analysis.overview import mark_label, summarise_costs

TASK = "xlift_mgsm_direct_{}"


def right(count: int) -> list[float]:
    return [1.0] * count + [0.0] * (40 - count)


def test_lifts_come_before_retention_and_the_largest_first(tmp_path: Path) -> None:
    for label, (en, es) in {"base": (20, 10), "a": (20, 20), "b": (10, 30)}.items():
        write_run(tmp_path / "s", label, {TASK.format("en"): right(en), TASK.format("es"): right(es)}, adapter=label)
    (table,) = xlift.load_results(tmp_path / "s").overview().values()
    assert list(table.columns) == ["method", "MGSM\nes (lift)", "MGSM\nen (retention)"]
    assert list(table["method"]) == ["b", "a"]
    assert [cell.split(" [")[0] for cell in table["MGSM\nes (lift)"]] == ["+50.0", "+25.0"]
    assert table["MGSM\nes (lift)"].str.endswith("*").all()
    assert [cell.split(" [")[0] for cell in table["MGSM\nen (retention)"]] == ["-25.0", "0.0"]


def test_a_method_of_one_seed_is_marked(tmp_path: Path) -> None:
    task = TASK.format("es")
    write_run(tmp_path / "s", "base", {task: right(10)}, adapter="base")
    for label, seeds in {"several": (0, 1), "single": (0,)}.items():
        for seed in seeds:
            write_run(tmp_path / "s", label, {task: right(20)}, seed=seed, adapter=f"{label}{seed}")
    (table,) = xlift.load_results(tmp_path / "s").overview().values()
    assert sorted(table["method"]) == ["several", "single (one seed)"]


def test_a_control_is_marked(tmp_path: Path) -> None:
    task = TASK.format("es")
    write_run(tmp_path / "s", "base", {task: right(10)}, adapter="base")
    write_run(tmp_path / "s", "idea", {task: right(20)}, adapter="a")
    write_run(tmp_path / "s", "shuffled", {task: right(21)}, adapter="b", control=True)
    write_run(tmp_path / "s", "random", {task: right(30)}, seed=0, adapter="c", control=True)
    results = xlift.load_results(tmp_path / "s")
    (table,) = results.overview().values()
    assert list(table["method"]) == ["random (control, one seed)", "shuffled (control)", "idea"]
    assert mark_label("shuffled", [record for record in results.records if record.label == "shuffled"]) == "shuffled (control)"


def test_a_difference_without_an_interval_says_so(tmp_path: Path) -> None:
    task, half = "xlift_xquad_es", [0.5] * 40
    values = {"base": half, "same": half, "nearly": [0.9, *half[1:]], "told": [0.5 + 0.01 * (place % 7) for place in range(40)]}
    for label, scores in values.items():
        write_run(tmp_path / "s", label, {task: scores}, metric="f1", adapter=label)
    (table,) = xlift.load_results(tmp_path / "s").overview().values()
    found = dict(zip(table["method"], table["XQuAD\nes (lift)"], strict=True))
    assert (found["same"], found["nearly"]) == ("unchanged", "+1.0, no interval") and found["told"].endswith("]*")


def test_what_nothing_compares_is_no_table(tmp_path: Path) -> None:
    write_run(tmp_path / "s", "base", {TASK.format("es"): right(10)})
    assert xlift.load_results(tmp_path / "s").overview() == {}


@pytest.mark.parametrize(("value", "text"), [(0.0004, "0.000"), (-0.0004, "0.000"), (0.0006, "+0.001"), (-0.25, "-0.250")])
def test_what_rounds_to_nothing_has_no_sign(value: float, text: str) -> None:
    assert write_number(value, 3) == text


def test_costs_are_means_over_seeds() -> None:
    costs = pd.DataFrame(
        {
            "model": ["base", "a (seed 0)", "a (seed 1)", "prompt"],
            "rows": [None, 10, 20, None],
            "seconds": [None, 60.0, 120.0, None],
            "evaluation_seconds": [5.0, 7.0, 9.0, 11.0],
        }
    )
    table = summarise_costs(costs).set_index("method")
    assert list(table.columns) == ["seeds", "rows", "training", "measuring"]
    assert list(table.loc["a"]) == ["2", "15", "1 min 30 s", "8.0 s"]
    assert list(table.loc["prompt"]) == ["", "", "", "11.0 s"]
