"""Tasks that are not xlift's, by name: groups and tags are split, and a wrong name is refused with the nearest one."""

from pathlib import Path

import pytest
from foreign_tasks import write_foreign_tasks

import xlift
from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.catalogue import open_catalogue
from xlift.harness.evaluation.tasks import expand_tasks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = write_foreign_tasks(tmp_path / "tasks")
    (made / "cloze.yaml").write_text("group: cloze\ntask: [xstorycloze_ar, {group: inner, task: [{task: xstorycloze_es}]}, multiblimp]\n")
    (made / "changed.yaml").write_text("group: changed\ntask: [{task: hellaswag, num_fewshot: 5}]\n")
    return made


def test_groups_and_tags_are_split(folder: Path) -> None:
    catalogue = open_catalogue(["cloze"], [folder])
    assert not catalogue.defaults, "lm-eval's own tasks are not looked through where the folders have all"
    assert catalogue.expand("cloze") == ["xstorycloze_ar", "xstorycloze_es", "multiblimp_fra", "multiblimp_spa"]
    assert catalogue.expand("hellaswag") == ["hellaswag"]
    assert (catalogue.subset("multiblimp_spa"), catalogue.subset("hellaswag"), catalogue.subset("nothing")) == ("spa", None, None)
    with pytest.raises(UserError, match="the group 'changed' changes settings of its tasks"):
        catalogue.expand("changed")


def test_a_served_model_is_not_asked_for_likelihoods(folder: Path) -> None:
    (folder / "told.yaml").write_text("task: told\noutput_type: generate_until\n")
    assert [open_catalogue(["told"], [folder]).takes_likelihoods(task) for task in ("told", "hellaswag", "none")] == [False, True, False]
    settings = [f"evaluate.include_path=[{folder}]", "methods={}", "engine={backend: api, url: http://127.0.0.1:9/v1}"]
    assert expand_tasks(xlift.load_suite("demo", [*settings, "evaluate.tasks=[told]"]))[0] == ("told",)
    with pytest.raises(UserError, match="'hellaswag' asks for likelihoods, which a served model does not give"):
        expand_tasks(xlift.load_suite("demo", [*settings, "evaluate.tasks=[told, hellaswag]"]))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="evaluate.include_path: .*missing: no such folder"):
        open_catalogue([], [tmp_path / "missing"])


@pytest.mark.slow  # the index of lm-eval's own tasks takes 5 seconds
def test_names_of_lm_eval(folder: Path) -> None:
    def load(tasks: str, languages: str = "[es, fr]") -> xlift.Suite:
        return xlift.load_suite("demo", [f"evaluate.tasks={tasks}", f"languages.evaluate={languages}"])

    tasks, lacking = expand_tasks(load("['belebele_{flores}', multiblimp_spa, 'xstorycloze_{lang}', arc_easy]"))
    assert tasks == ("belebele_spa_Latn", "belebele_fra_Latn", "multiblimp_spa", "xstorycloze_es", "arc_easy")
    assert lacking == ("xstorycloze_{lang}: the benchmark has no fr",)
    assert len(expand_tasks(load("[mmlu]"))[0]) == 57 and len(expand_tasks(load("[multiblimp]"))[0]) == 101
    with pytest.raises(UserError, match=r"unknown task 'belebele_spa_Latm'; did you mean 'belebele_spa_Latn'"):
        xlift.validate(load("[belebele_spa_Latm]"))
    with pytest.raises(UserError, match=r"'xstoricloze_\{lang\}' is no task in es, fr: .* did you mean 'xstorycloze_e."):
        xlift.validate(load("['xstoricloze_{lang}', arc_easy]"))
    with pytest.raises(UserError, match="neither xlift nor lm-eval has it"):
        xlift.plan(load("[nothing_like_it_at_all]"), folder.parent / "runs")


def test_a_misspelled_pattern_is_refused_even_beside_a_right_one() -> None:
    tasks = ["xlift_mgsm_cot_{lang}", "xlift_mgms_cot_{lang}"]
    suite = xlift.load_suite("demo", evaluate={"tasks": tasks, "limits": {}})
    with pytest.raises(
        xlift.UserError, match=r"no task in any language is named like 'xlift_mgms_cot_\{lang\}'; did you mean 'xlift_mgsm_cot_es'"
    ):
        xlift.validate(suite)
