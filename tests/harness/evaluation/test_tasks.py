"""Which tasks a suite measures, and what becomes of those whose data are missing."""

from typing import Any

import pytest

from xlift.harness.config.suite import Suite, load_suite, read_suite, shipped_suites
from xlift.harness.core.errors import LanguageMissingError, UserError
from xlift.harness.evaluation.tasks import expand_tasks, locate_data


def suite(*tasks: str, samples: str = "missing", strict: bool = False) -> Suite:
    values: dict[str, Any] = {"name": "s", "languages": {"evaluate": ["en", "es"]}, "evaluate": {"tasks": tasks}}
    return read_suite({**values, "data": {"samples": samples, "strict": strict}}, "suite")


def locate(chosen: Suite) -> tuple[list[str], tuple[str, ...]]:
    found, left_out = locate_data(chosen, expand_tasks(chosen)[0])
    return list(found), left_out


@pytest.mark.usefixtures("unplugged")
def test_a_group_is_measured_in_the_languages_whose_data_are_there() -> None:
    found, (line,) = locate(suite("xlift_mgsm_cot"))
    assert "xlift_mgsm_cot_es" in found and "xlift_mgsm_cot_bn" not in found
    assert line.startswith("xlift_mgsm_cot: no data for xlift_mgsm_cot_bn") and "XLIFT_DATA is not set" in line


@pytest.mark.usefixtures("unplugged")
@pytest.mark.parametrize(
    "chosen",
    [
        suite("xlift_mgsm_cot", strict=True),
        suite("xlift_mgsm_cot", "xlift_mgsm_cot_bn"),
        suite("xlift_mgsm_cot_bn"),
    ],
)
def test_a_task_that_is_named_must_be_there_and_with_strict_each_of_a_group(chosen: Suite) -> None:
    with pytest.raises(LanguageMissingError, match="mgsm in 'bn', split test, cannot be read here"):
        locate(chosen)


@pytest.mark.usefixtures("unplugged")
def test_a_group_without_any_data_is_refused_and_the_samples_are_named_where_they_help() -> None:
    with pytest.raises(LanguageMissingError, match="--set data.samples=missing, XLIFT_SAMPLES=missing for lm_eval"):
        locate(suite("xlift_xquad", samples="never"))


def limit(key: str, *tasks: str) -> tuple[str, ...]:
    values = {"name": "s", "languages": {"evaluate": ["en", "es"]}, "evaluate": {"tasks": tasks or ("xlift_xquad",), "limits": {key: 3}}}
    return expand_tasks(read_suite(values, "suite"))[0]


@pytest.mark.parametrize("key", ["xlift_xquad_es", "xlift_mgsm", "xlift_mgsm_cot", "xlift_flores_deu_Latn_spa_Latn"])
def test_a_limit_may_be_of_a_task_that_is_not_measured(key: str) -> None:
    """Tasks are replaced on the command line, and the limits of the others stay in the suite."""
    assert "xlift_xquad_es" in limit(key)


@pytest.mark.parametrize(("key", "near"), [("xlift_xqaud", "xlift_xquad"), ("xlift_mgsm_direkt_es", "xlift_mgsm_direct_es")])
def test_a_limit_of_tasks_that_exist_nowhere_is_refused_with_the_nearest_name(key: str, near: str) -> None:
    with pytest.raises(UserError, match=rf"evaluate.limits.{key}: no task's name begins so; did you mean '{near}'"):
        limit(key)


@pytest.mark.slow  # the index of lm-eval's own tasks takes 5 seconds
def test_limits_of_tasks_of_lm_eval() -> None:
    assert limit("arc_", "arc_easy") == ("arc_easy",) and "xlift_xquad_es" in limit("hellaswag")
    with pytest.raises(UserError, match="evaluate.limits.helaswag: no task's name begins so; did you mean 'hellaswag'"):
        limit("helaswag")


@pytest.mark.parametrize("name", [name for name in shipped_suites() if load_suite(name).evaluate.limits])
def test_limits_of_the_suites_that_ship_are_of_tasks_that_exist(name: str) -> None:
    assert expand_tasks(load_suite(name))[0]
