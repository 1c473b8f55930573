"""What a run shows to a method: data behind the leak guard, the model's own answers, and translators."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import LeakError, UserError
from xlift.harness.core.manifests import FileFacts, Manifest
from xlift.harness.core.types import Answer, Chat, CorpusRow, Example, Parallel, Preference, Row, Rows, Sampling, list_languages, list_texts
from xlift.harness.models.steering import Steer, check_arrays
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Align, Dpo, Gap, Plan, Sft
from xlift.harness.recipes.files import MethodFile, open_file
from xlift.harness.recipes.parts import check_parts
from xlift.harness.translators.scores import Scores
from xlift.tasks.data import identify_training, read_training
from xlift.tasks.language_id import identify
from xlift.tasks.leaks import Guard
from xlift.tasks.licences import trace_all
from xlift.tasks.thinking import separate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xlift.harness.translators.base import Translator

Generate = Callable[[Sequence[Chat], Sampling], list[Answer]]


class Inside(Protocol):
    """What can be read inside a model, each with the number of tokens of the texts (pipeline.states.States)."""

    def read(self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: str) -> tuple[NDArray[Any], int]: ...

    def read_norms(self, texts: Sequence[str]) -> tuple[Mapping[str, NDArray[Any]], int]: ...

    def read_activity(self, texts: Sequence[str]) -> tuple[NDArray[Any], int]: ...

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None, arrays: Mapping[str, NDArray[Any]], lang: str
    ) -> tuple[list[float], int]: ...


LOSS = 0.3
"""The share of a part whose loss causes a warning."""


class RunContext:
    """The Context of one method in one round of a suite. ``generate`` uses the model with which the round starts.

    Scores of translations are remembered in the folder ``scores``, if there is one.
    """

    def __init__(
        self, suite: Suite, label: str, guard: Guard, generate: Generate, number: int = 0, *, scores: Path | None = None,
        inside: Inside | None = None,
    ) -> None:  # fmt: skip
        self.languages = suite.trained(label)
        self.pivot = suite.languages.pivot
        self.budget = choose_rows(suite, label).own
        self.round = number
        self.generated_tokens = 0
        self.thinking_tokens = 0
        self.thinking_cut = 0
        """Answers whose thinking never ended."""
        self.tokens_read = 0
        """Tokens of texts whose states, or whose likelihoods, were read."""
        self.rows_read: Counter[str] = Counter()
        """Rows of each ``language/corpus``, leaking ones included."""
        self.hashes_read: dict[str, str | None] = {}
        """Hash of the rows of each ``language/corpus`` in the order of reading; None for one that could not be read."""
        self.files_read: dict[str, MethodFile] = {}
        """Files that the method read, by the name that it asked for."""
        self._method = registry.find_method(suite.methods[label].method)
        self._suite = suite
        self._guard = guard
        self._generate = generate
        self._inside = inside
        self._settings = suite.translating(label)
        self._scores = scores
        self._translators: dict[str, Translator] = {}
        self._translated: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._rows: dict[tuple[str, str], list[CorpusRow]] = {}
        self._leaks: defaultdict[str, set[str]] = defaultdict(set)

    @property
    def rng(self) -> random.Random:
        # Seeded alike in all rounds: a window of a shuffled list, ``round * size`` further on in each, then repeats nothing.
        return random.Random(0)

    def read(self, corpus: str, lang: str) -> Sequence[CorpusRow]:
        if (corpus, lang) in self._rows:
            return self._rows[corpus, lang]
        self.hashes_read[f"{lang}/{corpus}"] = identify_training(corpus, lang, samples=self._suite.data.samples)
        rows = read_training(corpus, lang, samples=self._suite.data.samples)
        self.rows_read[f"{lang}/{corpus}"] = len(rows)
        columns = [name for name, feature in rows.features.items() if name != "id" and getattr(feature, "dtype", None) == "string"]
        leaking = self._guard.find_leaks([[row[column] for column in columns] for row in rows.select_columns(columns)])
        if {"head", "tail"} <= {*columns}:
            asked = self._guard.find_known_facts(zip(rows["head"], rows["tail"], strict=True))
            leaking = [one or other for one, other in zip(leaking, asked, strict=True)]
        if any(leaking):
            self._report_leaks(f"{lang}/{corpus}", [str(rows[index]["id"]) for index, hit in enumerate(leaking) if hit])
            rows = rows.select([index for index, hit in enumerate(leaking) if not hit])
        found: list[CorpusRow] = list(rows)
        self._rows[corpus, lang] = found
        return found

    def read_file(self, path: str | Path) -> bytes:
        name = str(path)
        if name not in self.files_read:
            self.files_read[name] = open_file(self._method, path)
        return self.files_read[name].content

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        # Rows take no thinking; an answer whose thinking never ended is empty and counts as cut off.
        answers = self._generate(chats, sampling)
        self.generated_tokens += sum(answer.tokens for answer in answers)
        self.thinking_tokens += sum(answer.thinking_tokens for answer in answers)
        said = [separate(answer.text) for answer in answers]
        self.thinking_cut += sum(one.cut for one in said)
        return [
            replace(answer, text=one.answer, finished=answer.finished and not one.cut) for answer, one in zip(answers, said, strict=True)
        ]

    def read_states(
        self, texts: Sequence[str | Chat], layers: Sequence[int | float], pool: Literal["last", "mean"] = "last"
    ) -> NDArray[Any]:
        states, tokens = self._find_inside().read(texts, layers, pool)
        self.tokens_read += tokens
        return states

    def read_norms(self, texts: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        norms, tokens = self._find_inside().read_norms(texts)
        self.tokens_read += tokens
        return norms

    def read_activity(self, texts: Sequence[str]) -> NDArray[Any]:
        activity, tokens = self._find_inside().read_activity(texts)
        self.tokens_read += tokens
        return activity

    def score(
        self, chats: Sequence[Chat], answers: Sequence[str], steer: Steer | None = None, arrays: Mapping[str, NDArray[Any]] | None = None,
        lang: str = "",
    ) -> list[float]:  # fmt: skip
        found, tokens = self._find_inside().score(chats, answers, steer, arrays or {}, lang)
        self.tokens_read += tokens
        return found

    def _find_inside(self) -> Inside:
        if self._inside is None:
            raise UserError("states are read in the prepare stage of a run alone")
        return self._inside

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        translator = self._find_translator(source, target)
        found = translator.translate(texts, source, target)
        counts = {"asked": len(texts), "failed": sum(text is None for text in found)}
        self._translated[f"{source}-{target}: {translator.describe()['kind']}"].update(counts)
        return found

    def score_translations(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        translator = self._find_translator(source, target)
        found = Scores(self._scores, translator).score(texts, translations, source, target)
        counts = {"asked": len(texts), "failed": sum(score is None for score in found)}
        self._translated[f"{source}-{target}: {translator.describe()['kind']}, scores"].update(counts)
        return found

    def require_translator(self, source: str, target: str) -> None:
        self._find_translator(source, target)

    def _find_translator(self, source: str, target: str) -> Translator:
        """The translator of the pair, opened at its first use. Raises UserError if there is none, or if it cannot serve the pair."""
        from xlift.harness.translators.load import open_translator

        pair = f"{source}-{target}"
        settings = self._settings.get(pair) or self._settings.get("default")
        if settings is None:
            raise UserError(f"translators: none for {pair}; add {pair} or default (has {', '.join(self._settings)})")
        key = settings.model_dump_json()
        if key not in self._translators:
            self._translators[key] = open_translator(settings, self)
        self._translators[key].check(source, target)
        return self._translators[key]

    def identify(self, texts: Sequence[str]) -> list[str]:
        return identify(texts)

    def describe_help(self) -> Manifest:
        """What the rows cost and what helped to make them: generated tokens, how many of them were thinking, corpora and their licences,
        and translators with counts by pair."""
        corpora = ["/".join(reversed(name.split("/", 1))) for name in sorted(self.rows_read)]
        return {
            "generated_tokens": self.generated_tokens,
            "thinking_tokens": self.thinking_tokens,
            "thinking_cut": self.thinking_cut,
            "tokens_read": self.tokens_read,
            "corpora": corpora,
            "files": [cast(FileFacts, one.facts()) for one in self.files_read.values()],
            "sources": [source.facts() for source in trace_all(corpora, samples=self._suite.data.samples)],
            "translators": [translator.describe() for translator in self._translators.values()],
            "translated": {pair: dict(counts) for pair, counts in self._translated.items()},
        }

    def vet(self, plan: Plan) -> Plan:
        """The plan without rows that overlap evaluation items, which a method may have made up or generated.

        Raises UserError for what is no plan; for a plan that is empty, has too many rows, a language that is not trained or an id twice;
        for parts as ``check_parts`` does, and for moves of states that move nothing.
        """
        _require_shape(plan)
        rows: list[Row] = list(plan.rows)
        leaking = self._guard.find_leaks([list_texts(row) for row in rows])
        for row in (row for row, hit in zip(rows, leaking, strict=True) if hit):
            self._report_leaks(f"{row.lang}/{row.kind}", [row.id])
        kept = tuple(row for row, hit in zip(rows, leaking, strict=True) if not hit)
        if plan.steer:
            check_arrays(plan.steer, plan.arrays, "the method's arrays")
            if plan.rows:
                raise UserError("the method has rows and moves of states; it can have one of them")
        if plan.policy and (plan.rows or plan.profile or plan.steer or plan.edit):
            raise UserError("the method chooses among profiles, so it has no rows, and no profile, moves or edit beside the choice")
        if plan.module and (plan.parts or plan.steer or plan.where or not isinstance(plan.objective, Sft)):
            raise UserError("the method trains the projection of an encoder, so it has the objective Sft, and no parts, moves or layers")
        if not kept and (plan.rows or not any((plan.profile, plan.policy, plan.edit, plan.steer))):
            reasons = ", ".join(f"{reason} ({count})" for reason, count in Counter(plan.drops).most_common(3))
            raise UserError(f"the method made no training rows{'; left out: ' + reasons if reasons else ''}")
        _require_sound(kept, {*self.languages, self.pivot}, self.budget)
        found = {f"{where}: overlaps evaluation": len(ids) for where, ids in self._leaks.items()}
        kinds = {row.kind for row in kept}
        phases = tuple(tuple(kind for kind in phase if kind in kinds) for phase in plan.phases)
        vetted = replace(plan, rows=cast(Rows, kept), drops={**plan.drops, **found}, phases=tuple(phase for phase in phases if phase))
        check_parts(vetted)
        return vetted

    def _report_leaks(self, where: str, ids: list[str]) -> None:
        if self._suite.data.strict:
            raise LeakError(
                f"{where}: {len(ids)} training rows overlap evaluation items, such as {', '.join(ids[:3])}; data.strict refuses them"
            )
        self._leaks[where].update(ids)


def find_losses(kinds: Mapping[str, int], drops: Mapping[str, int], rows_read: Mapping[str, int]) -> dict[str, float]:
    """Parts of a recipe (``es/translation``) and corpora that lost more than 30 % of their rows, with the lost share."""
    lost: Counter[str] = Counter()
    for where, count in drops.items():
        part, _, reason = where.partition(": ")
        if reason != "corpus too small":  # rows that were never there
            lost[part] += count
    shares = {part: count / max(rows_read.get(part, 0), count + kinds.get(part, 0)) for part, count in lost.items()}
    return {part: round(share, 3) for part, share in shares.items() if share > LOSS}


def _require_shape(plan: object) -> None:
    """Raises UserError for what is no plan: methods are written by many."""
    if not isinstance(plan, Plan):
        raise UserError(f"prepare gives back {type(plan).__name__}, where a Plan is wanted")
    if not isinstance(objective := cast(object, plan.objective), Sft | Dpo | Align | Gap):
        raise UserError(f"objective: {objective!r:.80}, where Sft, Dpo, Align or Gap is wanted")
    rows: Iterable[object] = plan.rows
    for row in rows:
        if not isinstance(row, Example | Preference | Parallel):
            raise UserError(f"a row of the plan is {type(row).__name__}, where Example, Preference or Parallel is wanted")
        if odd := [value for value in _list_values(row.to_dict()) if not isinstance(value, str)]:
            raise UserError(f"row {row.id!r} holds {odd[0]!r}, where a text is wanted")
        if isinstance(row, Preference) and row.twin and row.twin.twin:
            raise UserError(f"row {row.id!r}: its twin has a twin itself; a pair has one twin, in the pivot")
    drops = cast(Mapping[object, object], plan.drops)
    for reason, count in drops.items():
        if not isinstance(reason, str) or not isinstance(count, int):
            raise UserError(f"drops: {reason!r}: {count!r}, where a reason and a number of rows are wanted")


def _list_values(value: object) -> Iterator[object]:
    """All that is no mapping and no list, at any depth."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _list_values(one)
    else:
        yield value


def _require_sound(rows: Iterable[Row], languages: set[str], budget: int | None) -> None:
    rows = tuple(rows)
    if budget is not None and len(rows) > budget:
        raise UserError(f"the method made {len(rows)} rows, its budget allows {budget}")
    spoken = [list_languages(row) for row in rows]
    if foreign := {lang for langs in spoken for lang in langs} - languages:
        raise UserError(f"the method made rows in {', '.join(sorted(foreign))}, which the suite does not train")
    ids = Counter(row.id for row in rows)
    if doubled := [row_id for row_id, count in ids.items() if count > 1]:
        raise UserError(f"the method made {len(doubled)} row ids more than once, such as {doubled[0]!r}")
