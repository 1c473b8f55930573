"""The published addresses of the corpora, and how it was found out that they are right; docs/data.md holds the table.

python -m xlift.tasks.addresses      prints the table of docs/data.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from xlift.tasks.articles import list_listings
from xlift.tasks.corpora import Choice, Corpus, Remote
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.training_corpora import OWN

Way = Literal["compared", "listed", "named"]


@dataclass(frozen=True)
class Check:
    """How an address was verified. There was no network, so nothing was fetched from the address itself."""

    way: Way
    """``compared``: a stored copy of files of this repository was read, and it has the rows of our data folder. ``listed``: the files are
    in a stored list of the repository's files. ``named``: documents or public code name the files."""
    how: str
    on: str = "2026-11-27"
    """The day of the last check."""


_FOLDER = "named by the README of the data folder"

CHECKS = {
    "google-research/url-nlp": Check(
        "compared",
        "exemplars.py: its end and the Swahili part were read, equal; GATITOS es, arz, as: as many characters as the rows make; "
        "the commit of GATITOS is in public code; mgsm_*.tsv: " + _FOLDER,
    ),
    "microsoft/MathOctopus": Check(
        "listed",
        "MSVAMP: all 10 files are in the list at this commit; parts of de, en and sw were read, with the same items in the same order",
    ),
    "google-deepmind/xquad": Check("named", "size and sha256 of all 12 files are in huggingface/datasets, datasets/xquad; " + _FOLDER),
    "dl.fbaipublicfiles.com": Check(
        "named",
        "size and sha256 of MLQA_V1.zip and XNLI-1.0.zip are in huggingface/datasets, datasets/mlqa and xnli; those of "
        "flores200_dataset.tar.gz in seven public "
        "repositories, one of which has the sha256 of eng_Latn.devtest that our folder has",
    ),
    "ZNLP/Language-Imbalance-Driven-Rewarding": Check(
        "compared",
        "AlpaGasus ar, de, en, es, fr, ja, th, zh, X-AlpacaEval de: as many characters as the rows make; parts were read, equal",
    ),
    "facebook/belebele": Check("named", "public code names this commit with data/{flores}.jsonl"),
    "for-ai/language-confusion": Check("listed", "test_sets.zip is in the list, and so are the 66 files that were in its place before"),
    "gpt4life/alpagasus": Check("named", _FOLDER + "; the commit is from there"),
    "tatsu-lab/stanford_alpaca": Check("compared", "alpaca_5000.json, seed_tasks.jsonl: as many characters as the rows make"),
    "tatsu-lab/alpaca": Check("named", "public code names this commit with this file"),
    "hiyouga/LLaMA-Factory": Check("listed", "both files are in the list, at another commit; " + _FOLDER),
    "DAMO-NLP-MT/PolyLM": Check("named", _FOLDER),
    "openai/grade-school-math": Check("listed", "train.jsonl is in the list, at another commit; the README of this commit is stored"),
    "NJUNLP/QAlign": Check("compared", "Spanish: as many characters as the rows make, and the beginnings of both sides were read, equal"),
    "Helsinki-NLP/OPUS-MT-testsets": Check(
        "compared", "Tatoeba de, es, fr, sw, TICO-19 sw, news-test2008 de: as many characters as the rows make; other languages: " + _FOLDER
    ),
    "MicrosoftTranslator/NTREX": Check("compared", "Swahili: as many characters as the rows make; the other files are in the list"),
    "cambridgeltl/xcopa": Check("listed", "all files are in the list, those of id, it, th, vi at this commit; " + _FOLDER),
    "chongli17/CrossLingualAlignment": Check("compared", "the beginning of Spanish dev was read, equal; en, es, fr, ja are listed"),
    "dadelani/sib-200": Check("compared", "German dev: as many characters as the rows make, but for the quotes of CSV; " + _FOLDER),
    "Betswish/Cross-Lingual-Consistency": Check(
        "compared",
        "es, tr and, at this commit, zh: as many characters as the rows make, with CR LF; the beginning of Spanish was read, equal",
    ),
    "masakhane-io/lafand-mt": Check("listed", "training files of ig, lg, tn, tw, zu are in the list, one side at least; sw: " + _FOLDER),
    "Helsinki-NLP/opus-100": Check("named", "seven public repositories name this commit, mteb among them; file names follow the hub"),
    "codogogo/xling-eval": Check("compared", "de, fr: as many characters as the rows make"),
    "stasl0217/KEnS": Check(
        "compared",
        "es-en.tsv: its beginning was read, equal; fr.tsv: a part was read; the other links and entities are in the list, at another "
        "commit; triples and relations: " + _FOLDER,
    ),
    "minggg/squad": Check("named", _FOLDER),
    "SkelterLabsInc/JaQuAD": Check("listed", "all shards are in the list at this commit"),
    "ymcui/cmrc2018": Check("named", _FOLDER),
    "TQuad/turkish-nlp-qa-dataset": Check("listed", "train-v0.1.json is in the list, at another commit"),
    "iapp-technology/iapp-wiki-qa-dataset": Check("listed", "squad_format/data.zip is in the list, at another commit; a part was read"),
}  # fmt: skip
"""How each repository or host was verified, by its name."""


@dataclass(frozen=True)
class Address:
    """One published file of a corpus. It may be one of many files that differ only in the language."""

    corpus: str
    """``corpus``, or ``corpus/part``."""
    remote: Remote
    languages: int
    """The languages that are published in this way."""

    @property
    def check(self) -> Check:
        """How it was verified."""
        return CHECKS[self.remote.repo]

    @property
    def pin(self) -> str:
        """What keeps the file from changing unnoticed: a commit, a sha256, or both."""
        by = [f"commit `{self.remote.revision[:12]}`"] if self.remote.revision else []
        return ", ".join(by + ([f"sha256 `{self.remote.sha256[:12]}`"] if self.remote.sha256 else []))


def list_addresses() -> list[Address]:
    """One example of each kind of file, in the order of the table."""
    found: dict[tuple[str, str, str], list[Remote]] = {}
    for title, remote, at in _walk():
        found.setdefault((title, remote.repo, _strip(remote, at)), []).append(remote)
    return [Address(title, remotes[0], len(set(remotes))) for (title, _, _), remotes in found.items()]


def list_remotes() -> list[Remote]:
    """Every published file of the table, each once."""
    return list(dict.fromkeys(remote for _, remote, _ in _walk()))


def _walk() -> Iterator[tuple[str, Remote, str]]:
    """Every published file with its corpus or part, its split, and its place in that reading."""
    for name, table in CORPORA.items():
        for split in table.splits:
            for listing in list_listings(name, split):
                yield from ((name, remote, f"{split} articles") for remote in listing.file.remotes if name != "sib200")
        parts: list[str | None] = [part for part in table.parts if part != OWN]
        for part in parts or [None]:
            for lang in table.languages or table.published:
                for split in table.splits:
                    yield from _remotes(name, table, Choice((lang,), split, part))


def _remotes(name: str, table: Corpus, choice: Choice) -> Iterator[tuple[str, Remote, str]]:
    title = f"{name}/{choice.part}" if choice.part else name
    for file in table.files(choice):
        for place, remote in enumerate(file.remotes):
            yield title, remote, f"{choice.split}{min(place, 2)}{file.part if not choice.part else ''}"


def _strip(remote: Remote, at: str) -> str:
    return f"{remote.revision} {remote.path if remote.member else ''} {at}"


def to_markdown() -> str:
    """The table of docs/data.md."""
    lines = ["| corpus | address, of one language | files | pinned by | verified |", "|---|---|---|---|---|"]
    for one in list_addresses():
        remote = one.remote
        place = (
            f"hub `{remote.repo}`" if remote.host == "hub" else f"`{remote.repo}`" if remote.host == "web" else f"GitHub `{remote.repo}`"
        )
        inner = f", in it `{remote.member}`" if remote.member else ""
        lines.append(f"| `{one.corpus}` | {place}, `{remote.path}`{inner} | {one.languages} | {one.pin} | {one.check.way} |")
    lines += ["", "| repository or host | verified | how | on |", "|---|---|---|---|"]
    lines += [f"| `{repo}` | {check.way} | {check.how} | {check.on} |" for repo, check in CHECKS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(to_markdown(), end="")  # noqa: T201
