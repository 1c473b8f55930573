"""docs/methods.md is what the heads of the methods say."""

from pathlib import Path

from xlift.harness.recipes.method_page import USES, to_markdown
from xlift.harness.recipes.registry import list_built_in


def test_the_page_is_printed_from_the_methods() -> None:
    text = (Path(__file__).parents[3] / "docs" / "methods.md").read_text(encoding="utf-8")
    assert text == to_markdown(), "put what 'python -m xlift.harness.recipes.method_page' prints into docs/methods.md"
    assert set(USES) == set(list_built_in()), "nothing is said of a method that is gone"


def test_a_section_says_what_is_read_and_what_else_is_done() -> None:
    section = to_markdown().split("## `cross_lingual`")[1].split("## `")[0]
    assert "`alpaca` in the pivot and the target languages (else: the pivot's instructions are translated)" in section
    assert "`parallel` in the target languages" in section and "Source: Zhu et al. 2023" in section
