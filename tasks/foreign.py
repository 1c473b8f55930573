"""Tasks that are not xlift's: the language that their settings name, and what is known of their metrics.

lm-eval says whether more of a metric is better, but not between which values it lies, and it does not say the language of a task. What
neither the settings nor the name of a task says stays unknown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from xlift.harness.core.languages import MACROLANGUAGES, languages
from xlift.tasks.entries import METRICS, Metric

_FURTHER = {
    metric.name: metric
    for metric in (
        Metric("bleu", most=100.0, whole=True),
        Metric("chrf", most=100.0, whole=True),
        Metric("ter", most=None, higher_is_better=False, whole=True),
        Metric("perplexity", most=None, higher_is_better=False, whole=True),
        Metric("word_perplexity", most=None, higher_is_better=False, whole=True),
        Metric("byte_perplexity", most=None, higher_is_better=False, whole=True),
        Metric("bits_per_byte", most=None, higher_is_better=False, whole=True),
        Metric("brier_score", most=2.0, higher_is_better=False, whole=True),
        Metric("mcc", whole=True),
        Metric("f1", whole=True),
        Metric("likelihood_diff", most=None, higher_is_better=False),
        Metric("pct_stereotype", higher_is_better=False),
        Metric("em", share=True),
        Metric("exact", share=True),
        Metric("score"),
    )
}
"""lm-eval's own metrics whose names mean something else than ours, or are not among ours. ``whole`` means that it is no mean over
documents."""

_SHARES = re.compile(r"(acc|accuracy|exact_match|f1|pass@\d+|pass_at_\w+)(_\w+)?")
"""Names of metrics that are usually between 0 and 1."""

_FLORES = re.compile(r"(?<![a-z])([a-z]{3}_[A-Z][a-z]{3})(?![a-z])")


def describe_metrics(highest: Mapping[str, float], listed: object = None, directions: object = None) -> dict[str, Metric]:
    """What is known of the metrics of a task, by their names in its record. ``highest`` has the highest value of each that was seen.

    ``listed`` is the ``metric_list`` of the task's settings and ``directions`` its ``higher_is_better``, as lm-eval writes them. Either may
    be missing or malformed. A metric of which nothing is known has no bound, and more of it is better. One that is known as a share, but
    was seen above 1, is out of 100.
    """
    aggregations = {
        str(one.get("metric")): one.get("aggregation")
        for one in (listed if isinstance(listed, list) else ())
        if isinstance(one, Mapping) and one.get("aggregation") is not None
    }
    known = directions if isinstance(directions, Mapping) else {}
    found = {}
    for name, value in highest.items():
        plain = name.partition("/")[0]
        metric = replace(_FURTHER.get(plain) or METRICS.get(plain) or _guess(plain), name=name)
        if isinstance(known.get(plain), bool):
            metric = replace(metric, higher_is_better=known[plain])
        if plain in aggregations:
            metric = replace(metric, whole=aggregations[plain] not in ("mean", "nanmean"))
        found[name] = raise_bound(metric, value)
    return found


def raise_bound(metric: Metric, highest: float) -> Metric:
    """The metric with a bound of 100, or without a bound, if a value above its bound was seen."""
    if metric.most is None or highest <= metric.most:
        return metric
    return replace(metric, most=100.0 if highest <= 100 else None)


def _guess(name: str) -> Metric:
    return Metric(name, most=1.0 if _SHARES.fullmatch(name) else None)


def choose_headline(metrics: Mapping[str, Metric]) -> str:
    """The metric that tables show for a task: the first one that is a mean over documents, else the first one; empty if there is none."""
    means = [name for name, metric in metrics.items() if not metric.whole]
    return next(iter([*means, *metrics]), "")


def place_tasks(subsets: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """The leaderboard's benchmark and language of each task, by the subset of its data that its settings name (``dataset_name``).

    The language is the one that names the subset (``spa_Latn``, ``es``, ``spa``, ``Spanish``, ``pt-BR``), or that follows the same name in
    task and subset (``xquad.es`` of ``xquad_es``), or else the only FLORES code in the task's name. Short words in a task's name alone say
    nothing: ``agieval_lsat_ar`` is analytical reasoning. The benchmark is the task's name with ``*`` in place of the language, so that the
    tasks of one benchmark are shown together. It is the name itself if the language is not known or not in the name, and if two tasks would
    get the same place.
    """
    placed = {task: _place(task, subset if isinstance(subset, str) else "") for task, subset in subsets.items()}
    counts = Counter(placed.values())
    return {task: (benchmark, code) if counts[benchmark, code] == 1 else (task, code) for task, (benchmark, code) in placed.items()}


def _place(task: str, subset: str) -> tuple[str, str]:
    spelled = subset
    if variety := re.fullmatch(r"([a-z]{3}_[a-z]{4})_[a-z]{4}", subset):  # spa_latn_mexi
        spelled = variety[1]
    elif (dotted := re.fullmatch(r"(\w+)\.([a-z]{2,3})", subset)) and task.endswith(f"{dotted[1]}_{dotted[2]}"):
        spelled = dotted[2]
    codes = _FLORES.findall(task)
    language = _read_code(spelled) or (_read_code(codes[0]) if len(codes) == 1 else "")
    if not language:
        return task, ""
    parts = sorted({*codes, *re.split(r"[_.\-]", task)}, key=len, reverse=True)
    named = [spelled, spelled.lower(), *(part for part in parts if _read_code(part, any_case=True) == language)]
    for word in named:
        place = rf"(?<![^_.\-]){re.escape(word)}(?![^_.\-])"
        if word and re.search(place, task):
            return re.sub(place, "*", task, count=1), language
    return task, language


def _read_code(text: str, *, any_case: bool = False) -> str:
    """Our code of a language that is named by a code or by its English name; empty for anything else.

    Codes of two and three letters must be in lower case, because in capitals they are mostly abbreviations of something else.
    """
    if region := re.fullmatch(r"([a-z]{2,3})[_-][A-Z]{2}|([A-Z]{2})_[A-Z]{2}", text):
        text = "zh-Hant" if text in ("zh-TW", "zh_TW", "ZH_TW", "zh-HK", "zh_HK", "ZH_HK") else region[1] or region[2].lower()
    if len(text) <= 3 and text != text.lower() and not any_case:
        return ""
    return _names().get(text.lower().replace("-", "_"), "")


@cache
def _names() -> dict[str, str]:
    """Our codes by the lower-case names of languages: short, ISO 639-3 and FLORES codes, and English names. The default script comes
    first."""
    ordered = sorted(languages().values(), key=lambda language: "-" in language.code)
    found: dict[str, str] = {}
    for language in ordered:
        iso = language.flores[:3]
        for name in (language.code, language.flores, iso, MACROLANGUAGES.get(iso, iso), language.name):
            found.setdefault(name.lower().replace("-", "_"), language.code)
    return {**found, "ara": "ar", "nor": "nb"}
