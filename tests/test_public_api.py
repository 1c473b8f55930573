"""``import xlift``: every name is there and lazy, and each does what its documentation shows."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import xlift

SUITE = {
    "name": "small",
    "data": {"samples": "always"},
    "languages": {"train": ["es"], "evaluate": ["en", "es"]},
    "rows": 30,
    "methods": {"m": {"method": "cross_lingual"}},
    "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"], "limit": 2},
}


@pytest.mark.parametrize("name", xlift.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(xlift, name).__doc__
    assert name in dir(xlift)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        _ = xlift.runn  # type: ignore[attr-defined]


def test_the_version_is_that_of_the_package() -> None:
    assert xlift.__version__ == importlib.metadata.version("xlift")


@pytest.mark.parametrize(
    ("code", "unloaded"),
    [
        ("", {"torch", "pandas", "numpy", "pydantic", "yaml"}),
        ("from xlift import plugin, Record, Results, Suite, UserError", {"torch", "pandas", "lm_eval", "transformers"}),
        ("xlift.validate(xlift.load_suite('demo', train={'tokens': 9}))", {"torch", "lm_eval", "transformers"}),
    ],
)
def test_nothing_is_loaded_before_it_is_used(code: str, unloaded: set[str]) -> None:
    check = f"import sys, xlift\n{code}\nfound = {unloaded!r} & set(sys.modules)\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_sections_are_merged_and_settings_come_last(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({**SUITE, "train": {"tokens": 10, "epochs": 2.0}}))
    found = xlift.load_suite(path, ["train.tokens=30"], train={"tokens": 20, "max_length": 99}, seeds=[0, 1], evaluate={"limit": None})
    assert (found.train.tokens, found.train.epochs, found.train.max_length) == (30, 2.0, 99)
    assert (found.seeds, found.evaluate.limit, found.evaluate.tasks) == ((0, 1), None, ("xlift_mgsm_direct_{lang}",))
    deep = xlift.load_suite(SUITE, methods={"m": {"options": {"direction": "both"}}, "p": {"method": "pivot_language"}})
    assert deep.methods["m"].method == "cross_lingual" and deep.methods["m"].options == {"direction": "both"}
    assert list(deep.methods) == ["m", "p"]
    assert xlift.load_suite(SUITE) == xlift.load_suite(path, train={"tokens": None, "epochs": 1.0})


def test_a_wrong_section_is_named_with_the_nearest_right_one() -> None:
    with pytest.raises(xlift.UserError, match=r"suite: unknown key 'trian'; did you mean 'train'\?"):
        xlift.load_suite(SUITE, trian={"tokens": 5})
    with pytest.raises(xlift.UserError, match=r"demo: unknown key 'train.token'; did you mean 'tokens'\?"):
        xlift.load_suite("demo", train={"token": 5})


def test_what_is_missing_for_an_evaluation_is_said() -> None:
    with pytest.raises(xlift.UserError, match="name tasks"):
        xlift.evaluate("ORG/MODEL")
    with pytest.raises(xlift.UserError, match="limit: hub:lab/x is measured on as many items"):
        xlift.evaluate(again="hub:lab/x", limit=3)


def test_lists_are_tables() -> None:
    assert list(xlift.list_languages().columns) == ["code", "flores", "name", "own name", "benchmarks"]
    assert len(xlift.list_languages()) == 209
    assert "cross_lingual" in set(xlift.list_methods()["method"])
    assert "demo" in set(xlift.list_suites()["suite"])
    assert set(xlift.list_tasks().columns) == {"name", "tasks", "reads"}


def test_a_plan_has_whole_numbers_and_totals(tiny_base: Path, tmp_path: Path) -> None:
    suite = xlift.load_suite(SUITE, base={"model": str(tiny_base)}, train={"tokens": 500})
    table = xlift.plan(suite, tmp_path)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    assert rows[0] == {"stage": "prepare", "label": "m", "state": "to do", "rows": 30, "tokens": None, "items": None}
    assert rows[1] == {"stage": "fit", "label": "m-seed0", "state": "to do", "rows": 30, "tokens": 500, "items": None}
    assert [row["items"] for row in rows[2:]] == [4, 4], "two items of two tasks by two models"
    assert table.attrs["totals"]["run folder"] == str(tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_a_plain_script_needs_no_guard(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**SUITE, "base": {"model": str(tiny_base)}}))
    script = tmp_path / "script.py"
    script.write_text("import xlift\nprint('began')\nprint(xlift.prepare(xlift.load_suite('suite.yaml')).to_string())\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("began") == 1
    assert done.stdout.splitlines()[-1].split() == ["0", "m", "rows/m", "7"]
