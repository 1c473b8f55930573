"""Languages that nobody measured: what their place on the page of languages says."""

import pytest
import yaml

import xlift
from xlift.harness.evaluation.tasks import expand_tasks
from xlift.harness.pipeline.needs import list_needs, require
from xlift.leaderboard.site.gaps import list_gaps


def test_a_language_that_nobody_measured_says_what_would_measure_it() -> None:
    found = {one.code: one for one in list_gaps({"es", "de"}, "smollm2-135m-instruct")}
    assert "es" not in found and found["sw"].name == "Swahili"
    assert {"MGSM", "XCOPA", "FLORES-200"} <= set(found["sw"].benchmarks) and "parallel" in found["sw"].training
    suite = xlift.load_suite(yaml.safe_load(found["sw"].suite))
    assert suite.languages.train == ("sw",) and set(suite.methods) == {"cross_lingual", "control"}
    assert "parallel" not in found["ace"].training, "no parallel text in Acehnese has an address"
    assert set(xlift.load_suite(yaml.safe_load(found["ace"].suite)).methods) == {"translate_then_sft", "control"}


@pytest.mark.slow
def test_every_suite_that_is_proposed_has_its_data(mirror: object) -> None:
    for one in list_gaps((), "smollm2-135m-instruct"):
        suite = xlift.load_suite(yaml.safe_load(one.suite))
        require(list_needs(suite, expand_tasks(suite)[0]))


def test_names_of_languages_are_names_in_yaml_too() -> None:
    found = {one.code: yaml.safe_load(one.suite)["languages"] for one in list_gaps((), "smollm2-135m-instruct")}
    assert "en" not in found, "the pivot is not trained"
    assert all(languages["train"] == [code] for code, languages in found.items())
