"""The places of the published tables that say which article a row belongs to. ``articles.py`` reads them."""

from __future__ import annotations

from typing import Any

from xlift.tasks.corpora import File, Listing, Remote

FLORES_ARCHIVE: dict[str, Any] = {
    "repo": "dl.fbaipublicfiles.com", "revision": "", "path": "nllb/flores200_dataset.tar.gz", "host": "web", "size": 25585843,
    "sha256": "b8b0b76783024b85797e5cc75064eb83fc5288b41e9654dabc7be6ae944011f6",
}  # fmt: skip
"""The archive of FLORES-200, without a member. It has the texts and a table for each split."""
NTREX_PLACE = "MicrosoftTranslator/NTREX", "8561f6a622db9edad1217683e5c83daefd8bb2bf"


def list_flores(split: str) -> tuple[Listing, ...]:
    """The table of a split of FLORES-200."""
    name = f"flores200_dataset/metadata_{split}.tsv"
    return (Listing(File(name, Remote(**FLORES_ARCHIVE, member=name)), "URL", split),)


def list_sib200(split: str) -> tuple[Listing, ...]:
    """Both tables of FLORES-200. The id of a row of SIB-200, in every split, is the number of a line of dev and devtest taken together."""
    return (*list_flores("dev"), *list_flores("devtest"))


def list_ntrex(split: str) -> tuple[Listing, ...]:
    """The table of NTREX-128."""
    return (Listing(File("ntrex128/document_ids.tsv", Remote(*NTREX_PLACE, "DOCUMENT_IDS.tsv", "github")), "document"),)
