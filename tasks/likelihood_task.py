"""lm-eval's side of the likelihood tasks: the prompt as in generation, and the likelihood of the answer alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask


class Prompt(str):
    """A prompt that keeps the spaces at its end.

    lm-eval moves what ``rstrip`` takes off a context to the beginning of the answer (``TemplateLM._encode_pair``). A chat template ends in
    a newline. Its likelihood would count as the answer's, and its token would not be the one after which generation begins.
    """

    def rstrip(self, chars: str | None = None, /) -> str:
        """The prompt, unchanged."""
        return self


class LikelihoodTask(ConfigurableTask):  # type: ignore[misc]
    """A task that asks for the likelihoods of given answers, directly after the prompt.

    Its ``process_results`` is a function of ``likelihood``: it gets the answers, the place of the right one, and their likelihoods.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        super().__init__(config={key: value for key, value in config.items() if key != "class"})

    def fewshot_context(self, doc: Mapping[str, Any], num_fewshot: int, *arguments: Any, **options: Any) -> Prompt:
        """The prompt. It is empty for text that is scored by itself, which no chat template may put into a turn."""
        if self.config.doc_to_text == "":
            return Prompt("")
        return Prompt(super().fewshot_context(doc, num_fewshot, *arguments, **options))

    def construct_requests(self, doc: Mapping[str, Any], ctx: str, **options: Any) -> list[Instance]:
        """One request for each answer. Without a chat template there is an empty line between prompt and answer, if the task has none
        itself."""
        asked = options.pop("apply_chat_template", False)
        options.pop("chat_template", None)
        prompt = ctx if asked or not ctx or ctx.endswith("\n\n") else Prompt(f"{ctx}\n\n")
        return [
            Instance(request_type="loglikelihood", doc=doc, arguments=(prompt, answer), idx=place, **options)
            for place, answer in enumerate(self.doc_to_choice(doc))
        ]

    def process_results(self, doc: Mapping[str, Any], results: Sequence[tuple[float, bool]]) -> dict[str, float]:
        """The scores of one item."""
        answers, target = self.doc_to_choice(doc), self.doc_to_target(doc)
        right = 0 if isinstance(target, list) else target if isinstance(target, int) else answers.index(target)
        scores: dict[str, float] = self.config.process_results(answers, right, [nats for nats, _ in results])
        return scores
