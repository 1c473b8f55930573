"""A judge inside plain lm_eval: a task whose filter asks it about all answers in one batched call.

The judge's settings are the filter's arguments, or else XLIFT_JUDGE and, for the other settings, XLIFT_JUDGE_MODEL, XLIFT_JUDGE_MODE and so
on. Verdicts are in the samples under the filter ``judge``, one for each document, as JSON in ``filtered_resps``. lm-eval applies filters
with --predict_only too; the task then removes the judge. lm-eval saves nothing before all filters have run, so a judge that fails leaves
unread verdicts and raises nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import lm_eval.filters  # noqa: F401  (the built-in filters must stand in the registry before ours)
from lm_eval.api.filter import Filter, FilterEnsemble
from lm_eval.api.registry import filter_registry, register_filter
from lm_eval.api.task import ConfigurableTask

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.secrets import redact
from xlift.harness.core.settings import build
from xlift.harness.judging.judges import Judge, check_model, open_judge
from xlift.harness.judging.references import CORPUS, published, read_published
from xlift.harness.judging.replies import calibrate, find_calibration, judge_pairs
from xlift.harness.judging.win_rates import describe_verdict
from xlift.tasks import data
from xlift.tasks.judge import Said, pair_up, prompt_sha256
from xlift.tasks.thinking import answer_of

logger = logging.getLogger(__name__)

NAME = "xlift_judge"
VARIABLE = "XLIFT_JUDGE"


def read_settings(arguments: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> JudgeSettings:
    """The settings from the environment, replaced by the filter's arguments. Raises UserError for mistakes in either, and if no judge is
    named."""
    variables = {VARIABLE if name == "judge" else f"{VARIABLE}_{name.upper()}": name for name in JudgeSettings.model_fields}
    given = {name: value for name, value in environment.items() if name.startswith(VARIABLE) and value}
    if odd := sorted(given.keys() - variables.keys()):
        raise UserError(f"unknown variable {odd[0]}{name_nearest(odd[0], variables)}")
    settings = build(JudgeSettings, {**{variables[name]: value for name, value in given.items()}, **arguments}, NAME)
    if settings.against not in published():
        raise UserError(f"{VARIABLE}_AGAINST={settings.against!r}: no published answers{name_nearest(settings.against, published())}")
    if settings.difficulty:
        raise UserError(f"{VARIABLE}_DIFFICULTY: lm_eval's win rate is controlled by length alone; use xlift judge for difficulties")
    return settings


class JudgedTask(ConfigurableTask):  # type: ignore[misc]
    """X-AlpacaEval with a judge. Mistakes in its settings are found before anything is generated."""

    def __init__(self, config: Mapping[str, object]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def build_all_requests(self, **options: object) -> None:
        """The same as lm-eval's, after the judge's settings are checked, or its filter removed."""
        filters: list[FilterEnsemble] = self._filters
        asking = [found for ensemble in filters for found in _find_arguments(ensemble)]
        if "bypass" in self._metric_fn_list:  # what --predict_only makes of the metrics
            filters, asking = [ensemble for ensemble in filters if not _find_arguments(ensemble)], []
        self._filters: list[FilterEnsemble] = filters
        for arguments in asking:
            settings = read_settings(arguments)
            check_model(settings)
            data.locate(CORPUS, self.config.dataset_kwargs["lang"], settings.against)
        super().build_all_requests(**options)


def _find_arguments(ensemble: FilterEnsemble) -> list[dict[str, object]]:
    """The arguments of the judge's filters in a pipeline, which lm-eval keeps as ``partial(class, **arguments)``."""
    return [dict(one.keywords) for one in ensemble.filters if getattr(one, "func", None) is JudgeFilter]


class Entry(dict[str, object]):
    """A verdict that is written as JSON when lm-eval writes filtered answers with ``str``."""

    def __str__(self) -> str:
        return json.dumps(self, ensure_ascii=False)


class JudgeFilter(Filter):  # type: ignore[misc]
    """Turns answers into verdicts: ``text``, ``preference``, ``outcome``, both replies and the judge. It comes after ``take_first``, or
    alone."""

    def __init__(self, **arguments: object) -> None:
        self._arguments = arguments

    def apply(self, resps: Iterable[str | Sequence[str]], docs: Sequence[Mapping[str, str]]) -> list[Entry]:
        """One call of the judge for all documents of a task."""
        texts = [answer_of(str(one if isinstance(one, str) else one[0])).strip() for one in resps]
        try:
            return [Entry(one) for one in judge_answers(read_settings(self._arguments), docs, texts)]
        except Exception as error:  # whatever is wrong, the answers must reach lm-eval's files
            fault = str(error) if isinstance(error, UserError) else redact(f"{type(error).__name__}: {error}")
            logger.error("xlift: not judged: %s; the answers are in the samples (--log_samples)", fault)
            return [Entry(text=text, preference=None, outcome="error", fault=fault) for text in texts]


def judge_answers(settings: JudgeSettings, docs: Sequence[Mapping[str, str]], texts: Sequence[str]) -> list[dict[str, object]]:
    """A verdict for each answer, in order. Raises UserError if answers and references do not match, and if the judge fails."""
    said = [Said(str(doc["id"]), doc["lang"], doc["instruction"], text) for doc, text in zip(docs, texts, strict=True)]
    pairs = pair_up(said, read_published(said[0].lang, settings.against))
    opened, mode, folder = _open(settings), settings.mode, settings.verdicts or Path("runs/judges")
    described = opened.describe()
    if settings.calibrate:
        calibrate(opened, mode, folder)
    judged = judge_pairs(opened, mode, pairs, folder)
    about = {**described, "served": judged.served or None, "mode": mode, "prompt_sha256": prompt_sha256(mode),
             "against": settings.against, "calibration": find_calibration(opened, mode, folder)}  # fmt: skip
    found = {
        verdict.pair.id: {
            "text": verdict.pair.answer,
            **describe_verdict(verdict, judged, described, mode),
            "reference_characters": len(verdict.pair.reference),
            "judge": about,
        }
        for verdict in judged.verdicts
    }
    return [found[one.id] for one in said]


@cache
def _open(settings: JudgeSettings) -> Judge:
    """One judge for all tasks of a process, because a local one must not be loaded again for each language."""
    return open_judge(settings)


if NAME not in filter_registry:  # later releases may have read the entry point
    register_filter(NAME)(JudgeFilter)
