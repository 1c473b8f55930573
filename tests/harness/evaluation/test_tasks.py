"""Which tasks a suite measures, and what becomes of those whose data are missing."""

from typing import Any

import pytest

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import LanguageMissingError
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
