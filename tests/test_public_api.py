"""``import xlift``: every name is there and lazy, and each does what its documentation shows."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import loopback_hub
import pytest
import yaml
from judges import JudgeServer, serve
from result_folders import write_run

import xlift

ROOT = Path(__file__).parent.parent
TASK = "xlift_mgsm_direct_es"
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
        ("xlift.validate(xlift.load_suite('demo', train={'tokens': 9_000}))", {"torch", "lm_eval", "transformers"}),
    ],
)
def test_nothing_is_loaded_before_it_is_used(code: str, unloaded: set[str]) -> None:
    check = f"import sys, xlift\n{code}\nfound = {unloaded!r} & set(sys.modules)\nassert not found, found"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_sections_are_merged_and_settings_come_last(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump({**SUITE, "train": {"tokens": 10_000, "epochs": 2.0}}))
    found = xlift.load_suite(
        path, ["train.tokens=30000"], train={"tokens": 20_000, "max_length": 99}, seeds=[0, 1], evaluate={"limit": None}
    )
    assert (found.train.tokens, found.train.epochs, found.train.max_length) == (30_000, 2.0, 99)
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
    suite = xlift.load_suite(SUITE, base={"model": str(tiny_base)}, train={"tokens": 5_000})
    table = xlift.plan(suite, tmp_path)
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    unknown = {"tokens": None, "steps": None, "items": None}
    assert rows[0] == {"stage": "prepare", "label": "m", "state": "to do", "rows": 30, **unknown, "seconds": 0.0}
    assert (rows[1]["label"], rows[1]["rows"], rows[1]["steps"]) == ("m-seed0", 30, 1), "5,000 tokens are nearest to one step of 4,096"
    assert 5000 <= rows[1]["tokens"] < 5000 + 1024 and rows[1]["seconds"] > 0, "the last step ends with a whole row"
    assert [row["items"] for row in rows[2:]] == [4, 4], "two items of two tasks by two models"
    assert table.attrs["totals"]["run folder"] == str(tmp_path / "small")
    assert not (tmp_path / "small").exists()


@pytest.mark.slow
def test_a_plain_script_needs_no_guard(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump({**SUITE, "base": {"model": str(tiny_base)}}))
    script = tmp_path / "script.py"
    script.write_text("import xlift\nprint('began')\nprint(xlift.prepare(xlift.load_suite('suite.yaml')).to_string())\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("began") == 1
    assert done.stdout.splitlines()[-1].split() == ["0", "m", "rows/m", "7"]


@pytest.fixture
def measured(tmp_path: Path) -> xlift.Results:
    """The base right once of four, ``m`` three times with seed 0 and four times with seed 1."""
    root = tmp_path / "s"
    write_run(root, "base", {TASK: [1.0, 0.0, 0.0, 0.0]}, answers=["siete", "no", "no", "no"])
    write_run(root, "m", {TASK: [1.0, 1.0, 1.0, 0.0]}, seed=0, day="02")
    write_run(root, "m", {TASK: [1.0, 1.0, 1.0, 1.0]}, seed=1, day="03")
    return xlift.load_results(root)


def test_scores_and_costs(measured: xlift.Results) -> None:
    assert [record.name for record in measured.records] == ["base", "m (seed 0)", "m (seed 1)"]
    scores = measured.scores.set_index(["model", "metric"])
    assert scores.loc[("m (seed 0)", "accuracy"), ["value", "lift", "items"]].tolist() == [0.75, 0.5, 4]
    assert scores.loc[("m (seed 1)", "off_target"), "lift"] == 0.75, "0 of 4 beside 3 of 4, turned so that more is better"
    assert measured.costs.set_index("model")["tokens_trained"].tolist()[1:] == [1000, 1000]
    assert repr(measured) == f"Results(3 models, 1 task, of {measured.folder})"


def test_lifts_and_ranks(measured: xlift.Results) -> None:
    lifts = measured.lifts().set_index("metric")
    assert lifts.loc["accuracy", "value"] == pytest.approx((0.75 + 1.0) / 2 - 0.25)
    assert lifts.loc["accuracy", ["kind", "languages", "seeds"]].tolist() == ["lift", ("es",), 2]
    assert measured.lifts(by="task").set_index("metric").loc["accuracy", "task"] == TASK
    ranks = measured.ranks(by="task")
    assert ranks.query("metric == 'accuracy'")["model"].tolist() == ["m", "base"]
    assert set(measured.ranks()["benchmark"]) == {"xlift_mgsm_direct"}


def test_samples(measured: xlift.Results) -> None:
    table = measured.samples(TASK, diff="base", model="m-seed1")
    assert table["diff_answer"].tolist() == ["siete", "no", "no", "no"] and table["accuracy"].sum() == 4
    assert (table["accuracy"] - table["diff_accuracy"]).sum() == 3
    assert measured.samples(TASK, marks=["wrong"])["id"].tolist() == ["3"]
    assert "diff_answer" not in measured.samples(TASK)
    with pytest.raises(xlift.UserError, match="no such model in these results; did you mean 'base'"):
        measured.samples(TASK, diff="bse")


def test_an_adapter_that_is_not_there(measured: xlift.Results) -> None:
    for label, seed, says in [
        ("n", None, r"no adapter 'n' in these results; known: m"),
        ("m", 7, "no adapter 'm' in these results with seed 7; it has 0, 1"),
        ("m", None, "m: 2 adapters; name one by its seed"),
        ("m", 1, r"m \(seed 1\): its adapter is gone"),
    ]:
        with pytest.raises(xlift.UserError, match=says):
            measured.adapter(label, seed)


def test_several_runs_beside_each_other(measured: xlift.Results, tmp_path: Path) -> None:
    other = write_run(tmp_path / "t", "base", {TASK: [1.0, 1.0]}, suite="t")
    both = xlift.load_results(measured.folder, other)
    assert both.scores["suite"].unique().tolist() == ["s", "t"]
    with pytest.raises(xlift.UserError, match="this takes one run"):
        both.samples(TASK)
    with pytest.raises(xlift.UserError, match="name at least one run folder"):
        xlift.load_results()


def test_a_budget_is_split_by_pilots(tmp_path: Path) -> None:
    rows = [f"{lang},{n},{100 - 90 * (g * n) ** -0.1}" for lang, g in (("es", 1.0), ("sw", 0.5)) for n in (100, 1000, 10000)]
    (tmp_path / "pilots.csv").write_text("\n".join(["language,rows,score", *rows]))
    found = xlift.fit_scaling([tmp_path / "pilots.csv"], 1000)
    assert found.law.b == pytest.approx(-0.1)
    # rows go with (g^b)^(1 / (1 - b)): 0.5^(-0.1 / 1.1) = 1.065, so sw gets 1.065 / 2.065 of them
    assert found.allocation.rows == {"es": 484, "sw": 516}
    assert found.options.startswith("allocation: scaling")


def test_a_wrong_judge_is_one_line(measured: xlift.Results) -> None:
    with pytest.raises(xlift.UserError, match="no judge is named"):
        measured.judge("")
    with pytest.raises(xlift.UserError, match=r"judge: unknown key 'modell'; did you mean 'model'\?"):
        measured.judge("http://x/v1", modell="y")
    with pytest.raises(xlift.UserError, match="judge: unknown key 'modell'"):
        xlift.calibrate("http://x/v1", modell="y")


def read_snippets(path: Path) -> list[str]:
    """The Python of a page, each block on the lines that it has there, so that an error names its line."""
    text = path.read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: match.start(1)].count("\n") + match[1] for match in found]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_what_the_documents_import_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for line in re.findall(r"^ *((?:from|import) xlift\b.*?)(?:  #.*)?$", text, re.MULTILINE):
        exec(line, {})


def read_cells(path: Path, parameters: Mapping[str, Any]) -> list[str]:
    """The code of a notebook, its cell of parameters with other values."""
    book = json.loads(path.read_text(encoding="utf-8"))
    assert (book["nbformat"], len({cell["id"] for cell in book["cells"]})) == (4, len(book["cells"]))
    assert all(not cell["outputs"] for cell in book["cells"] if cell["cell_type"] == "code"), "outputs are not kept"
    others = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    codes = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    return [others if "parameters" in cell["metadata"].get("tags", ()) else "".join(cell["source"]) for cell in codes]


def execute(snippets: list[str], name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "__main__"}
    for snippet in snippets:
        exec(compile(snippet, name, "exec"), names)
    return names


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page and the notebook run the same suite: what the first has finished the second finds."""
    return tmp_path_factory.mktemp("api")


@pytest.fixture
def here(runs: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch, in_process: None) -> Path:
    """The folder that the snippets are run in, with ``my-suite.yaml``."""
    suite = {
        **SUITE,
        "name": "my-suite",
        "base": {"model": str(tiny_base), "hub_id": "org/base"},
        "methods": {"x-llama": {"method": "cross_lingual"}},
        "train": {
            "batch_tokens": 768, "micro_batch_tokens": 768, "max_length": 384, "learning_rate": 1.0e-2, "dtype": "float32",
            "lora": {"r": 4, "target_modules": "all-linear"},
        },
        "engine": {"backend": "hf", "dtype": "float32", "max_length": 768},
        "evaluate": {"tasks": [TASK, "xlift_x_alpaca_eval_es"], "limit": 2},
    }  # fmt: skip
    (runs / "my-suite.yaml").write_text(yaml.safe_dump(suite))
    monkeypatch.chdir(runs)
    return runs


def change(snippets: list[str], places: Mapping[str, str]) -> list[str]:
    """Snippets with what stands for a reader's own model, server or budget in place of what a page shows."""
    assert all(any(shown in snippet for snippet in snippets) for shown in places)
    for shown, real in places.items():
        snippets = [snippet.replace(shown, real) for snippet in snippets]
    return snippets


@pytest.mark.slow
def test_the_page_runs(
    here: Path, tiny_base: Path, loopback: loopback_hub.State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    server = JudgeServer()
    places = {"http://localhost:8000/v1": server.url, "ORG/NAME": "lab/mine", "ORG/MODEL": str(tiny_base), "2_000_000": "2_000",
              '"control"': '"x-llama"',
              '"hf"}': '"hf", "max_length": 768}, limit=2', '"merged")': f'"merged", base={str(tiny_base)!r})'}  # fmt: skip
    with serve(server):
        names = execute(change(read_snippets(ROOT / "docs" / "api.md"), places), "docs/api.md")
    assert [record.name for record in names["results"].records] == ["base", "x-llama (seed 0)"]
    assert names["adapter"].parent.parent == here / "runs" / "my-suite"
    assert server.seen and set(names["results"].win_rates["model"]) == {"x-llama (seed 0)"}
    assert (here / "site" / "index.html").is_file() and (here / "rows" / "x-llama" / "trl.jsonl").is_file()
    assert (here / "runs" / "my-suite" / "probe.json").is_file() and (here / "runs" / "evaluate").is_dir()
    assert "adapter_model.safetensors" in loopback.files("lab/mine")
    assert "did you mean 'train'?" in capsys.readouterr().out


@pytest.mark.slow
def test_the_snippet_of_the_readme_runs(here: Path) -> None:
    (snippet,) = change(read_snippets(ROOT / "README.md"), {"2_000_000": "2_000", "xlift_mgsm_cot_es": TASK})
    names = execute([snippet], "README.md")
    assert names["results"].adapter("x-llama").is_relative_to(here)


@pytest.mark.slow
def test_the_notebook_runs(here: Path) -> None:
    changes = {"train": {"tokens": 2_000}}
    parameters = {"SUITE": "my-suite.yaml", "CHANGES": changes, "RUNS": "runs"}
    names = execute(read_cells(ROOT / "examples" / "compare_methods.ipynb", parameters), "compare_methods.ipynb")
    assert list(names["headline"]["method"].unique()) == ["x-llama"]
    assert {axis.get_title() for axis in names["axes"].flat} == set(names["headline"]["benchmark"])
    assert len(names["samples"]) == 2


@pytest.mark.parametrize("function", ["validate", "plan", "run", "train", "prepare"])
def test_a_name_in_the_place_of_a_suite(function: str) -> None:
    with pytest.raises(xlift.UserError, match=r"^'demo' is no suite; load it first: xlift.load_suite\('demo'\)$"):
        getattr(xlift, function)("demo")
