"""Rows as tokens, and the rows of each optimiser step: drawn at random, and batched within a step with others of similar length."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate, count, pairwise
from math import ceil
from typing import TYPE_CHECKING

from xlift.harness.config.lora import check_points
from xlift.harness.config.suite import TrainSettings
from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.types import Chat, Example, Parallel, Preference, Row
from xlift.harness.models.thinking import split_turn
from xlift.harness.models.tokens import tokenize_pairs, tokenize_text
from xlift.harness.recipes.contract import Align, Objective

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRAINING_VERSION = 3
"""The version of everything that makes an adapter from rows and settings. Raise it with every change that alters a weight, so that no older
adapter is taken for a new one."""

PADDING = 0.05
"""The largest share of padding in the tokens of a batch."""

Batch = tuple[int, ...]
"""The numbers of the sequences that go through the model together. The longest comes first."""

Pass = tuple[Batch, ...]
"""Batches whose losses go back through the model together, because they are in memory together."""

Step = tuple[Pass, ...]
"""Everything that one optimiser step sees."""


@dataclass(frozen=True)
class Encoded:
    """One sequence as the model sees it: a prompt and a response."""

    id: str
    kind: str
    tokens: tuple[int, ...]
    prompt: int
    """The number of tokens before the response. All later tokens belong to the response, including the end of the turn. For a parallel text
    it is the number of all tokens."""
    lang: str = ""
    """The language of a parallel text."""

    @property
    def response(self) -> int:
        return len(self.tokens) - self.prompt


@dataclass(frozen=True)
class Corpus:
    """The rows that can be trained on, and what the length limit did to the others."""

    sequences: tuple[Encoded, ...]
    """One for each example. For each preference the chosen answer, then the rejected one, then those of its twin. For each parallel row the
    anchor, then the others."""
    cut: int
    """The number of rows that lost an end."""
    dropped: int
    """The number of rows whose prompt alone fills the limit, and of pairs that the limit makes equal."""
    sides: tuple[int, ...] = ()
    """The number of sequences of each row: 2 for preferences, 4 with a twin, one for each language of a parallel row. One if not given."""

    @property
    def rows(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The positions at which each row's sequences begin, and at which the last ones end."""
        return tuple(accumulate(self.sides or (1,) * len(self.sequences), initial=0))

    @cached_property
    def row_of(self) -> tuple[int, ...]:
        """The row of each sequence."""
        return tuple(row for row in range(self.rows) for _ in self.members(row))

    def is_parallel(self, row: int) -> bool:
        """Whether a row holds parallel texts."""
        return bool(self.sequences[self.starts[row]].lang)

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The number of tokens of each sequence."""
        return tuple(len(sequence.tokens) for sequence in self.sequences)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of tokens of each row, over all its sides."""
        return tuple(sum(self.lengths[number] for number in self.members(row)) for row in range(self.rows))

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each row."""
        return tuple(self.sequences[start].kind for start in self.starts[:-1])

    def members(self, row: int) -> range:
        """The numbers of a row's sequences."""
        return range(self.starts[row], self.starts[row + 1])


@dataclass(frozen=True)
class Course:
    """A training from its first step to its last."""

    corpus: Corpus
    steps: tuple[Step, ...]
    ends: tuple[int, ...]
    """The steps after which each phase ends. The last one is the number of all steps."""

    @cached_property
    def rows(self) -> tuple[int, ...]:
        """The number of rows trained in each step."""
        firsts = {*self.corpus.starts[:-1]}
        return tuple(sum(number in firsts for batch in _flatten(step) for number in batch) for step in self.steps)

    @cached_property
    def tokens(self) -> tuple[int, ...]:
        """The number of tokens trained after each step, in all, without padding."""
        return tuple(accumulate(sum(self.corpus.lengths[number] for batch in _flatten(step) for number in batch) for step in self.steps))

    @property
    def epochs(self) -> float:
        """How many times the rows were gone through."""
        return sum(self.rows) / self.corpus.rows

    @property
    def response_tokens(self) -> int:
        return sum(self.corpus.sequences[number].response for step in self.steps for batch in _flatten(step) for number in batch)

    @property
    def padding_share(self) -> float:
        return 1 - self.tokens[-1] / sum(_area(_flatten(step), self.corpus.lengths) for step in self.steps)


def encode(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Corpus:
    """Render each chat with the tokenizer's template, and record where the response begins.

    The prompt is tokenised as in inference, with the opening of the assistant's turn. The response ends with the token that ends the turn.
    What a template writes after that is left out; if a template ends no turn, the tokenizer's end token does. An empty block of thinking
    that a template writes into a finished turn belongs to the prompt (``split_turn``). A parallel row that is too long in one of its
    languages is left out, because a state at a cut means something else. Raises UserError for a template that refuses a row or writes a
    finished turn differently from an open one, for a pair without a choice, for a parallel row without a translation, and if no row is
    left.
    """
    if not rows:
        raise UserError("there are no rows to train on")
    answered = _tokenize_answers([row for row in rows if not isinstance(row, Parallel)], tokenizer)
    kept: list[Encoded] = []
    sides: list[int] = []
    cut = 0
    for row in rows:
        if isinstance(row, Parallel):
            found, is_cut = _encode_parallel(row, tokenizer, max_length), False
        else:
            found, is_cut = _encode_answers(row, next(answered), max_length)
        kept += found
        cut += is_cut
        sides += [len(found)] if found else []
    if not kept:
        whys = {Example: "all prompts alone are that long", Parallel: "all are longer in some language"}
        why = whys.get(type(rows[0]), "all prompts alone are that long, or leave no room for a difference")
        raise UserError(f"train.max_length {max_length}: none of {len(rows)} rows can be trained on, {why}")
    return Corpus(tuple(kept), cut, len(rows) - len(sides), tuple(sides))


def plan(
    corpus: Corpus, settings: TrainSettings, seed: int, phases: Sequence[Sequence[str]] = (), objective: Objective | None = None
) -> Course:
    """The rows of every optimiser step. They are the same for the same corpus, settings, seed, phases and objective.

    The budget (``tokens``, else ``epochs``) divided by ``batch_tokens`` is the number of steps, whatever the rows are. Rows are shuffled in
    each epoch and concatenated. A step ends with the row that brings the tokens so far to the step's share of the budget, so trainings with
    equal budgets differ by less than a row. The budget and the steps are divided among phases by the tokens of their rows, with at least
    one step for each. Of parallel rows and examples together, every step has its share of both, or they take turns (``Align``), with half
    of the budget each. What a step holds does not depend on ``micro_batch_tokens``. Raises UserError for a row that fits no step or no
    forward pass, for phases that do not match the rows, for points of a curve before the first step, and if the texts of a
    step have nothing with which they can be contrasted.
    """
    _refuse_long(corpus, settings)
    batch, alternate = (objective.batch, objective.alternate) if isinstance(objective, Align) else (0, False)
    groups, mixed = _divide(corpus.kinds, phases), _sort_rows(corpus)
    budget = settings.tokens or ceil(settings.epochs * sum(corpus.sizes))
    total = max(len(groups), round(budget / settings.batch_tokens))
    check_points("train", settings.measure_at, total)
    if not mixed:
        drawn, ends = _fill_steps(corpus.sizes, groups, budget, total, str(seed))
    elif phases:
        raise UserError("phases: parallel rows and examples are in every step together, or take turns; leave phases out")
    else:
        drawn, ends = _mix(corpus.sizes, mixed, budget, total, str(seed), alternate), [max(total, 2) if alternate else total]
    steps = tuple(arrange(rows, corpus, settings.micro_batch_tokens, batch) for rows in drawn)
    if isinstance(objective, Align) and any(term.name == "contrastive" for term in objective.terms):
        _require_company(corpus, drawn, settings)
    return Course(corpus, steps, tuple(ends))


def arrange(rows: Sequence[int], corpus: Corpus, limit: int, together: int = 0) -> Step:
    """The rows of one step as passes of at most ``limit`` tokens (sequences x width), each batch with at most 5 % padding.

    The loss of a pair needs both its sides, so a pass holds whole rows, and in it each side is batched with others of its own length.
    Parallel rows are cut into passes of at most ``together`` rows, as equal as possible, whatever their tokens. Raises UserError if such a
    pass exceeds the limit.
    """
    lengths = corpus.lengths
    parallel = [row for row in rows if corpus.is_parallel(row)]
    single = [corpus.starts[row] for row in rows if len(corpus.members(row)) == 1]
    passes: list[Pass] = [(batch,) for batch in split(single, lengths, limit)]
    count = max(1, min(ceil(len(parallel) / together), len(parallel) // 2)) if together else 0
    for number in range(count if parallel else 0):
        group = parallel[len(parallel) * number // count : len(parallel) * (number + 1) // count]
        members = [member for row in group for member in corpus.members(row)]
        found = split(members, lengths, sum(lengths[member] for member in members) * 2)
        if (area := _area(found, lengths)) > limit:
            raise UserError(
                f"{len(group)} rows whose texts are contrasted take {area} tokens, train.micro_batch_tokens is {limit}: raise it, or lower "
                "the method's batch or train.max_length"
            )
        passes.append(found)
    held: list[int] = []
    pairs = [row for row in rows if len(corpus.members(row)) > 1 and not (together and corpus.is_parallel(row))]
    for row in sorted(pairs, key=lambda row: (sorted(-lengths[number] for number in corpus.members(row)), row)):
        members = [*corpus.members(row)]
        grown = split([*held, *members], lengths, limit)
        if held and _area(grown, lengths) <= limit:
            passes[-1] = grown
            held += members
        else:
            passes.append(split(members, lengths, limit))
            held = members
    return tuple(passes)


def deal(step: Step, corpus: Corpus, ranks: int) -> list[tuple[Pass, ...]]:
    """The passes of a step for each of several processes. The largest are halved until there are enough for all.

    Raises UserError for a step with fewer rows than processes.
    """
    passes = list(step)
    while len(passes) < ranks:
        largest = max(passes, key=lambda one: len(_list_starts(one, corpus)))
        starts = _list_starts(largest, corpus)
        if len(starts) < 2:
            raise UserError(f"train.processes {ranks}: a step holds fewer rows; raise train.batch_tokens, or lower train.processes")
        halves = (starts[: len(starts) // 2], starts[len(starts) // 2 :])
        place = passes.index(largest)
        passes[place : place + 1] = [_gather_pass(half, corpus) for half in halves]
    return [tuple(passes[rank::ranks]) for rank in range(ranks)]


def _list_starts(one: Pass, corpus: Corpus) -> list[int]:
    """The first sequence of each row of a pass, as often as the row is in it."""
    firsts = {*corpus.starts[:-1]}
    return [number for batch in one for number in batch if number in firsts]


def _gather_pass(starts: Sequence[int], corpus: Corpus) -> Pass:
    members = [start + side for start in starts for side in range(len(corpus.members(corpus.row_of[start])))]
    if len(members) == len(starts):
        return (tuple(members),)  # of a batch that was whole, in its order
    return split(members, corpus.lengths, sum(corpus.lengths[member] for member in members) * 2)


def split(numbers: Iterable[int], lengths: Sequence[int], limit: int) -> tuple[Batch, ...]:
    """Sequences into batches of at most ``limit`` tokens (sequences x width), each with at most 5 % padding."""
    batches: list[list[int]] = []
    width = tokens = 0
    for number in sorted(numbers, key=lambda number: (-lengths[number], number)):
        length = lengths[number]
        area = width * (len(batches[-1]) + 1) if batches else 0
        if batches and area <= limit and tokens + length >= (1 - PADDING) * area:
            batches[-1].append(number)
            tokens += length
        else:
            batches.append([number])
            width = tokens = length
    return tuple(tuple(batch) for batch in batches)


def _tokenize_answers(rows: Sequence[Example | Preference], tokenizer: PreTrainedTokenizerBase) -> Iterator[list[tuple[list[int], int]]]:
    """The tokens of each side of each row, and how many of them belong to the prompt."""
    ends = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    texts = [_render(row.id, chat, answer, tokenizer) for row in rows for chat, answer in _list_answers(row)]
    found = (([*prompt, *_end_turn(tail, ends, tokenizer)], len(prompt)) for prompt, tail, _ in tokenize_pairs(tokenizer, texts))
    return ([next(found) for _ in _list_answers(row)] for row in rows)


def _encode_answers(row: Example | Preference, sides: Sequence[tuple[list[int], int]], max_length: int) -> tuple[list[Encoded], bool]:
    """A row's sides (none if it cannot be trained on), and whether one of them is cut."""
    short = [Encoded(row.id, row.kind, tuple(tokens[:max_length]), prompt) for tokens, prompt in sides]
    if isinstance(row, Preference):
        _require_choice(row, [tokens for tokens, _ in sides])
    pairs = [short[first : first + 2] for first in range(0, len(short), 2)]
    if max(prompt for _, prompt in sides) >= max_length or any(len({one.tokens for one in pair}) < len(pair) for pair in pairs):
        return [], False
    return short, any(len(tokens) > max_length for tokens, _ in sides)


def _encode_parallel(row: Parallel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Encoded]:
    """The anchor and the others; nothing if one is too long."""
    from jinja2 import TemplateError

    if row.anchor not in row.texts or len(row.texts) < 2:
        raise UserError(f"row {row.id!r}: has texts in {', '.join(row.texts)}, and needs {row.anchor!r} and another language")
    langs = [row.anchor, *(lang for lang in row.texts if lang != row.anchor)]
    try:
        tokens = [tokenize_text(tokenizer, row.texts[lang]) for lang in langs]
    except TemplateError as error:
        raise UserError(f"row {row.id!r}: the base model's chat template refuses it: {error}") from None
    if max(map(len, tokens)) > max_length:
        return []
    return [Encoded(row.id, row.kind, tuple(ids), len(ids), lang) for lang, ids in zip(langs, tokens, strict=True)]


def _list_answers(row: Example | Preference) -> list[tuple[Chat, str]]:
    """The prompt, and each answer. For a preference these are its own two answers, then those of its twin."""
    if isinstance(row, Example):
        return [(row.messages, row.response)]
    twin = _list_answers(row.twin) if row.twin else []
    return [(row.messages, row.chosen), (row.messages, row.rejected), *twin]


def _require_choice(row: Preference, sides: Sequence[Sequence[int]]) -> None:
    if not row.chosen.strip():
        raise UserError(f"row {row.id!r}: the chosen answer is empty; leave the pair out")
    if sides[0] == sides[1]:
        raise UserError(f"row {row.id!r}: the chosen and the rejected answer are the same, so there is no preference; leave it out")
    if row.twin:
        _require_choice(row.twin, sides[2:])


def _render(row_id: str, messages: Chat, answer: str, tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    from jinja2 import TemplateError

    chat = list(messages)
    try:
        prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": answer}], tokenize=False)
    except TemplateError as error:
        raise UserError(f"row {row_id!r}: the base model's chat template refuses it: {error}") from None
    parts = split_turn(prompt, whole)
    if parts is None:
        raise UserError(
            f"row {row_id!r}: the base model's chat template writes a finished turn unlike an open one, so training would not match what "
            "is asked later; give another template with base.chat_template, or set engine.thinking: off where it opens thinking"
        )
    return parts


def _end_turn(tail: list[int], ends: set[int], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    last = next((place for place in reversed(range(len(tail))) if tail[place] in ends), None)
    if last is None or tokenizer.decode(tail[last + 1 :]).strip():
        return [*tail, tokenizer.eos_token_id]
    return tail[: last + 1]


def _refuse_long(corpus: Corpus, settings: TrainSettings) -> None:
    for key in ("batch_tokens", "micro_batch_tokens"):
        limit = getattr(settings, key)
        for row, size in enumerate(corpus.sizes):
            if size > limit:
                sides = f" on its {len(corpus.members(row))} sides".replace("2", "two") if len(corpus.members(row)) > 1 else ""
                what = f"row {corpus.sequences[corpus.starts[row]].id!r} has {size} tokens{sides}"
                raise UserError(f"{what}, train.{key} is {limit}: raise it, or lower train.max_length")


def _require_company(corpus: Corpus, drawn: Sequence[Sequence[int]], settings: TrainSettings) -> None:
    for rows in drawn:
        if sum(corpus.is_parallel(row) for row in rows) == 1:
            raise UserError(
                f"train.batch_tokens {settings.batch_tokens}: a step holds a single parallel row, whose texts have nothing to be "
                "contrasted with; raise it"
            )


def _sort_rows(corpus: Corpus) -> list[list[int]]:
    """Examples and parallel rows, separately; nothing if there are not both."""
    sorts: list[list[int]] = [[], []]
    for row in range(corpus.rows):
        sorts[corpus.is_parallel(row)].append(row)
    return sorts if all(sorts) else []


def _fill_steps(
    sizes: Sequence[int], groups: Sequence[Sequence[int]], budget: int, total: int, seed: str
) -> tuple[list[list[int]], list[int]]:
    """The rows of ``total`` steps, group after group, and the steps after which each group ends."""
    shares = list(accumulate(sum(sizes[row] for row in group) for group in groups))
    bounds = [Fraction(budget * share, shares[-1]) for share in (0, *shares)]
    ends = _cut([round(Fraction(total * share, shares[-1])) for share in shares], total)
    steps: list[list[int]] = []
    spent = 0
    for phase, group in enumerate(groups):
        taking = ends[phase] - len(steps)
        goals = [bounds[phase] + (bounds[phase + 1] - bounds[phase]) * step / taking for step in range(1, taking + 1)]
        steps += _draw(_shuffle(group, f"{seed}/{phase}"), sizes, goals, spent)
        spent = sum(sizes[row] for rows in steps for row in rows)
    return steps, ends


def _mix(sizes: Sequence[int], sorts: Sequence[Sequence[int]], budget: int, total: int, seed: str, alternate: bool) -> list[list[int]]:
    """The rows of each step, of both sorts: together by the tokens of each, or in turn, with half of the steps and of the budget for
    each."""
    if alternate:
        total = max(total, 2)
        counts = (total - total // 2, total // 2)
        first = budget * counts[0] // total
        parts = [
            _fill_steps(sizes, [rows], share, count, f"{seed}/{sort}")[0]
            for sort, (rows, share, count) in enumerate(zip(sorts, (first, budget - first), counts, strict=True))
        ]
        return [parts[step % 2][step // 2] for step in range(total)]
    weights = [sum(sizes[row] for row in rows) for rows in sorts]
    first = budget * weights[0] // sum(weights)
    parts = [
        _fill_steps(sizes, [rows], share, total, f"{seed}/{sort}")[0]
        for sort, (rows, share) in enumerate(zip(sorts, (first, budget - first), strict=True))
    ]
    return [[*one, *other] for one, other in zip(*parts, strict=True)]


def _divide(kinds: Sequence[str], phases: Sequence[Sequence[str]]) -> list[list[int]]:
    if not phases:
        return [list(range(len(kinds)))]
    places = {kind: place for place, phase in enumerate(phases) for kind in phase}
    if not all(phases) or len(places) < sum(len(phase) for phase in phases):
        raise UserError(f"phases {[list(phase) for phase in phases]}: name each kind of rows once, and at least one in each phase")
    if missing := [kind for kind in places if kind not in kinds]:
        raise UserError(f"phases: no rows of kind {missing[0]!r} to train on{name_nearest(missing[0], set(kinds))}")
    if unnamed := sorted(set(kinds) - set(places)):
        raise UserError(f"phases: rows of kind {unnamed[0]!r} are in no phase{name_nearest(unnamed[0], places)}")
    groups: list[list[int]] = [[] for _ in phases]
    for row, kind in enumerate(kinds):
        groups[places[kind]].append(row)
    return groups


def _shuffle(rows: Sequence[int], seed: str) -> Iterator[int]:
    for epoch in count():
        order = list(rows)
        random.Random(f"{seed}/{epoch}").shuffle(order)
        yield from order


def _draw(order: Iterator[int], sizes: Sequence[int], goals: Sequence[Fraction], spent: int) -> list[list[int]]:
    rows: list[int] = []
    totals: list[int] = []
    for row in order:
        rows.append(row)
        totals.append(spent := spent + sizes[row])
        if spent >= goals[-1] and len(rows) >= len(goals):
            break
    ends = _cut([bisect_left(totals, goal) + 1 for goal in goals], len(rows))
    return [rows[first:last] for first, last in pairwise((0, *ends))]


def _cut(wanted: Sequence[int], size: int) -> list[int]:
    """The positions at which the parts of ``size`` things end, as near to what is wanted as possible without an empty part."""
    ends: list[int] = []
    for place, end in enumerate(wanted, 1):
        ends.append(max(min(end, size - len(wanted) + place), ends[-1] + 1 if ends else 1))
    return ends


def _flatten(step: Step) -> tuple[Batch, ...]:
    return sum(step, ())


def _area(batches: Iterable[Batch], lengths: Sequence[int]) -> int:
    return sum(len(batch) * lengths[batch[0]] for batch in batches)
