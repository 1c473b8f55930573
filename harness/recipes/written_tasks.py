"""Tasks that a model writes itself, as in Self-Instruct: requested with examples, read from its answer, and judged by their words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from xlift.harness.core.languages import find
from xlift.harness.core.types import Answer, Chat, ask
from xlift.harness.recipes.filters import RowFilter
from xlift.harness.recipes.similarity import Pool, measure_rouge_l

REQUEST = (
    "Write {count} new tasks for an assistant, all in {language}. A task is an instruction of one or two sentences, an input, and the "
    "output that a good assistant would give. Choose other verbs and other kinds of work than the examples have. The input is realistic "
    "and has at most 100 words; write {none} where the instruction needs none. The output has fewer than 200 words.\n\n{shown}"
)
NONE = "<none>"
_HEAD = "### Task {number}\nInstruction:"
_BODY = " {instruction}\nInput: {input}\nOutput: {output}"
_BREAK = regex.compile(r"^#+ *Task\b.*$", regex.MULTILINE)
_PARTS = regex.compile(r"\s*Instruction:(.*?)^Input:(.*?)^Output:(.*)", regex.DOTALL | regex.MULTILINE)
_LINK = regex.compile(r"https?://|www\.")


@dataclass(frozen=True)
class Task:
    """What an assistant is asked, the text that it works on (empty if there is none), and a good answer."""

    instruction: str
    input: str
    output: str

    @property
    def prompt(self) -> str:
        """Instruction and input, one below the other."""
        return f"{self.instruction}\n{self.input}" if self.input else self.instruction


def request_tasks(lang: str, shown: Sequence[Task], count: int) -> Chat:
    """A request for ``count`` tasks like those shown, and the beginning of the first one as the beginning of the answer."""
    parts = [
        _HEAD.format(number=number) + _BODY.format(instruction=task.instruction, input=task.input or NONE, output=task.output)
        for number, task in enumerate(shown, 1)
    ]
    request = REQUEST.format(count=count, language=find(lang).name, none=NONE, shown="\n\n".join(parts))
    return (*ask(request), {"role": "assistant", "content": _HEAD.format(number=len(shown) + 1)})


def read_tasks(answer: Answer, row_filter: RowFilter, where: str) -> list[Task]:
    """The whole tasks in an answer to ``request_tasks``. Tasks without one of the three parts, and one that was cut off, are counted as
    drops."""
    pieces = _BREAK.split(f"Instruction:{answer.text}")
    if not answer.finished:
        row_filter.drop(where, "cut off")
        pieces.pop()
    found = []
    for piece in pieces:
        parts = _PARTS.fullmatch(piece)
        texts = [part.strip() for part in parts.groups()] if parts else []
        if texts and all(texts):
            found.append(Task(texts[0], "" if texts[1].strip("<>").casefold() in ("none", "noinput") else texts[1], texts[2]))
        else:
            row_filter.drop(where, "not a whole task")
    return found


def judge_task(task: Task, pool: Pool, similarity: float, input_similarity: float) -> Task | str:
    """The task as it may be kept, or why it may not. An input that the instruction already contains is removed.

    A task is too similar if its instruction has a ROUGE-L of ``similarity`` or more with one of the pool. It is redundant if its
    instruction and its input have one above ``input_similarity``.
    """
    if any(map(_LINK.search, (task.instruction, task.input, task.output))):
        return "link"
    if pool.has_like(task.instruction, similarity):
        return "like another task"
    if task.input and task.input in task.instruction:
        return Task(task.instruction, "", task.output)
    if task.input and measure_rouge_l(task.instruction, task.input) > input_similarity:
        return "input like its instruction"
    return task
