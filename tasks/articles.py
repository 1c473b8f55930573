"""Which rows of a corpus are sentences of one article. Such sentences are easy or hard together, so they are no independent draws.

FLORES-200 takes about four sentences of each article, one after the other. A table beside its texts says which article each line belongs
to; NTREX-128 has such a table too. The lines are the same in all languages, and SIB-200 numbers its rows by the lines of FLORES.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from xlift.harness.core.errors import UserError, one_line
from xlift.tasks import data
from xlift.tasks.corpora import Listing
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.fetching import Absent, fetch, find_kept
from xlift.tasks.sources import find_in_folder

logger = logging.getLogger(__name__)


def find_articles(corpus: str, lang: str, split: str, *, samples: data.Samples = "never", fetch: bool = True) -> dict[str, str]:
    """The article of each row, by the row's id. The result is empty if the articles are not known, or if the corpus has no articles.

    Nothing is fetched unless the rows themselves were fetched, and nothing at all without ``fetch``. In the bundled samples every sentence
    stands alone. If the table of FLORES-200 is missing, the passages of Belebele, which come from the same articles, tell which lines
    belong together. A line that is in none of the passages counts with the article before it, so that sentences of one article are hardly
    ever taken for sentences of two. Raises UserError as ``data.locate`` does, and for a file that is not such a table.
    """
    listings = list_listings(corpus, split)
    if not listings:
        return {}
    origin = data.locate(corpus, lang, split, samples=samples).origin
    if origin == "samples":
        return {identity: identity for identity in data.read(corpus, lang, split, samples=samples)["id"]}
    found: list[str] = []
    for listing in listings:
        lines = read_listing(listing, fetched=fetch and "hub" in origin) or (_match_passages(listing.split) if listing.split else [])
        if not lines:
            return {}
        found += lines
    return {str(number): article for number, article in enumerate(found)}


def list_listings(corpus: str, split: str) -> tuple[Listing, ...]:
    """The tables that say which article each row of a split belongs to; none if the corpus has no articles."""
    make = CORPORA[corpus].listings
    return make(split) if make else ()


def read_column(text: str, column: str) -> list[str]:
    """One column of a table whose cells are separated by tabs. Raises ValueError if the table lacks that column."""
    lines = [line.rstrip("\r").split("\t") for line in text.removesuffix("\n").split("\n")]
    if column in lines[0]:
        place = lines[0].index(column)
        return [line[place] for line in lines[1:]]
    if any(len(line) > 1 for line in lines):
        raise ValueError(f"no column {column!r}")
    return [line[0] for line in lines]


def read_listing(listing: Listing, *, fetched: bool) -> list[str]:
    """The article of each line. The result is empty, with a warning, if the table is neither on this machine nor (with ``fetched``) at its
    address.

    Raises UserError for a file that is not such a table.
    """
    found = find_in_folder(listing.file)
    if found is None and (fetched or all(map(find_kept, listing.file.remotes))):
        try:
            found = fetch(listing.file)
        except Absent as absent:
            logger.warning("which sentences are of one article is not known: %s", absent)
    if found is None:
        return []
    try:
        return read_column(found.paths[0].read_text(encoding="utf-8"), listing.column)
    except (ValueError, IndexError, OSError) as error:
        raise UserError(f"{found.paths[0]}: not a table of articles ({one_line(error)})") from None


def _match_passages(split: str) -> list[str]:
    """The passage of Belebele that contains each line of FLORES, or the line before it; empty if one of the two is not on this machine."""
    sources = (("flores", "en", split), ("belebele", "en", "test"))
    if any(data.survey(*source).state != "here" for source in sources):
        return []
    lines, passages = (data.read(*source) for source in sources)
    return spread_passages(lines["text"], list(dict.fromkeys(passages["context"])))


def spread_passages(lines: Sequence[str], passages: Sequence[str]) -> list[str]:
    """The passage that contains each line. A line without a passage gets that of the line before it, or itself if there is none yet."""
    texts = [" ".join(passage.split()) for passage in passages]
    found: list[str] = []
    for line in lines:
        before = found[-1] if found else line
        found.append(next((text for text in texts if " ".join(line.split()) in text), before))
    return found
