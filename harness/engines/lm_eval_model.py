"""lm-eval's side of an engine: requests become engine calls, asked and read as the current adapter's profile says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NotRequired, TypedDict, TypeVar

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs

from xlift.harness.core.errors import UserError, name_nearest
from xlift.harness.core.progress import Bar
from xlift.harness.core.types import Answer, Chat, Likelihood, Message, Sampling
from xlift.harness.engines.base import USAGE, Engine, Keep, Made, Meter
from xlift.harness.engines.kept_answers import KeptAnswers
from xlift.harness.models.policy import Policy
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.tokens import tokenize
from xlift.tasks import index
from xlift.tasks.language_id import identify
from xlift.tasks.thinking import find_answer, find_opening

T = TypeVar("T")

PREAMBLE_TOKENS = 256
"""The tokens that a likelihood task allows a model to write before the part that is scored, if a profile lets it write there."""
AT_ONCE = 64
"""The number of whole texts whose likelihoods are computed before they are kept."""
KNOWN = ("until", "max_gen_toks", "do_sample", "temperature", "top_p", "repetition_penalty", "seed")
NEUTRAL: Mapping[str, tuple[float, ...]] = {"num_beams": (1,), "top_k": (0, -1), "min_p": (0, 0.0), "n": (1,)}


def to_sampling(kwargs: Mapping[str, object]) -> Sampling:
    """lm-eval's ``generation_kwargs`` as a Sampling. Raises UserError for a key that would otherwise be ignored silently."""
    values = normalize_gen_kwargs(dict(kwargs))
    for key, value in values.items():
        if key not in KNOWN and value not in NEUTRAL.get(key, ()):
            raise UserError(f"generation_kwargs: {key}={value!r} is not supported by xlift's engines{name_nearest(key, KNOWN)}")
    return Sampling(
        max_tokens=int(values["max_gen_toks"]),
        temperature=float(values.get("temperature") or 0.0),
        top_p=float(values.get("top_p", 1.0)),
        repetition_penalty=float(values.get("repetition_penalty", 1.0)),
        stop=tuple(word for word in values["until"] if word),
        seed=int(values.get("seed", 0)),
    )


class WholeAnswer(TypedDict):
    """Everything that was said in reply to a request to which a profile applies."""

    task: str
    doc_id: int
    lang: str
    answer: str
    header: bool
    """Whether the header came, after which the scored part begins."""
    profile: NotRequired[str]
    """The name of the profile, where it was chosen for the request."""


@dataclass(frozen=True)
class _Say:
    """The profile that has a say in a request, and the language of the expected answer, by which it goes."""

    profile: InferenceProfile
    lang: str
    name: str = ""
    """Of the profile, where it was chosen among several."""


@dataclass(frozen=True)
class _Asked:
    """What the engine is asked for one request."""

    prompt: str
    sampling: Sampling
    say: _Say | None
    """The profile that applies, or None."""
    own_tokens: int
    """The task's own allowance of tokens."""


class EngineLM(LM):  # type: ignore[misc]
    """What the backends' models share: requests become engine calls, asked and read as the current adapter's profile says.

    It comes before the backend's own model among a class's bases. lm-eval renders a prompt without saying for which task, and asks for the
    answer without the turns. Therefore the turns are kept by their rendered text until the profile changes.
    """

    def __init__(self, running: Engine, **arguments: object) -> None:
        self.engine = running
        self.kept: KeptAnswers | None = None
        """What the current weights said already; None where nothing is kept."""
        self._took: dict[str, dict[str, float]] = {}
        self._turns: dict[str, tuple[Chat, bool]] = {}
        self._turns_for: tuple[InferenceProfile | None, Policy | None] = (None, None)
        self._whole: list[WholeAnswer] = []
        super().__init__(**arguments)

    def apply_chat_template(self, chat_history: Sequence[Message], add_generation_prompt: bool = True) -> str:
        """Apply the base's template, or the one that was given."""
        text = self.engine.render(chat_history, add_generation_prompt)
        current = (self.engine.profile, self.engine.policy)
        if current != self._turns_for:
            self._turns, self._turns_for = {}, current
        if any(one is not None for one in current):
            self._turns[text] = (tuple(chat_history), add_generation_prompt)
        return text

    def tok_encode(
        self, string: str | Sequence[str], add_special_tokens: bool | None = None, left_truncate_len: int | None = None, **options: object
    ) -> list[int] | list[list[int]]:
        """The tokens of one or several texts, as the engine and the trainer tokenise them, for likelihoods. If a special way is asked for,
        the backend's own."""
        if add_special_tokens is not None:
            given: list[int] = super().tok_encode(string, add_special_tokens=add_special_tokens, **options)
            return given
        found = tokenize(self.tokenizer, [string] if isinstance(string, str) else string)
        if left_truncate_len:
            found = [ids[-left_truncate_len:] for ids in found]
        return found[0] if isinstance(string, str) else found

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer all requests at once, so that the engine batches across tasks and languages. Returns the scored part of each answer."""
        asked = self._allow(requests, [self._ask(request) for request in requests])
        answers = self._complete(requests, asked)
        texts = [self._read(request, one, answer.text) for request, one, answer in zip(requests, asked, answers, strict=True)]
        for request, text in zip(requests, texts, strict=True):
            self.cache_hook.add_partial("generate_until", request.args, text)
        return texts

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Score all requests at once; a profile changes those to which it applies. Raises UserError if a model is to think first.

        Spaces at the end of a context are moved to the answer, as in lm-eval. The prompts of xlift's own tasks keep theirs.
        """
        self._refuse_thinking(requests)
        says = [self._find_say(request, "\n".join(map(str, request.args))) if request.args[0] else None for request in requests]
        begun = iter(self._begin([(request, say) for request, say in zip(requests, says, strict=True) if say]))
        pairs = []
        for request, say in zip(requests, says, strict=True):
            prompt, answer = request.args[:2]
            pairs.append((next(begun), answer) if say else _move_spaces(prompt, answer))
        found = self._score(requests, pairs)
        likelihoods = [(one.nats, one.greedy) for one in found]
        for request, likelihood in zip(requests, likelihoods, strict=True):
            self.cache_hook.add_partial("loglikelihood", request.args, likelihood)
        return likelihoods

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """The backend's own model does this. Raises UserError for a task to which a profile applies."""
        self._refuse_likelihood(requests)
        self._refuse_steering(requests)
        read = super().loglikelihood_rolling
        if self.kept is None:
            found: list[float] = read(requests, disable_tqdm=disable_tqdm)
            return found

        def make(places: Sequence[int], keep: Keep[Likelihood]) -> None:
            meter = Meter(self.engine.usage, "score_seconds")
            with Bar(total=len(places), desc="likelihoods of texts") as bar:
                for start in range(0, len(places), AT_ONCE):
                    some = places[start : start + AT_ONCE]
                    nats = read([requests[place] for place in some], disable_tqdm=True)
                    likelihoods = {start + turn: Likelihood(float(one), 0, False) for turn, one in enumerate(nats)}
                    meter.hand_over(likelihoods, {turn: {"scored_answers": 1} for turn in likelihoods}, keep)
                    bar.update(len(some))

        made = self.kept.read([str(request.args[0]) for request in requests], make)
        self._note(requests, made)
        return [one.said.nats for one in made]

    def take_whole_answers(self) -> list[WholeAnswer]:
        """What was said in reply to requests to which a profile applies, since the last call."""
        taken, self._whole = self._whole, []
        return taken

    def take_costs(self) -> dict[str, dict[str, float]]:
        """What the answers cost when they were made, by task and by the names in ``base.USAGE``, since the last call."""
        taken, self._took = self._took, {}
        return taken

    def _complete(self, requests: Sequence[Instance], asked: Sequence[_Asked]) -> list[Answer]:
        def complete(places: Sequence[int], lang: str | None) -> list[Answer]:
            prompts, samplings = [asked[place].prompt for place in places], [asked[place].sampling for place in places]
            if self.kept is None:
                return self.engine.complete(prompts, samplings)
            made = self.kept.complete(self.engine, prompts, samplings, lang)
            self._note([requests[place] for place in places], made)
            return [one.said for one in made]

        return self._steer(requests, complete)

    def _score(self, requests: Sequence[Instance], pairs: Sequence[tuple[str, str]]) -> list[Likelihood]:
        def score(places: Sequence[int], lang: str | None) -> list[Likelihood]:
            some = [pairs[place] for place in places]
            if self.kept is None:
                return self.engine.score(some)
            made = self.kept.score(self.engine, some, lang)
            self._note([requests[place] for place in places], made)
            return [one.said for one in made]

        return self._steer(requests, score)

    def _steer(self, requests: Sequence[Instance], make: Callable[[Sequence[int], str | None], Sequence[T]]) -> list[T]:
        """The results of requests by their places, in order. They are made all at once, or language by language if states are moved."""
        groups: defaultdict[str | None, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            groups[self._find_steered(request)].append(place)
        found: dict[int, T] = {}
        try:
            for lang, places in groups.items():
                self.engine.steer(lang)
                found.update(zip(places, make(places, lang), strict=True))
        finally:
            self.engine.steer(None)
        return [found[place] for place in range(len(requests))]

    def _find_steered(self, request: Instance) -> str | None:
        """The language for which states are moved; None if they are not. For a task that is not xlift's it is that of the prompt."""
        steering, task = self.engine.steering, request.task_name or ""
        if steering is None:
            return None
        lang = index.answer_language(task) or identify([str(request.args[0])])[0]
        return lang if steering.covers(task, lang) else None

    def _note(self, requests: Sequence[Instance], made: Sequence[Made[Any]]) -> None:
        for request, one in zip(requests, made, strict=True):
            for name, value in one.took.items():
                self._add(request, name, value)

    def _count(self, request: Instance, name: str) -> None:
        self.engine.usage[name] += 1
        self._add(request, name, 1)

    def _add(self, request: Instance, name: str, value: float) -> None:
        took = self._took.setdefault(request.task_name or "", dict.fromkeys(USAGE, 0))
        took[name] += value

    def _ask(self, request: Instance) -> _Asked:
        prompt, kwargs = request.args[:2]
        sampling, say = to_sampling(kwargs), self._find_say(request)
        if say is None:
            return _Asked(prompt, sampling, None, sampling.max_tokens)
        profile, lang = say.profile, say.lang
        turns, opens_answer = self._find_turns(request)
        if turns[-1]["role"] == "assistant" and lang in profile.header:
            raise UserError(
                f"task {request.task_name} begins the answer itself ({turns[-1]['content']!r}), where the adapter's profile waits for "
                f"{profile.header[lang]!r}; remove gen_prefix from the task, or leave it out"
            )
        return _Asked(self.engine.render(profile.ask(turns, lang), opens_answer), profile.sample(sampling), say, sampling.max_tokens)

    def _begin(self, requests: Sequence[tuple[Instance, _Say]]) -> list[str]:
        """The prompts of requests to which a profile applies, each up to the place where the scored part of an answer begins.

        If a profile lets a model write something before that part, the model writes it here, once for each prompt, and the header is added.
        """
        prompts: list[str] = []
        asked: dict[str, tuple[Instance, _Asked]] = {}
        headers: dict[str, str] = {}
        for request, say in requests:
            turns, opens_answer = self._find_turns(request)
            prompts.append(self.engine.render(say.profile.ask(turns, say.lang), opens_answer))
            if say.lang in say.profile.header:
                grown = say.profile.sample(Sampling(max_tokens=PREAMBLE_TOKENS))
                asked.setdefault(prompts[-1], (request, _Asked(prompts[-1], grown, say, PREAMBLE_TOKENS)))
                headers[prompts[-1]] = say.profile.header[say.lang]
        first = [request for request, _ in asked.values()]
        allowed = self._allow(first, [one for _, one in asked.values()])
        answers = self._complete(first, allowed) if allowed else []
        begun: dict[str, str] = {}
        for (request, one), answer in zip(asked.values(), answers, strict=True):
            self._read(request, one, answer.text)
            said = answer.text.removeprefix(find_opening(one.prompt))
            begun[one.prompt] = one.prompt + _end_with(headers[one.prompt], said)
        return [begun.get(prompt, prompt) for prompt in prompts]

    def _allow(self, requests: Sequence[Instance], asked: Sequence[_Asked]) -> list[_Asked]:
        """Allowances that a profile has increased, cut back to what the engine's length leaves, but never below the task's own."""
        room = self.engine.measure_room([one.prompt for one in asked]) if any(one.say for one in asked) else None
        if room is None:
            return list(asked)
        allowed = [max(one.own_tokens, min(one.sampling.max_tokens, left)) for one, left in zip(asked, room, strict=True)]
        for request, one, tokens in zip(requests, asked, allowed, strict=True):
            if tokens < one.sampling.max_tokens:
                self._count(request, "short_allowances")
        return [replace(one, sampling=replace(one.sampling, max_tokens=tokens)) for one, tokens in zip(asked, allowed, strict=True)]

    def _read(self, request: Instance, asked: _Asked, answer: str) -> str:
        if asked.say is None:
            return answer
        profile, lang = asked.say.profile, asked.say.lang
        start = find_answer(answer)
        scored = profile.extract(answer[start:], lang)
        if scored is None:
            self._count(request, "header_missing")
        said = WholeAnswer(task=request.task_name, doc_id=request.doc_id, lang=lang, answer=answer, header=scored is not None)
        if asked.say.name:
            said["profile"] = asked.say.name
        self._whole.append(said)
        if scored is None:
            return answer if profile.without_header == "whole" else answer[:start]
        return answer[:start] + scored

    def _find_say(self, request: Instance, text: str | None = None) -> _Say | None:
        """The profile that applies to a request, and the language that decides how; None if the request is left alone.

        xlift's own tasks say the language. For others it is that of the user's last turn, or of ``text`` if there are no turns.
        """
        profile, policy, task = self.engine.profile, self.engine.policy, request.task_name or ""
        if policy is None and (profile is None or not profile.names(task)):
            return None
        lang = index.answer_language(task)
        if lang is None:
            asked = text if text is not None and request.args[0] not in self._turns else self._find_question(request)
            [lang] = identify([asked])
        if policy:
            if lang not in policy.weights:
                return None
            name = policy.choose(lang, self._find_question(request))
            return _Say(policy.profiles[name], lang, name)
        return _Say(profile, lang) if profile and profile.covers(task, lang) else None

    def _find_question(self, request: Instance) -> str:
        """The user's last turn."""
        turns, _ = self._find_turns(request)
        return next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")

    def _find_turns(self, request: Instance) -> tuple[Chat, bool]:
        if request.args[0] not in self._turns:
            raise UserError(
                f"task {request.task_name}: the adapter's profile changes the turns of a chat, and this prompt did not come from the chat "
                "template; give --apply_chat_template, and leave --cache_requests out"
            )
        return self._turns[request.args[0]]

    def _refuse_thinking(self, requests: Sequence[Instance]) -> None:
        asked = [request.task_name for request in requests if request.args[0]]
        if asked and self.engine.settings.thinking == "on":
            raise UserError(
                f"task {asked[0]} is scored by likelihood, where nothing can be thought first; leave the task out, or set "
                "engine.thinking: off"
            )

    def _refuse_likelihood(self, requests: Sequence[Instance]) -> None:
        for request in requests:
            say = self._find_say(request, "\n".join(map(str, request.args)))
            if say is not None:
                raise UserError(
                    f"task {request.task_name} is scored by likelihood, and the adapter's profile for {say.lang!r} needs generation; "
                    "leave the task out, or choose one that generates"
                )

    def _refuse_steering(self, requests: Sequence[Instance]) -> None:
        for request in requests:
            if lang := self._find_steered(request):
                raise UserError(
                    f"task {request.task_name} is scored by the likelihood of whole texts, which have no prompt after which the adapter "
                    f"could move states for {lang!r}; leave the task out"
                )


def _end_with(header: str, said: str) -> str:
    """What was said before the header (all of it, if the header did not come), and then the header, on a line of its own unless it was
    within one."""
    before, came, _ = said.partition(header)
    if not came and before:
        before = f"{before.rstrip()}\n\n"
    on_a_line = not before or before.endswith("\n")
    return before + header + ("\n" if on_a_line else " ")


def _move_spaces(context: str, answer: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + answer
