"""The records that are in the repository, and the site that is built from them."""

from collections import Counter
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import pytest

import xlift
from xlift.leaderboard.site.builder import build

RESULTS = Path(__file__).parents[2] / "leaderboard" / "results"
RECORDS = sorted(path.parent for path in RESULTS.glob("*/record.json"))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_each_record_is_whole(record: Path) -> None:
    assert xlift.check_record(record) == []


class Regions(HTMLParser):
    """The names of a page's sections, which a screen reader lists, and all ids of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found: Mapping[str, str | None] = dict(attrs)
        if own := found.get("id"):
            self.ids.append(own)
        if name := found.get("aria-labelledby") if tag == "section" else None:
            self.names.append(name)


@pytest.mark.slow
def test_each_section_of_their_pages_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert RECORDS
    build(RECORDS, tmp_path / "site")
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "signal.html"} <= {page.name for page in pages}
    for page in pages:
        regions = Regions()
        regions.feed(page.read_text(encoding="utf-8"))
        assert [name for name, times in Counter(regions.names).items() if times > 1] == [], page.name
        assert [name for name, times in Counter(regions.ids).items() if times > 1] == [], page.name
        assert {part for name in regions.names for part in name.split()} <= set(regions.ids), page.name


@pytest.mark.slow
def test_the_page_of_results_has_the_cells_of_the_record() -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    lines = page.split("<!-- table methods -->")[1].split("\n\n")[1].splitlines()[2:]
    shown = {cells[0].strip("`"): set(cells[1:]) for cells in (line.strip("| ").split(" | ") for line in lines)}
    (table,) = xlift.load_results(RESULTS / "methods-small").overview().values()
    rows = {row.pop("method").partition(" (")[0]: set(row.values()) for row in table.to_dict("records")}
    assert shown == rows
