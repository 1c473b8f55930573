"""A sample as HTML. A site has them by the hundred thousand, and a template takes several times as long for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import NamedTuple

from markupsafe import Markup

from xlift.leaderboard.loading.samples import Sample, Sheet
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.site.text import clean, direction, show
from xlift.tasks.thinking import separate


def write_article(sample: Sample, language: str, is_base: bool, base_file: str = "") -> Markup:
    """A document with its labels, scores and texts. Everything that a model or a results file wrote is made safe to show.

    ``base_file`` is the page of the base that shows the prompt, the reference and the base's answer. They are then not written again: the
    page's script puts them here, from the file that ``write_texts`` makes, and without it a link leads there.
    """
    marks = "".join(f'<span class="badge">{mark}</span> ' for mark in sample.marks)
    scores = ", ".join(
        f"{_plain(metric)} <strong>{value}</strong>{f' (base {base})' if base else ''}" for metric, value, base in sample.figures
    )
    asked = [] if base_file else _list_shared(sample, language, is_base)
    texts = "\n".join(_write_text(*text) for text in [*asked, *_list_own(sample, language)])
    name, anchor = _plain(sample.id), f"doc-{slug(sample.id)}"
    link = f'<p class="asked"><a href="{base_file}#{anchor}">Prompt, reference and the base’s answer</a></p>\n' if base_file else ""
    return Markup(
        f'<article id="{anchor}" data-marks="{" ".join(sample.marks)}" aria-label="Document {name}">\n'
        f'<h2>{name} {marks}</h2>\n<p class="scores">{scores}</p>\n{link}<dl>\n{texts}\n</dl>\n</article>'
    )


def write_texts(samples: Sequence[Sample], language: str) -> str:
    """Prompts, references and answers of a base, as a script that the pages of other models load: by the anchor of the document."""
    texts: dict[str, str] = {}
    for sample in samples:
        shown = _list_shared(replace(sample, base=sample.answer, base_scores=sample.scores), language, is_base=False)
        texts.setdefault(f"doc-{slug(sample.id)}", "\n".join(_write_text(*text) for text in shown))
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(text)}" for name, text in texts.items())
    return f'"use strict";\nwindow.xliftTexts = {{ ...window.xliftTexts,\n{lines}\n}};\n'


def link_samples(sheet: Sheet, mark: str) -> Markup:
    """Links to all documents with a label, on whichever page they are."""
    found = sheet.marked(mark)
    return Markup(" ".join(f'<a href="{sheet.file(one.page)}#doc-{slug(one.id)}">{_plain(one.id)}</a>' for one in found))


class _Text(NamedTuple):
    """What a page shows of a sample."""

    label: str
    text: str | None
    """None if there is none to compare."""
    language: str = ""
    """Empty if it is not known."""
    folded: bool = False


def _list_shared(sample: Sample, language: str, is_base: bool) -> list[_Text]:
    """What is the same for all models: prompt, reference, and beside another model the base's answer."""
    found = [_Text("Prompt", sample.prompt), _Text("Reference", sample.reference, language)]
    if not is_base:
        found += _split("Base", sample.base, "" if sample.base_scores.get("off_target", 0) > 0 else language)
    return found


def _list_own(sample: Sample, language: str) -> list[_Text]:
    """What one model answered. An answer off target is in some language, but not in the one asked for."""
    found = _split("Answer", sample.answer, "" if "off-target" in sample.marks else language)
    if sample.extracted is not None:
        found.append(_Text("Extracted", sample.extracted))
    if sample.choices:
        found.append(_Text("Choices, by log-likelihood", "\n".join(sample.choices), language))
    return [*found, *(_Text(name, said) for name, said in sample.judge.items())]


def _split(label: str, text: str | None, language: str) -> list[_Text]:
    """What a model wrote, with its thinking separated, which may be in any language."""
    said = separate(text) if text else None
    if said is None or not (said.thinking or said.cut):
        return [_Text(label, text, language)]
    ended = ", which never ended" if said.cut else ""
    return [_Text(f"{label}: thinking{ended}", said.thinking, folded=True), _Text(label, said.answer, language)]


@lru_cache(maxsize=8_000)
def _write_text(label: str, text: str | None, language: str, folded: bool) -> str:
    """A prompt, its reference and the base's answer stand in the article of each seed, one after the other."""
    if text is None:
        return f'<dt>{_plain(label)}</dt><dd class="note">no comparable answer</dd>'
    spoken = f' lang="{_plain(language)}"' if language else ""
    shown = f"<details><summary>{len(text):,} characters</summary>{show(text)}</details>" if folded else show(text)
    return f'<dt>{_plain(label)}</dt><dd class="text" dir="{direction(language) if language else "auto"}"{spoken}>{shown}</dd>'


@lru_cache(maxsize=10_000)
def _plain(text: str) -> str:
    """Labels, metrics and ids, which all stand in many articles."""
    return escape(clean(text))
