"""lm-eval's own likelihood tasks in a suite: measured beside ours, grouped by language, with choices among the samples."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import Call
from foreign_tasks import write_foreign_tasks

import xlift
from xlift.harness.models.bases import Base

pytestmark = pytest.mark.slow

TASKS = ("multiblimp_spa", "multiblimp_fra", "xstorycloze_ar", "xstorycloze_es", "hellaswag")


@pytest.fixture(scope="module")
def measured(tiny_base: Path, make_adapter: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a tiny base and an adapter of it; the tasks lie in a folder that the suite names."""
    from xlift.harness.config.suite import BaseSettings
    from xlift.harness.models.bases import resolve

    base: Base = resolve(BaseSettings(model=str(tiny_base)))
    folder = write_foreign_tasks(tmp_path_factory.mktemp("suite") / "tasks")
    suite = folder.parent / "suite.yaml"
    suite.write_text(
        f"name: foreign\nbase: {{model: {tiny_base}}}\nlanguages: {{evaluate: [es, fr, ar]}}\nengine: {{backend: hf}}\n"
        f"evaluate:\n  tasks: [multiblimp_spa, multiblimp_fra, 'xstorycloze_{{lang}}', hellaswag]\n  include_path: [tasks]\n"
        f"  adapters: {{tuned: {make_adapter(base)}}}\n"
    )
    runs = tmp_path_factory.mktemp("runs")
    xlift.run(xlift.load_suite(suite), runs)
    return runs / "foreign"


def test_tasks_have_benchmark_language_and_direction(measured: Path) -> None:
    base, tuned = xlift.load_results(measured).records
    assert base.left_out == ("xstorycloze_{lang}: the benchmark has no fr",), "named, as for our own benchmarks"
    assert {task: (result.benchmark, result.language) for task, result in tuned.tasks.items()} == {
        "multiblimp_spa": ("multiblimp_*", "es"), "multiblimp_fra": ("multiblimp_*", "fr"), "xstorycloze_es": ("xstorycloze_*", "es"),
        "xstorycloze_ar": ("xstorycloze_*", "ar"), "hellaswag": ("hellaswag", ""),
    }  # fmt: skip
    assert {(result.headline, result.is_ranked) for result in tuned.tasks.values()} == {("acc", True)}
    for task in TASKS:
        assert base.tasks[task].comparability == tuned.tasks[task].comparability


def test_lift_is_the_difference_of_the_scores(measured: Path) -> None:
    results = xlift.load_results(measured)
    base, tuned = results.records
    lifts = results.lifts().set_index("benchmark")
    # Nobody knows what the adapter was trained in: all languages count as lift.
    assert set(lifts["kind"]) == {"lift"} and set(lifts.index) == {"multiblimp_*", "xstorycloze_*", "hellaswag"}
    values = [[one.tasks[f"multiblimp_{code}"].metrics["acc"].value for code in ("spa", "fra")] for one in (tuned, base)]
    assert lifts.loc["multiblimp_*", "value"] == pytest.approx(sum(values[0]) / 2 - sum(values[1]) / 2)
    assert lifts.loc["multiblimp_*", "languages"] == ("es", "fr")


def test_show_and_site_have_the_choices(measured: Path, tmp_path: Path, call: Call) -> None:
    code, out, _ = call("show", measured, "multiblimp_spa", "--model", "tuned", "--diff", "base")
    assert code == 0 and out.count("La casa son grande.") >= 1 and "reference: La casa es grande." in out and "(base -" in out
    code, _, error = call("site", measured, "--out", tmp_path / "site")
    assert code == 0, error
    page = (tmp_path / "site/languages/es.html").read_text(encoding="utf-8")
    assert "multiblimp_*" in page and "xstorycloze_*" in page
    index = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "1 of 2" in index and "not ranked" not in index
    samples = next((tmp_path / "site/samples").glob("*tuned*/multiblimp_spa-1.html")).read_text(encoding="utf-8")
    assert "Choices, by log-likelihood" in samples and "La casa son grande." in samples


def test_a_changed_task_file_is_measured_anew(measured: Path, tmp_path: Path) -> None:
    from xlift.harness.evaluation.tasks import identify_foreign

    before = write_foreign_tasks(tmp_path / "tasks")
    suite = xlift.load_suite(
        "demo", ["evaluate.tasks=[hellaswag]", f"evaluate.include_path=[{before}]", "languages.evaluate=[es]", "methods={}"]
    )
    first = identify_foreign(suite, ["hellaswag"])
    (before / "hellaswag.yaml").write_text((before / "hellaswag.yaml").read_text().replace('"validation"', '"test"'))
    assert identify_foreign(suite, ["hellaswag"]) != first


def test_results_of_lm_evals_own_command_stand_beside_their_base(
    tiny_base: Path, make_adapter: Callable[..., Path], tmp_path: Path, call: Call
) -> None:  # fmt: skip
    from xlift.harness.config.suite import BaseSettings
    from xlift.harness.evaluation.lm_eval_command import run_command
    from xlift.harness.models.bases import resolve
    from xlift.leaderboard.loading import foreign, runs

    folder, adapter = write_foreign_tasks(tmp_path / "tasks"), make_adapter(resolve(BaseSettings(model=str(tiny_base))))
    for given in ("", f",adapter={adapter}"):
        run_command(
            ["run", "--model", "xlift", "--model_args", f"base={tiny_base},backend=hf,dtype=float32{given}", "--include_path", str(folder),
             "--tasks", "multiblimp_spa,multiblimp_fra", "--output_path", str(tmp_path / "out"), "--log_samples", "--apply_chat_template"]
        )  # fmt: skip
    found = runs.collect([tmp_path / "out"], foreign.read)
    base, tuned = found.runs
    name = f"{tiny_base.parent.name}/{tiny_base.name}"
    assert (base.record.label, tuned.record.label) == ("base", f"{name} + {adapter.parent.name}/{adapter.name}"), "no name at random"
    assert found.older == () and {run.record.suite for run in found.runs} == {f"lm_eval: {name}"}
    assert {task: (one.benchmark, one.language) for task, one in tuned.record.tasks.items()} == {
        "multiblimp_spa": ("multiblimp_*", "es"), "multiblimp_fra": ("multiblimp_*", "fr"),
    }  # fmt: skip
    code, _, error = call("site", tmp_path / "out", "--out", tmp_path / "site")
    index = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert code == 0 and "1 of 2" in index and "not ranked" not in index and str(tmp_path) not in index, error
