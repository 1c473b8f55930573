"""Which sentences are of one article: from the published tables, from a data folder, from Belebele's passages, or not known."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from loopback_hub import State

from xlift.harness.core.errors import UserError
from xlift.tasks.articles import find_articles, list_listings, read_column, spread_passages
from xlift.tasks.benchmarks import has_articles
from xlift.tasks.data import hash_rows, read
from xlift.tasks.holdings import build, get

LINES = "flores200_dataset/devtest/eng_Latn.devtest"
TABLE = "flores200_dataset/metadata_devtest.tsv"


def test_the_archive_of_flores_says_which_lines_are_of_one_article(mirror: State) -> None:
    assert find_articles("flores", "en-wo", "devtest") == {"0": "https://news/0", "1": "https://news/0", "2": "https://news/1"}
    assert find_articles("ntrex", "de", "test") == {"0": "paper.0", "1": "paper.0", "2": "paper.1"}


def test_rows_of_sib200_go_by_the_lines_of_both_splits_of_flores(mirror: State) -> None:
    found = find_articles("sib200", "es", "test")
    assert list(found) == ["0", "1", "2", "3", "4", "5"], "three lines of dev, then three of devtest"
    assert [found["1"], found["3"], found["5"]] == ["https://news/0", "https://news/0", "https://news/1"]


def test_a_folder_without_the_table_does_not_ask_for_it(fill_folder: Callable[..., Path], mirror: State) -> None:
    fill_folder(**{LINES: "One.\nTwo.\nThree.\n"})
    assert find_articles("flores", "en", "devtest") == {}
    get([("flores", "en", "devtest")])
    assert len(find_articles("flores", "en", "devtest")) == 3, "it was fetched by 'xlift data get'"


@pytest.mark.usefixtures("unplugged")
def test_a_folder_with_the_table(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{LINES: "One.\nTwo.\n", TABLE: "URL\tdomain\r\nhttps://a\twikinews\r\nhttps://a\twikinews\r\n"})
    assert find_articles("flores", "en", "devtest") == {"0": "https://a", "1": "https://a"}


@pytest.mark.usefixtures("unplugged")
def test_a_table_that_is_none_is_told_in_one_line(fill_folder: Callable[..., Path]) -> None:
    fill_folder(**{LINES: "One.\nTwo.\n", TABLE: "address\tdomain\nhttps://a\twikinews\n"})
    with pytest.raises(UserError, match="metadata_devtest.tsv: not a table of articles .*no column 'URL'"):
        find_articles("flores", "en", "devtest")


@pytest.mark.usefixtures("unplugged")
def test_passages_of_belebele_stand_in_for_the_table(fill_folder: Callable[..., Path]) -> None:
    def asked(link: str, passage: str) -> str:
        options = {f"mc_answer{number}": "A" for number in (1, 2, 3, 4)}
        row = {"link": link, "question_number": 1, "flores_passage": passage, "question": "?", "correct_answer_num": "1"}
        return json.dumps({**row, **options}) + "\n"

    belebele = asked("b", "It  snowed. Roads were closed.") + asked("a", "Bees fly. Bees dance.")
    lines = "First of all.\nBees fly.\nBees dance.\nThey sleep.\nRoads were closed.\nIt snowed.\n"
    fill_folder(**{LINES: lines, "belebele/eng_Latn.jsonl.gz": belebele})
    found = list(find_articles("flores", "en", "devtest").values())
    bees, snow = "Bees fly. Bees dance.", "It snowed. Roads were closed."
    assert found == ["First of all.", bees, bees, bees, snow, snow], "a line of no passage counts with the article before it"


def test_lines_before_the_first_passage_stand_together() -> None:
    assert spread_passages(["a b", "c", "x y"], ["x  y z"]) == ["a b", "a b", "x y z"]


def test_bundled_samples_are_sentences_by_themselves() -> None:
    found = find_articles("flores", "en-es", "devtest", samples="always")
    assert len(found) == 40 == len(set(found.values()))


def test_columns_of_tables_with_and_without_a_header() -> None:
    assert read_column("document\nx.1\nx.2\n", "document") == ["x.1", "x.2"] == read_column("x.1\nx.2\n", "document")


def test_without_the_table_the_articles_are_not_known_and_the_reason_is_told(mirror: State, caplog: pytest.LogCaptureFixture) -> None:
    read("ntrex", "de", "test")
    (listing,) = list_listings("ntrex", "test")
    mirror.mirrored.pop(next(iter(listing.file.remotes)).url.removeprefix("https://"))
    with caplog.at_level(logging.WARNING):
        assert find_articles("ntrex", "de", "test") == {}
    assert "which sentences are of one article is not known" in caplog.text and "404" in caplog.text


def test_rows_are_the_same_whether_articles_are_known_or_not(fill_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    fill_folder(**{LINES: "One.\nTwo.\n"})
    without = hash_rows(read("flores", "en", "devtest"))
    fill_folder(**{LINES: "One.\nTwo.\n", TABLE: "URL\nhttps://a\nhttps://a\n"})
    assert hash_rows(read("flores", "en", "devtest")) == without


def test_a_folder_that_is_built_has_the_tables(mirror: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(tmp_path / "built", [("flores", "en", "devtest"), ("ntrex", "de", "test")])
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "built"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "another"))
    assert find_articles("flores", "en", "devtest") == {"0": "https://news/0", "1": "https://news/0", "2": "https://news/1"}
    assert find_articles("ntrex", "de", "test")["2"] == "paper.1"


def test_tasks_of_articles_are_known_by_name() -> None:
    assert all(
        map(has_articles, ("xlift_flores_eng_Latn_spa_Latn", "xlift_flores_bpb_from_eng", "xlift_sib200_es", "xlift_ntrex_text_bpb_de"))
    )
    assert not any(map(has_articles, ("xlift_xquad_es", "xlift_mgsm_direct_es", "belebele_spa_Latn")))
