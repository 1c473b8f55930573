"""RankC of a run, in tables and on the board."""

import json
from collections.abc import Sequence
from math import e
from pathlib import Path

import pytest
from commands import Call
from result_folders import write_run

import xlift
from xlift.leaderboard.analysis.consistency import COLUMNS

TASKS = {"xlift_bmlama_en": [1.0, 0.0] * 25, "xlift_bmlama_es": [1.0, 0.0] * 25}
SAME, TURNED = (-1.0, -2.0), (-2.0, -1.0)


def write(root: Path, label: str, spanish: Sequence[tuple[float, float]], seed: int | None = None) -> None:
    """A model that ranks two names of each of 50 facts one way in English, and as given in Spanish."""
    write_run(root, label, TASKS, seed=seed, metric="acc", adapter="a" if seed is None else str(seed))
    for path in root.glob("evaluate-*/samples_xlift_bmlama_*"):
        if json.loads((path.parent / "manifest.json").read_text())["record"]["label"] != label or '"id"' in path.read_text():
            continue
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for number, row in enumerate(rows):
            likelihoods = spanish[number] if "_es_" in path.name else SAME
            row["doc"] = {"id": str(number), "lang": "es" if "_es_" in path.name else "en"}
            row["arguments"] = {f"gen_args_{place}": {"arg_0": "", "arg_1": f"It is {name}."} for place, name in enumerate("ab")}
            row["resps"] = [[[str(one), "False"]] for one in likelihoods]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    write(root, "base", [SAME, TURNED] * 25)
    write(root, "m", [SAME] * 50, seed=0)
    return root


# Two candidates weigh e and 1 over their sum; turned, the first places share nothing.
TURNED_RANKC = 1 / (e + 1)


def test_rankc_of_a_run_by_hand(run: Path) -> None:
    found = xlift.load_results(run).consistency().set_index("model")
    assert found.loc["base", "rankc"] == pytest.approx((1 + TURNED_RANKC) / 2)
    assert found.loc["m", "rankc"] == found.loc["m", "by_byte"] == pytest.approx(1)
    assert found.loc["m", "lift"] == pytest.approx((1 - TURNED_RANKC) / 2)
    assert found.loc["m", "lift_low"] < found.loc["m", "lift"] < found.loc["m", "lift_high"]
    assert set(found["languages"]) == {"en-es"} and set(found["items"]) == {50}
    assert found.loc["base", "chance"] == pytest.approx((e / 2 + 1) / (e + 1))
    assert found["lift"].isna().to_dict() == {"base": True, "m": False}


def test_without_two_languages_there_is_nothing(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run", "base", {"xlift_mgsm_direct_es": [1.0, 0.0]})
    found = xlift.load_results(root).consistency()
    assert found.empty and tuple(found.columns) == COLUMNS
    write_run(tmp_path / "other", "base", TASKS, metric="acc")
    assert xlift.load_results(tmp_path / "other").consistency().empty, "samples without likelihoods"


def test_reports_and_pages_show_it(run: Path, tmp_path: Path, call: Call) -> None:
    code, out, _ = call("report", run)
    assert code == 0 and "Consistency of knowledge across languages (RankC; 95 % intervals over facts)" in out
    code, out, _ = call("report", run, "--json")
    assert code == 0 and [row["model"] for row in json.loads(out)["consistency"]] == ["base", "m"]
    xlift.build_site([run], tmp_path / "site")
    page = (tmp_path / "site" / "benchmarks" / "xlift_bmlama.html").read_text()
    assert "Consistency across languages" in page and "<td>en-es</td><td>50</td><td>1.000</td>" in page
    assert f"+{(1 - TURNED_RANKC) / 2:.3f} (" in page
