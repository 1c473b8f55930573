"""What CI says of known faults of the locked versions."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

explain: Callable[[str, str], tuple[int, list[str]]] = runpy.run_path(str(Path(__file__).parent.parent / ".ci" / "audit.py"))["explain"]

CLEAN = {"name": "a", "version": "1.0", "vulns": []}
FAULTS = [{"id": "PYSEC-1", "fix_versions": ["2.1", "3.0"]}, {"id": "PYSEC-2", "fix_versions": []}]
FAULTY = {"name": "b", "version": "2.0", "vulns": FAULTS}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3.0)"}
LOCK = "requirements/lock.txt"


@pytest.mark.parametrize(
    ("versions", "code", "lines"),
    [
        ([CLEAN], 0, [f"{LOCK}: 0 known faults of 1 versions"]),
        (
            [CLEAN, FAULTY],
            1,
            ["b 2.0: PYSEC-1, mended in 2.1, 3.0", "b 2.0: PYSEC-2, mended in no version", f"{LOCK}: 2 known faults of 2 versions"],
        ),
        ([UNKNOWN], 3, [f"{LOCK}: not looked up: no version of it is known there"]),
        ([CLEAN, UNKNOWN], 3, [f"{LOCK}: 0 known faults of 1 versions; not looked up: c"]),
    ],
)
def test_what_is_known_of_the_versions_and_what_could_not_be_asked(versions: list[object], code: int, lines: list[str]) -> None:
    assert explain(json.dumps({"dependencies": versions, "fixes": []}), "") == (code, lines)


def test_a_database_that_cannot_be_reached_is_one_line() -> None:
    said = "WARNING: a\nERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed\n\n"
    assert explain("", said) == (3, [f"{LOCK}: not looked up: ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed"])
