"""Tasks that a model wrote: asked for, read, and judged by ROUGE-L."""

from collections import Counter

import pytest

from xlift.harness.core.types import Answer
from xlift.harness.recipes.filters import RowFilter
from xlift.harness.recipes.similarity import Pool, measure_rouge_l, tokenise
from xlift.harness.recipes.written_tasks import Task, judge_task, read_tasks, request_tasks


def test_rouge_l_by_hand() -> None:
    # "a b c d" and "a c d x y" share "a c d": 2 * 3 / (4 + 5).
    assert measure_rouge_l("a b c d", "A c, d x y".replace(",", "")) == pytest.approx(6 / 9)
    assert measure_rouge_l("b a", "a b") == 0.5, "the order counts"
    assert (measure_rouge_l("", "a"), measure_rouge_l("a b", "a b")) == (0, 1)
    assert tokenise("Él dice: 小鸟 no?!") == ["él", "dice", ":", "小", "鸟", "no", "?!"]


def test_a_pool_knows_what_is_like_one_of_its_texts() -> None:
    pool = Pool()
    assert not pool.has_like("a b c d", 0.1)
    pool.add("w x y z")
    pool.add("a b c d")
    # 6 / 9 as above.
    assert pool.has_like("a c d x y", 0.66) and not pool.has_like("a c d x y", 0.67)


def test_a_request_shows_tasks_and_begins_the_answer() -> None:
    user, begun = request_tasks("es", [Task("Suma.", "1 1", "2"), Task("Saluda.", "", "Hola.")], 4)
    assert "Write 4 new tasks for an assistant, all in Spanish." in user["content"]
    assert user["content"].endswith(
        "### Task 1\nInstruction: Suma.\nInput: 1 1\nOutput: 2\n\n### Task 2\nInstruction: Saluda.\nInput: <none>\nOutput: Hola."
    )
    assert begun == {"role": "assistant", "content": "### Task 3\nInstruction:"}


def test_whole_tasks_are_read_and_the_rest_is_counted() -> None:
    text = " Ordena.\nInput: b a\nOutput: a\nb\n\n### Task 4\nInstruction: Di algo.\nOutput: Algo.\n### Task 5:\nInstruction: Canta.\n"
    text += "Input: <None>\nOutput: La la.\n### Task 6\nInstruction: Baila\nInput: <none>\nOutput: Bai"
    row_filter = RowFilter()
    found = [Task("Ordena.", "b a", "a\nb"), Task("Canta.", "", "La la.")]
    assert read_tasks(Answer(text, 9, finished=False), row_filter, "es/x") == found
    assert row_filter.drops == {"es/x: not a whole task": 1, "es/x: cut off": 1}
    assert read_tasks(Answer(text, 9, finished=True), RowFilter(), "es/x") == [*found, Task("Baila", "", "Bai")]
    assert read_tasks(Answer("", 0, finished=True), row_filter, "es/x") == []
    assert row_filter.drops == Counter({"es/x: not a whole task": 2, "es/x: cut off": 1})


def test_what_is_kept_of_a_task() -> None:
    pool = Pool()
    pool.add("Write a poem about the sea")

    def judge(instruction: str, given: str = "", output: str = "yes") -> Task | str:
        return judge_task(Task(instruction, given, output), pool, 0.7, 0.5)

    # 5 of 6 words: 10 / 12.
    assert judge("Write a poem about the moon") == "like another task"
    assert judge("Sort these", "b a") == Task("Sort these", "b a", "yes")
    assert judge("Sort b a", "b a") == Task("Sort b a", "", "yes")
    # "sort the words" in "sort the small words": 2 * 3 / 7.
    assert judge("sort the words", "sort the small words") == "input like its instruction"
    assert judge("Open it", "", "at https://example.org") == judge("Open www.example.org") == "link"
    assert Task("Sort", "b a", "").prompt == "Sort\nb a" and Task("Sort", "", "").prompt == "Sort"
