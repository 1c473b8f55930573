"""Whether a model thinks before it answers: the variable that its chat template has for it, and a template in which it is set.

A template with the variable set at its head says the same to every program that renders it. So trainer, engines and lm-eval's models need
not know of it, and its hash distinguishes stages and results.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Json
from xlift.tasks.thinking import find_opening, skip_block, strip_block

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Mode = Literal["off", "on"]
Options = Mapping[str, Json]
"""What a chat template is given besides the turns."""

SWITCHES: Mapping[str, Mapping[Mode, tuple[Json, ...]]] = {
    "enable_thinking": {"on": (True,), "off": (False,)},  # Qwen3, GLM, SmolLM3, Gemma 4, Nemotron 3, Hunyuan, ERNIE, EXAONE 4
    "thinking": {"on": (True,), "off": (False,)},  # DeepSeek-V3.1, Granite 3.2 and 3.3, Kimi K2.5
    "reasoning": {"on": (True,), "off": (False,)},  # Command A Reasoning
    "thinking_mode": {"on": ("enabled", "on"), "off": ("disabled", "off")},  # MiniMax-M3
    "thinking_budget": {"on": (-1,), "off": (0,)},  # Seed-OSS: tokens, and -1 for no bound
    "reasoning_effort": {"on": ("high", "medium"), "off": ("none", "no_think")},  # Mistral, Hunyuan; gpt-oss cannot be turned off
}
"""The variables by which templates turn thinking on and off, with their values. If a value is one of several words, the first one that the
template has is used."""
BUDGET = "thinking_budget"
SERVED = ("enable_thinking", "thinking")
"""What is sent to a server whose template is not known here. A template ignores variables that it does not have."""

_QUESTION = [{"role": "user", "content": "Hello"}]


def find_options(tokenizer: PreTrainedTokenizerBase, mode: Mode, tokens: int) -> Options:
    """What turns thinking on or off in a tokenizer's chat template. ``tokens`` is the budget for it, which some templates write down.

    Of several variables, the first one in ``SWITCHES`` that changes the prompt is used. Raises UserError if there is none.
    """
    taken = _list_variables(str(tokenizer.chat_template))
    for variable in (name for name in SWITCHES if name in taken):
        values = {each: _choose(variable, each, str(tokenizer.chat_template)) for each in SWITCHES[variable]}
        other: Mode = "off" if mode == "on" else "on"
        if values[mode] is None:
            continue
        prompts = [_render(tokenizer, {} if values[each] is None else {variable: values[each]}) for each in (mode, other)]
        # Where a template has no word for off, it thinks by itself, so that on may change nothing.
        if None not in prompts and (prompts[0] != prompts[1] or values[other] is None):
            return {variable: tokens if variable == BUDGET and mode == "on" else values[mode]}
    known = sorted(taken & SWITCHES.keys())
    reason = f"its {known[0]} has no value that turns thinking {mode}" if known else f"it takes none of {', '.join(SWITCHES)}"
    raise UserError(
        f"engine.thinking: {mode}: the chat template of the base model does not turn thinking on and off ({reason}); leave engine.thinking "
        "out, or give a template that does with base.chat_template"
    )


def serve_options(mode: Mode) -> Options:
    """What turns thinking on or off at a server, as far as that can be known."""
    return dict.fromkeys(SERVED, mode == "on")


def set_options(template: str, options: Options) -> str:
    """The template with variables set at its head."""
    # A line break behind a block is no part of what transformers renders.
    return "".join(f"{{%- set {name} = {json.dumps(value)} %}}\n" for name, value in options.items()) + template


def split_turn(asked: str, whole: str) -> tuple[str, str] | None:
    """The part of a finished turn after which training begins, and the part that is trained: all that a template writes after the block of
    thinking.

    ``asked`` is the chat as a model is asked it, ``whole`` the same with its answer. An empty block that a template writes into a finished
    turn is no part of the answer. If it were trained, it would teach a model that is asked to think that it must not. None if the two
    differ in more than such a block.
    """
    if whole.startswith(asked):
        start = len(asked) + skip_block(whole[len(asked) :])
        return whole[:start], whole[start:]
    head = strip_block(asked)
    if not whole.startswith(head):
        return None
    start = len(head) + skip_block(whole[len(head) :])
    if not find_opening(asked):
        return asked, whole[start:]
    return (whole[:start], whole[start:]) if start > len(head) else None


def _list_variables(template: str) -> set[str]:
    """The variables that a template may be given."""
    from jinja2 import meta
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    plain = re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", template)  # transformers' own tag
    parsed = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(plain)
    return meta.find_undeclared_variables(parsed)


def _choose(variable: str, mode: Mode, template: str) -> Json:
    """The value of a variable for a mode; None if the template has none of its words."""
    for value in SWITCHES[variable][mode]:
        if not isinstance(value, str) or re.search(rf"""(['"]){re.escape(value)}\1""", template):
            return value
    return None


def _render(tokenizer: PreTrainedTokenizerBase, options: Options) -> str | None:
    """A question as the template asks it; None if the template refuses the options."""
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template(_QUESTION, tokenize=False, add_generation_prompt=True, **options)
    except TemplateError:
        return None
    return text
