"""docs/methods.md: one section for each built-in method, from the head of its file, what it reads, and its options.

python -m xlift.harness.recipes.method_page      prints the page
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module

from xlift.harness.core.errors import UserError
from xlift.harness.core.setting_tables import tabulate
from xlift.harness.recipes.registry import find_method, list_built_in, load

_SFT = "supervised rows"


@dataclass(frozen=True)
class Use:
    """What the head of a method does not say."""

    makes: str
    """The sort of its rows."""
    help: str
    """Help that the rows need beyond corpora."""
    cost: str
    """What it costs to make the rows. Training has the budget that all methods share."""
    when: str


USES = {
    "alignment_preference": Use(
        "preference pairs, for DPO",
        "a translation model (`kind: seq2seq`), which says how likely translations are, and translates problems that the corpus lacks",
        "twenty draws of each problem in every language and in the pivot, and scores of each against the right solutions in the pivot",
        "the model solves word problems in the pivot and often fails in other languages; not for a base that solves hardly any",
    ),
    "cross_lingual": Use(
        _SFT, "a translator, for instructions in languages that the corpus lacks", "translations alone",
        "there is parallel text, and answers in the target language are to get better; with `second_stage` as a control of curricula",
    ),
    "dpo_self_improvement": Use(
        "preference pairs, for DPO, in rounds", "none: the model translates by itself",
        "two answers a prompt and language in each round, and their translations",
        "the model answers well in the pivot and can translate; small models spoil most translations",
    ),
    "encoder_merge": Use(
        _SFT + ", in two phases, which train the projection of an encoder's states",
        "an encoder that was made from texts of many languages; a translator, for problems in languages that the corpus lacks",
        "translations of questions alone; the encoder reads each prompt too, in training and when it is used",
        "there is a good encoder for languages that the base hardly knows, and the engine is hf; beside `zeroed: true`",
    ),
    "inference_intervention": Use(
        "none: moves of hidden states", "none", "states of some hundred lines a language, and likelihoods of a few; no training",
        "nothing may be trained and the engine is hf; beside `random: true`, and look at what its facts say of held-out lines",
    ),
    "knowledge_alignment": Use(
        "parallel names and facts, whose states are contrasted", "none", "none: rows are read",
        "facts are to be known across languages; look at BMLAMA and RankC, beside `shuffled: true`",
    ),
    "knowledge_triples": Use(
        _SFT, "none", "none: rows are read",
        "facts and names are to be known across languages; look at BMLAMA, RankC and the length of answers",
    ),
    "language_neurons": Use(
        "none: a mask of the base", "none", "texts of every language are read for what goes on inside the model; no training",
        "you ask what the neurons of a language do; beside `random: true`",
    ),
    "layer_swap": Use(
        _SFT + " for two experts, whose adapters are put together", "a translator, for instructions in languages that the corpus lacks",
        "translations alone; training is shared between the experts, and their sum takes seconds",
        "a task is well learnt in the pivot and there are no rows of it in the languages; beside `uniform: true`",
    ),
    "linguistically_diverse_prompts": Use(
        "none: a profile", "a translator, or the model's own translations of unlabelled text", "translations of exemplars; no training",
        "translation is what counts, and nothing may be trained",
    ),
    "multilingual_reasoning": Use(
        _SFT, "a translator; none with `answers: sampled`, but for questions in languages that the corpus lacks",
        "translations of solutions, or `samples` draws of each problem",
        "word problems are to be solved in the language itself; with `answers: sampled` the base has to solve some already",
    ),
    "pivot_language": Use(
        _SFT + " and a profile", "a translator, for answers, and for instructions in languages that the corpus lacks",
        "translations; answers of the model take about three times the tokens when it is used",
        "the model is much better in the pivot, and longer answers are no burden",
    ),
    "pivot_only": Use(_SFT, "none", "none: rows are read", "always, beside others: it shows what fine-tuning does by itself"),
    "preference_gap": Use(
        "preference pairs with their twins in the pivot, for reward gaps", "none: the model translates by itself",
        "two answers a prompt and language, and their translations; a row trains four sequences",
        "the model tells good answers from bad ones in the pivot alone; beside `shuffled: true` and `dpo_self_improvement`",
    ),
    "query_policy": Use(
        "none: a choice among profiles", "a translator, for items in languages that the corpus lacks",
        "an answer of the model to each training item by each profile; no training",
        "profiles serve different requests; beside `choose: static`, `choose: random` and each profile by its name",
    ),
    "question_alignment": Use(
        _SFT + ", in two phases", "none", "none: rows are read", "a task is well learnt in the pivot, and questions are in other languages"
    ),
    "representation_alignment": Use(
        "parallel sentences, whose states are contrasted, and supervised rows", "none", "none: rows are read",
        "a task that is learnt in the pivot is to be met in other languages; look at retrieval with `xlift probe`, beside `shuffled: true`",
    ),
    "self_distillation": Use(
        _SFT, "a translator", "an answer of the model for each question, and their translations",
        "what the model knows is to be kept: its answers are its own, in all combinations of languages",
    ),
    "self_instruct": Use(
        _SFT, "a translator, for seed tasks in languages that the corpus lacks", "some tasks in each request, of which a part is dropped",
        "there are no instructions in the language; it measures how well the model writes them",
    ),
    "sft_on_chosen": Use(
        _SFT, "none: the model translates by itself", "as `dpo_self_improvement`, one round",
        "beside that method: it shows what preferences add",
    ),
    "star_alignment": Use(
        _SFT, "none", "none: rows are read; lexicons serve where there are any", "many languages are to be tied to one or two good ones"
    ),
    "subspace_alignment": Use(
        "parallel prompts, whose last states are moved and aligned", "none",
        "some hundreds of prompts a language are read for their states; training touches the last layers alone",
        "the paper is to be repeated; look at the rate off target, as nothing in the loss is about answers",
    ),
    "task_arithmetic": Use(
        _SFT + " for an adapter of the task and one of each language, which are added up",
        "a translator, for instructions in languages that the corpus lacks",
        "translations alone; other weights train nothing anew",
        "languages are to be added to a task one by one; beside `uniform: true`",
    ),
    "translate_then_sft": Use(
        _SFT, "a translator", "translations of questions and answers", "always, beside others: the baseline that every method has to beat"
    ),
    "translation_pruning": Use(
        "none: a mask of the base", "none", "`prompts` are read for what goes on inside the model; no training",
        "nothing may be trained, and weights may be left out; expect losses from a ratio of 0.3 on; beside `random: true`",
    ),
    "xlt_prompt": Use("none: a profile", "none", "no training; longer answers when it is used", "nothing may be trained"),
}  # fmt: skip
"""What is said about each method. A test asks for an entry for each built-in one."""

HEAD = """# Methods

The methods that come with xlift, in alphabetical order. Each is one file, `methods/NAME.py`, and the text below comes from the head of
that file. The options follow; `methods/NAME.yaml` holds their defaults and says where each one comes from. A suite changes them in
`methods.LABEL.options`. `xlift ls methods` lists these methods and those of installed plugins, and
[write-a-method.md](write-a-method.md) shows how to write one. "The pivot" and "the target languages" are those of the suite. This page is
printed by `python -m xlift.harness.recipes.method_page`.
"""


def to_markdown() -> str:
    """The whole page."""
    names = list_built_in()
    overview = ["| method | in one sentence |", "|---|---|", *(f"| [`{name}`](#{name}) | {_read_head(name)[0]} |" for name in names), ""]
    return "\n".join([HEAD, *overview, *map(_write_section, names)])


def _read_head(name: str) -> tuple[str, str]:
    """The first sentence of the head of a method's file, and the rest of it."""
    summary, _, rest = (import_module(find_method(name).__module__).__doc__ or "").strip().partition("\n\n")
    return " ".join(summary.split()), rest


def _write_section(name: str) -> str:
    if name not in USES:
        raise UserError(f"docs/methods.md: nothing is said of what {name} makes, takes and is for; add it to USES in method_page.py")
    summary, rest = _read_head(name)
    use = USES[name]
    facts = {
        "rows": use.makes, "reads": _describe_readings(name), "help": use.help, "cost of rows": use.cost, "use it when": use.when,
    }  # fmt: skip
    table = "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())])
    parts = re.sub(r"\n+(?=(?:As in|Different|Missing|Traps?)\b)", "\n\n", rest.strip())
    options = load(name, {}).options
    settings = tabulate(type(options), options.model_dump(mode="json"))
    return f"## `{name}`\n\n{summary}\n\n{parts}\n\n{table}\n\n{settings}"


def _describe_readings(name: str) -> str:
    """What a method reads with its defaults, each corpus once."""
    found: dict[str, list[str]] = {}
    for reading in load(name, {}).list_readings("en", ("es",)):
        side = "the pivot" if reading.lang == "en" else "the target languages"
        found.setdefault(reading.corpus, []).append(f"{side} (else: {reading.instead})" if reading.instead else side)
    return "; ".join(f"`{corpus}` in {' and '.join(dict.fromkeys(sides))}" for corpus, sides in found.items()) or "nothing"


if __name__ == "__main__":
    print(to_markdown(), end="")  # noqa: T201
