"""A sample as HTML. A site has them by the hundred thousand, and a template takes several times as long for each."""

from __future__ import annotations

from functools import lru_cache
from html import escape

from markupsafe import Markup

from xlift.leaderboard.loading.samples import Sample, Sheet
from xlift.leaderboard.loading.slugs import slug
from xlift.leaderboard.site.text import clean, direction, show


def write_article(sample: Sample, language: str, is_base: bool) -> Markup:
    """A document with its marks, scores and texts, all that a model or a results file wrote made safe to show."""
    marks = "".join(f'<span class="badge">{mark}</span> ' for mark in sample.marks)
    scores = ", ".join(
        f"{_plain(metric)} <strong>{value}</strong>{f' (base {base})' if base else ''}" for metric, value, base in sample.figures
    )
    texts = "\n".join(_write_text(*text) for text in _list_texts(sample, language, is_base))
    name = _plain(sample.id)
    return Markup(
        f'<article id="doc-{slug(sample.id)}" data-marks="{" ".join(sample.marks)}" aria-label="Document {name}">\n'
        f'<h2>{name} {marks}</h2>\n<p class="scores">{scores}</p>\n<dl>\n{texts}\n</dl>\n</article>'
    )


def link_samples(sheet: Sheet, mark: str) -> Markup:
    """Links to all documents with a mark, on whichever page they stand."""
    found = sheet.marked(mark)
    return Markup(" ".join(f'<a href="{sheet.file(one.page)}#doc-{slug(one.id)}">{_plain(one.id)}</a>' for one in found))


def _list_texts(sample: Sample, language: str, is_base: bool) -> list[tuple[str, str | None, str, str]]:
    """What a page shows of a sample: label, text, its language, empty where it is not known, and direction. No text: none to compare.

    An answer off target is in some language, but not in the one asked for.
    """
    found: list[tuple[str, str | None, str]] = [("Prompt", sample.prompt, ""), ("Reference", sample.reference, language)]
    if not is_base:
        found.append(("Base", sample.base, "" if sample.base_scores.get("off_target", 0) > 0 else language))
    found.append(("Answer", sample.answer, "" if "off-target" in sample.marks else language))
    if sample.extracted is not None:
        found.append(("Extracted", sample.extracted, ""))
    if sample.choices:
        found.append(("Choices, by log-likelihood", "\n".join(sample.choices), language))
    found += [(name, said, "") for name, said in sample.judge.items()]
    return [(label, text, code, direction(code) if code else "auto") for label, text, code in found]


@lru_cache(maxsize=8_000)
def _write_text(label: str, text: str | None, language: str, direction: str) -> str:
    """A prompt, its reference and the base's answer stand in the article of each seed, one after the other."""
    if text is None:
        return f'<dt>{_plain(label)}</dt><dd class="note">no comparable answer</dd>'
    spoken = f' lang="{_plain(language)}"' if language else ""
    return f'<dt>{_plain(label)}</dt><dd class="text" dir="{direction}"{spoken}>{show(text)}</dd>'


@lru_cache(maxsize=10_000)
def _plain(text: str) -> str:
    """Labels, metrics and ids, which all stand in many articles."""
    return escape(clean(text))
