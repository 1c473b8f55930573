"""The list of corpora as people read it."""

import json
import re

import pytest
from typer.testing import CliRunner

from xlift.harness.cli.data import show_needs
from xlift.harness.cli.main import app


def test_many_languages_are_counted_for_people_and_named_for_programs() -> None:
    shown = CliRunner().invoke(app, ["data", "list"]).output
    assert re.search(r"flores +measuring +204 ", shown) and "splits" not in shown
    rows = {row["corpus"]: row for row in json.loads(CliRunner().invoke(app, ["data", "list", "--json"]).output)}
    assert {"spa", "es"} & set(rows["flores"]["languages"].split())


def test_choices_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = {"corpus": "parallel", "split": "train", "languages": "de", "state": "nowhere", "bytes": None}
    both = "set XLIFT_DATA to a folder; train fewer languages"
    texts = [both, both, "set XLIFT_DATA to a folder; evaluate fewer", "the pivot's are translated", "the pivot's are translated"]
    show_needs({"for": f"m{number}", **nowhere, "otherwise": text} for number, text in enumerate(texts))
    said = [line.partition("nowhere")[2].strip() for line in capsys.readouterr().out.splitlines()[1:]]
    assert said == [both, "as above", "as above; evaluate fewer", "the pivot's are translated", "the pivot's are translated"]
