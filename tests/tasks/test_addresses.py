"""Every corpus in use has an address that is pinned, and the documents say how each was verified."""

import re
from pathlib import Path

from xlift.tasks.addresses import CHECKS, list_addresses, to_markdown
from xlift.tasks.corpora import Choice
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.training_corpora import OWN

NOWHERE = {"parallel/alma"}
"""Parts that the data folder alone has: what was taken out of them cannot be made again."""


def test_every_part_of_every_corpus_has_an_address() -> None:
    titles = {f"{name}/{part}" for name, table in CORPORA.items() for part in table.parts if part != OWN}
    titles |= {name for name, table in CORPORA.items() if not table.parts}
    assert titles - NOWHERE == {address.corpus for address in list_addresses()}


def test_every_language_that_is_said_to_be_published_has_a_file() -> None:
    for table in CORPORA.values():
        for lang in table.published:
            files = [file for part in table.parts for file in table.files(Choice((lang,), "train", part))]
            assert any(file.remotes for file in files), lang


def test_every_address_is_pinned_and_checked() -> None:
    for address in list_addresses():
        remote = address.remote
        assert re.fullmatch(r"[0-9a-f]{40}", remote.revision) or re.fullmatch(r"[0-9a-f]{64}", remote.sha256), remote
        assert remote.host in ("hub", "github", "web") and address.check.how and re.fullmatch(r"2\d{3}-\d\d-\d\d", address.check.on)
    assert {address.remote.repo for address in list_addresses()} == set(CHECKS), "nothing is checked that is not used"


def test_the_documents_hold_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    assert to_markdown() in text, "put what 'python -m xlift.tasks.addresses' prints into docs/data.md"
