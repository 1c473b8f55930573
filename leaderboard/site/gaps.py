"""Languages that nobody measured on a board: what there is in each to measure it by and to train it with."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from xlift.harness.core.languages import name_language
from xlift.tasks.benchmarks import BENCHMARKS
from xlift.tasks.coverage import list_coverage

SUITE = """\
name: {code}
base: {{model: {base}}}
languages: {{pivot: en, train: [{code}], evaluate: [en, {code}]}}
translators: {{default: {{kind: seq2seq, model: facebook/nllb-200-distilled-600M}}}}
methods:
  {method}: {{method: {method}}}
  control: {{method: {control}}}
train: {{tokens: 2000000}}
seeds: [0, 1, 2]
evaluate:
  tasks: [{tasks}]
"""
"""What would measure a language."""
TASKS = (("flores_bpb", "xlift_flores_bpb_eng_Latn_{flores}"), ("mgsm", "xlift_mgsm_direct_{lang}"), ("xquad", "xlift_xquad_{lang}"),
         ("belebele_likelihood", "xlift_belebele_likelihood_{lang}"))  # fmt: skip
"""Tasks that are proposed, by benchmark; the first two that a language has."""


@dataclass(frozen=True)
class Gap:
    """One language that was not measured."""

    code: str
    name: str
    benchmarks: tuple[str, ...]
    """By their names for people."""
    training: tuple[str, ...]
    """Kinds of training data that have an address, such as parallel text."""
    suite: str
    """YAML that would measure it."""


def list_gaps(measured: Collection[str], base: str) -> Iterator[Gap]:
    """The languages of FLORES-200 that are not among the measured ones, by name; their suites take ``base``.

    Each suite has the method and the control that docs/adapt-a-language.md names, and reads only data that the language has.
    """
    benchmarks: dict[str, list[str]] = {}
    proposed: dict[str, list[str]] = {}
    for benchmark in BENCHMARKS.values():
        for code in benchmark.languages:
            benchmarks.setdefault(code, []).append(benchmark.title)
    for name, pattern in TASKS:
        for code in BENCHMARKS[name].languages:
            proposed.setdefault(code, []).append(pattern)
    for one in sorted(list_coverage(), key=lambda one: name_language(one.lang)):
        code = one.lang
        if code in measured or code not in proposed or code == "en":  # which is the pivot of every suite here
            continue
        tasks = ", ".join(json.dumps(pattern) for pattern in proposed[code][:2])
        training = tuple(kind for kind, parts in one.training.items() if parts)
        method, control = ("cross_lingual", "translate_then_sft") if "parallel" in training else ("translate_then_sft", "pivot_only")
        suite = SUITE.format(code=code, base=json.dumps(base), method=method, control=control, tasks=tasks)
        yield Gap(code, name_language(code), tuple(dict.fromkeys(benchmarks[code])), training, suite)
