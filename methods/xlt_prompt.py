"""Cross-lingual-thought prompting (XLT): the model restates the request in the pivot, works there, and answers in the language asked for.

Source: Huang et al. 2023 (arXiv:2305.07004), of which the abstract and summaries were read.

As in the paper: the six steps (role, request, retelling, analysis, solution step by step, form of the answer) are in one prompt. Nothing is
trained.
Different: the wording is ours. The paper fills its template for each benchmark; ours is the same for all, with the task's own text inside
it.
Missing: what the paper does with exemplars of solved requests, which has not been read.
"""

from __future__ import annotations

from pydantic import Field

from xlift.harness.plugin import Context, InferenceProfile, LanguageCode, Method, Options, Plan, find

HEADER = "Final answer:"

TEMPLATE = """You are an expert in the task below, and you read and write {language} well.

Task:
{prompt}

Proceed in this order:
1. Restate the task in {pivot}.
2. Say in {pivot} what has to be done.
3. Do it in {pivot}, step by step.
4. On a new line write "{header}" and then the answer alone, in {language}, in exactly the form the task asks for."""


class XltPromptOptions(Options):
    """Which answers are asked for in this way, and how much room they get."""

    languages: tuple[LanguageCode, ...]
    """The languages of answers; the trained ones if the list is empty."""
    token_factor: float = Field(ge=1)
    """The factor by which the most new tokens of a task are multiplied."""
    min_tokens: int = Field(ge=0)
    """The least allowance of new tokens: the reasoning takes room, however short the answer."""


class XltPrompt(Method[XltPromptOptions]):
    """A profile without rows: the base answers, asked to think in the pivot."""

    Options = XltPromptOptions
    trains = False

    def prepare(self, ctx: Context) -> Plan:
        chosen = list(self.options.languages or ctx.languages)
        profile = InferenceProfile(
            prompt={lang: _word(lang, ctx.pivot) for lang in chosen},
            header=dict.fromkeys(chosen, HEADER),
            without_header="whole",
            token_factor=self.options.token_factor,
            min_tokens=self.options.min_tokens,
            stops=(),
        )
        return Plan((), profile=profile, facts={"languages": chosen})


def _word(lang: str, pivot: str) -> str:
    parts = {"{language}": find(lang).name, "{pivot}": find(pivot).name, "{header}": HEADER}
    text = TEMPLATE
    for part, value in parts.items():
        text = text.replace(part, value)
    return text


METHOD = XltPrompt
