"""The list of corpora as people read it."""

import json
import re

from typer.testing import CliRunner

from xlift.harness.cli.main import app


def test_many_languages_are_counted_for_people_and_named_for_programs() -> None:
    shown = CliRunner().invoke(app, ["data", "list"]).output
    assert re.search(r"flores +measuring +204 ", shown) and "splits" not in shown
    rows = {row["corpus"]: row for row in json.loads(CliRunner().invoke(app, ["data", "list", "--json"]).output)}
    assert {"spa", "es"} & set(rows["flores"]["languages"].split())
