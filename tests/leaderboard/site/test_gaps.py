"""Languages that nobody measured: what their place on the page of languages says."""

import yaml

import xlift
from xlift.leaderboard.site.gaps import list_gaps


def test_a_language_that_nobody_measured_says_what_would_measure_it() -> None:
    found = {one.code: one for one in list_gaps({"es", "de"}, "smollm2-135m-instruct", "cross_lingual")}
    assert "es" not in found and found["sw"].name == "Swahili"
    assert {"MGSM", "XCOPA", "FLORES-200"} <= set(found["sw"].benchmarks) and "parallel" in found["sw"].training
    suite = xlift.load_suite(yaml.safe_load(found["sw"].suite))
    assert suite.languages.train == ("sw",) and set(suite.methods) == {"cross_lingual", "control"}


def test_names_of_languages_are_names_in_yaml_too() -> None:
    found = {one.code: yaml.safe_load(one.suite)["languages"] for one in list_gaps((), "smollm2-135m-instruct", "star_alignment")}
    assert "en" not in found, "the pivot is not trained"
    assert all(languages["train"] == [code] for code, languages in found.items())
