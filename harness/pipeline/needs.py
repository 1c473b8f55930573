"""The data that a suite will read: corpora and languages of tasks and methods, and whether they are here, can be fetched or are nowhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Reading
from xlift.harness.recipes.translation import list_pairs
from xlift.tasks import data, index

TASKS = "tasks"
"""Names the benchmarks as those that need data."""
COMMON = "common rows"
"""Names the rows that all methods train beside their own as those that need data. No label has a space."""


@dataclass(frozen=True)
class Need:
    """Rows that a suite will read."""

    who: str
    """The label of a method, ``tasks``, or ``common rows``."""
    supply: data.Supply
    instead: str = ""
    """What the method does without them; empty if it stops."""

    @property
    def missing(self) -> bool:
        """Whether a run would stop because they are missing."""
        return self.supply.state == "nowhere" and not self.instead


def list_needs(suite: Suite, tasks: Sequence[str]) -> list[Need]:
    """Everything that a run of a suite reads, once for each reader. Nothing is fetched."""
    samples = suite.data.samples
    found = [Need(TASKS, data.survey(*source, samples=samples)) for source in index.sources(tasks)]
    for label, chosen in suite.methods.items():
        method = registry.load(chosen.method, chosen.options)
        try:
            readings = [*method.list_readings(suite.languages.pivot, suite.trained(label)), *_list_tables(suite, label)]
        except UserError as error:
            raise UserError(f"methods.{label}: {error}") from None
        for (corpus, lang), reading in {(one.corpus, one.lang): one for one in readings}.items():
            by = _name_translator(suite, label, lang) if reading.translated else ""
            try:
                found.append(Need(label, data.survey(corpus, lang, samples=samples), f"{reading.instead}{by}"))
            except UserError as error:
                named = [name for name, value in method.options.model_dump().items() if value == corpus]
                raise UserError(f"methods.{label}{'.options.' + named[0] if named else ''}: {error}") from None
    if suite.common and any(registry.find_method(chosen.method).trains for chosen in suite.methods.values()):
        try:
            found.append(Need(COMMON, data.survey(suite.common.corpus, suite.languages.pivot, samples=samples)))
        except UserError as error:
            raise UserError(f"common.corpus: {error}") from None
    return found


def _name_translator(suite: Suite, label: str, lang: str) -> str:
    """Who translates from the pivot for a method, and where the suite says so; empty if it has no translator of the pair."""
    translators, pair = suite.translating(label), f"{suite.languages.pivot}-{lang}"
    key = pair if pair in translators else "default"
    if key not in translators:
        return ""
    place = f"methods.{label}.translators" if suite.methods[label].translators else "translators"
    return f" by {translators[key].who} ({place}.{key}: {translators[key].kind})"


def _list_tables(suite: Suite, label: str) -> list[Reading]:
    """The corpora in which translators of the kind ``table`` look up sentences, for the languages that a method trains."""
    found: list[Reading] = []
    for pair, settings in suite.translating(label).items():
        if settings.kind == "table":
            named = suite.trained(label) if pair == "default" else tuple(pair.split("-"))
            found += list_pairs(settings.corpus, (suite.languages.pivot, *named), "sentences that are not in it stay untranslated")
    return found


def summarise(needs: Iterable[Need]) -> list[dict[str, str | int | None]]:
    """The rows of a table. Needs that differ only in the language are put together, with the number of bytes to fetch."""
    groups: dict[tuple[str, ...], list[Need]] = {}
    for need in needs:
        supply = need.supply
        otherwise = need.instead if supply.state == "nowhere" else ""
        groups.setdefault((need.who, supply.corpus, supply.split, supply.state, otherwise), []).append(need)
    rows: list[dict[str, str | int | None]] = []
    for (who, corpus, split, state, otherwise), found in groups.items():
        sizes = {need.supply.place: need.supply.bytes for need in found}
        fetched = sum(filter(None, sizes.values())) if state == "to fetch" and None not in sizes.values() else None
        otherwise = otherwise or ("; ".join(list_choices(found[0])) if state == "nowhere" else "")
        named = {"for": who, "corpus": corpus, "split": split, "languages": " ".join(need.supply.lang for need in found)}
        rows.append({**named, "state": state, "bytes": fetched, "otherwise": otherwise})
    return rows


def require(needs: Iterable[Need]) -> None:
    """Raise UserError, in one line with what can be done, if a method would stop because data are nowhere.

    The data of tasks are checked by ``evaluation.tasks.locate_data``, which may leave out languages of a group.
    """
    missing = [need for need in needs if need.missing and need.who != TASKS]
    if not missing:
        return
    first = missing[0]
    supply = first.supply
    more = f" (and {len(missing) - 1} more: {', '.join(_name(need) for need in missing[1:4])})" if missing[1:] else ""
    raise UserError(f"{_name(first)} is nowhere to be found{more}: {supply.place}; {'; '.join(list_choices(first))}")


def list_choices(need: Need) -> list[str]:
    """What a user can do if rows are nowhere."""
    supply = need.supply
    sampled = data.survey(supply.corpus, supply.lang, supply.split, samples="always").state == "samples"
    choices = ["set XLIFT_DATA to a folder that has it", *(["allow the bundled samples with data.samples: missing"] if sampled else [])]
    if need.who == TASKS:
        return [*choices, "evaluate fewer languages or tasks"]
    own = "" if need.supply.corpus.partition("/")[0] not in OWN_KINDS else "add rows of your own with 'xlift data add'"
    if need.who == COMMON:
        return [*choices, *([own] if own else []), "name another corpus in common.corpus", "leave common out"]
    return [*choices, *([own] if own else []), f"name another corpus in methods.{need.who}.options", "train fewer languages"]


OWN_KINDS = ("alpaca", "parallel", "lexicon", "qa")
"""Corpora to which a user's own rows can be added."""


def _name(need: Need) -> str:
    supply = need.supply
    return f"{need.who}: {supply.corpus} in {supply.lang!r}"
