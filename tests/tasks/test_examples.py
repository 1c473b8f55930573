"""Items that pages show: of the bundled samples, as a task asks them."""

import pytest

from xlift.tasks.benchmarks import BENCHMARKS
from xlift.tasks.examples import find_example


def test_a_word_problem_is_asked_as_the_task_asks_it() -> None:
    found = find_example("xlift_mgsm_direct", ["xx", "es", "de"])
    assert found and (found.task, found.language, found.generated) == ("xlift_mgsm_direct_es", "es", True)
    assert found.prompt.startswith("Mara hornea 4 bandejas") and "{{" not in found.prompt
    assert (found.answers, found.right) == (("9",), 0), "4 times 18 less 9 are 63, in bags of 7"


def test_a_translation_counts_for_the_language_beside_english() -> None:
    found = find_example("xlift_flores_bpb_to_en", ["es"])
    assert found and (found.language, found.prompt_language, found.right) == ("en", "es", None)
    assert found.answers[0].startswith("The Atacama Desert"), "the likelihood of the whole reference is taken"


def test_of_choices_the_right_one_is_known() -> None:
    found = find_example("xlift_xcopa", ["sw"])
    assert found and found.answers[found.right or 0] == "Mvua ilinyesha usiku kucha."
    found = find_example("xlift_belebele_likelihood", ["es"])
    assert found and found.answers == ("1", "2", "3", "4") and found.right == 1


def test_what_the_samples_lack_has_no_example() -> None:
    assert find_example("xlift_mlqa_ar_vi") is None and find_example("hellaswag") is None
    text = find_example("xlift_flores_text_bpb", ["es"])
    assert text and text.prompt == "" and text.answers


@pytest.mark.parametrize("name", BENCHMARKS)
def test_no_template_is_left_in_an_example(name: str) -> None:
    for task in {task.form: task for task in BENCHMARKS[name].tasks}.values():
        if found := find_example((task.place("en") or (task.name, ""))[0]):
            assert not any(mark in text for mark in ("{{", "{%") for text in (found.prompt, *found.answers)), task.name
