"""What the documents show is there: commands with their options, suites, files, modules, and places in other documents."""

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
import yaml
from documents import ROOT, list_blocks, list_commands, read
from typer.main import get_command

import xlift
from xlift.harness.cli import command_page
from xlift.harness.cli.main import app
from xlift.harness.config import suite_page
from xlift.harness.config.suite import Suite, merge

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
WRITTEN = {"tests/test_two_birds.py"}
"""Files that a command writes which a page shows."""
LEAST = {
    "name": "shown",
    "languages": {"train": ["es"], "evaluate": ["en", "es", "de"]},
    "methods": {"mine": {"method": "cross_lingual"}, "control": {"method": "pivot_only"}},
    "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"]},
}
"""What a suite must have, and what parts of one refer to, where a page shows no more than a part."""
OTHERS = {"docs/add-a-benchmark.md": 1}
"""YAML that is no part of a suite, by page."""


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_understood(page: str) -> None:
    command: Any = get_command(app)
    for words in list_commands(page, "xlift"):
        group, context, rest = command, typer.Context(command, info_name="xlift"), words
        while hasattr(group, "commands"):
            name, group, rest = group.resolve_command(context, rest)
            context = group.make_context(name, rest, parent=context) if not hasattr(group, "commands") else typer.Context(
                group, info_name=name, parent=context
            )  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_sentences_have_such_options(page: str) -> None:
    command: Any = get_command(app)
    for text in re.findall(r"`xlift ([a-z][^`]*)`", read(page)):
        group, words = command, text.split()
        while hasattr(group, "commands") and words and re.fullmatch(r"[a-z-]+", words[0]):
            assert words[0] in group.commands, f"{page}: xlift {text}"
            group, words = group.commands[words[0]], words[1:]
        known = {option for parameter in group.params for option in parameter.opts}
        if not group.name or group.name != "lm-eval":
            assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, f"{page}: xlift {text}"


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_lm_eval_are_understood(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [["lm_eval", *words] for words in list_commands(page, "lm_eval")]
    commands += [["lm_eval", *words[1:]] for words in list_commands(page, "xlift") if words[0] == "lm-eval"]
    if commands:
        from lm_eval._cli import HarnessCLI

        for words in commands:
            monkeypatch.setattr(sys, "argv", [word for word in words if word != "..."])
            assert HarnessCLI().parse_args().tasks, f"{page}: {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES)
def test_suites_are_valid(page: str) -> None:
    others = 0
    for block in list_blocks(page, "yaml"):
        values = yaml.safe_load(block)
        if set(values) <= set(Suite.model_fields):
            whole = {"name", "methods", "evaluate"} <= set(values)
            xlift.load_suite(values if whole else merge(LEAST, values))
        else:
            others += 1
    assert others == OTHERS.get(page, 0)


def test_the_wording_that_is_shown_is_that_of_the_tasks() -> None:
    (shown,) = list_blocks("docs/add-a-benchmark.md", "yaml")
    prompts = yaml.safe_load((ROOT / "tasks" / "prompts.yaml").read_text(encoding="utf-8"))
    for kind, languages in yaml.safe_load(shown).items():
        for lang, texts in languages.items():
            assert texts.items() <= prompts[kind][lang].items()


@pytest.mark.parametrize("page", PAGES)
def test_python_is_python(page: str) -> None:
    for block in list_blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("page", PAGES)
def test_modules_scripts_and_targets_are_there(page: str) -> None:
    text = read(page)
    for module in re.findall(r"python -m (xlift[\w.]*)", text):
        assert importlib.util.find_spec(module), f"{page}: {module}"
    for script in re.findall(r"\b((?:benchmarks|harness|tasks|methods|leaderboard|tests)/[a-z0-9_/-]+\.(?:py|yaml|tsv))\b", text):
        assert script in WRITTEN or (ROOT / script).exists(), f"{page}: {script}"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md"])
def test_links_outside_the_site_lead_somewhere(page: str) -> None:
    """The links between the pages of docs/ are checked by ``make docs``."""
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(page)) if (ROOT / page).is_file() else []:
        assert ((ROOT / page).parent / link).exists(), f"{page}: {link}"


def test_every_page_has_a_place_in_the_site() -> None:
    site = yaml.safe_load(read("mkdocs.yml"))
    assert sorted(_list_pages(site["nav"])) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


def _list_pages(nav: Any) -> Iterator[str]:
    for entry in nav:
        below = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from [below] if isinstance(below, str) else _list_pages(below)


@pytest.mark.parametrize(
    ("page", "module"), [("docs/suite-keys.md", suite_page), ("docs/command.md", command_page)], ids=["suite-keys", "command"]
)
def test_generated_pages_are_what_the_code_says(page: str, module: Any) -> None:
    assert read(page) == module.to_markdown(), f"put what 'python -m {module.__name__}' prints into {page}"


def test_every_key_of_a_suite_says_what_it_means() -> None:
    for place, model in [("suite", Suite), *suite_page.list_sections(Suite, "", {Suite})]:
        for name, field in model.model_fields.items():
            assert field.description, f"{place}.{name}"
