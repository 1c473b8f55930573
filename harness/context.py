"""The world that a run shows to a method: data behind the leak guard, and the base model's own answers."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xlift.harness.config import Suite
from xlift.harness.plugin import Plan
from xlift.harness.rows import Answer, Chat, Example, LeakError, Sampling, UserError
from xlift.tasks.data import read_training
from xlift.tasks.language_id import identify
from xlift.tasks.leaks import Guard

if TYPE_CHECKING:
    from xlift.harness.engine import Engine


class RunContext:
    """The Context of one method in one suite. ``start_engine`` is called at the first ``generate`` only."""

    def __init__(self, suite: Suite, label: str, guard: Guard, start_engine: Callable[[], Engine]) -> None:
        self.languages = suite.trained(label)
        self.pivot = suite.languages.pivot
        self.budget = suite.rows
        self._suite = suite
        self._guard = guard
        self._start_engine = start_engine
        self._leaks: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def rng(self) -> random.Random:
        return random.Random(0)

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        rows = read_training(corpus, lang, samples=self._suite.data.samples)
        columns = [name for name, feature in rows.features.items() if name != "id" and getattr(feature, "dtype", None) == "string"]
        leaking = self._guard.find_leaks([[row[column] for column in columns] for row in rows.select_columns(columns)])
        if any(leaking):
            self._report_leaks(f"{lang}/{corpus}", [str(rows[index]["id"]) for index, hit in enumerate(leaking) if hit])
            rows = rows.select([index for index, hit in enumerate(leaking) if not hit])
        return list(rows)

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        return self._start_engine().generate(chats, sampling)

    def identify(self, texts: Sequence[str]) -> list[str]:
        return identify(texts)

    def vet(self, plan: Plan) -> Plan:
        """The plan without rows that overlap evaluation items, which a method may have made up or generated.

        Raises UserError for a plan that is empty, over budget, in a foreign language or with an id twice.
        """
        leaking = self._guard.find_leaks([[row.messages[-1]["content"], row.response] for row in plan.rows])
        for row in (row for row, hit in zip(plan.rows, leaking, strict=True) if hit):
            self._report_leaks(f"{row.lang}/{row.kind}", [row.id])
        kept = tuple(row for row, hit in zip(plan.rows, leaking, strict=True) if not hit)
        _require_sound(kept, {*self.languages, self.pivot}, self.budget)
        found = {f"{where}: overlaps evaluation": len(ids) for where, ids in self._leaks.items()}
        return Plan(kept, plan.objective, {**plan.drops, **found})

    def _report_leaks(self, where: str, ids: list[str]) -> None:
        if self._suite.data.strict:
            raise LeakError(
                f"{where}: {len(ids)} training rows overlap evaluation items, such as {', '.join(ids[:3])}; data.strict refuses them"
            )
        self._leaks[where].update(ids)


def _require_sound(rows: Iterable[Example], languages: set[str], budget: int | None) -> None:
    rows = tuple(rows)
    if not rows:
        raise UserError("the method made no training rows")
    if budget is not None and len(rows) > budget:
        raise UserError(f"the method made {len(rows)} rows, the suite allows {budget}")
    if foreign := {row.lang for row in rows} - languages:
        raise UserError(f"the method made rows in {', '.join(sorted(foreign))}, which the suite does not train")
    ids = Counter(row.id for row in rows)
    if doubled := [row_id for row_id, count in ids.items() if count > 1]:
        raise UserError(f"the method made {len(doubled)} row ids more than once, such as {doubled[0]!r}")
