"""What there is in each language, and the page that says it."""

from pathlib import Path

from commands import Call

from xlift.tasks.coverage import list_coverage, to_markdown


def test_languages_with_much_and_with_little() -> None:
    found = {one.lang: one for one in list_coverage()}
    assert len(found) == 204
    german = found["de"].training
    assert german == {
        "parallel": ("tatoeba", "news2008", "opus100"), "lexicon": ("xling",), "instructions": ("multialpaca", "alpagasus"),
        "problems": ("gsm8k",), "questions": (), "facts": (),
    }  # fmt: skip
    assert not any(found["ace-Arab"].training.values()) and {"flores", "sib200"} <= set(found["ace-Arab"].benchmarks)
    assert sum(bool(one.training["parallel"]) for one in found.values()) == 93


def test_the_page_holds_the_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "languages.md").read_text(encoding="utf-8")
    assert to_markdown() in text, "put what 'python -m xlift.tasks.coverage' prints into docs/languages.md"


def test_the_command(call: Call) -> None:
    code, out, _ = call("ls", "languages", "--data")
    assert code == 0 and "tatoeba news2008 opus100" in out
    code, _, err = call("ls", "methods", "--data")
    assert code == 2 and "--data is for languages" in err
