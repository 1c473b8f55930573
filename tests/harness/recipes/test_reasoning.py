"""Solutions that are drawn and checked."""

from collections.abc import Sequence
from decimal import Decimal

import pytest
from fakes import FakeContext

from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Chat, Sampling, ask
from xlift.harness.recipes.filters import RowFilter
from xlift.harness.recipes.instructions import Prompt
from xlift.harness.recipes.reasoning import (
    Draws,
    Solution,
    comes_to,
    keep_distinct,
    list_equations,
    read_final_answers,
    sample_solutions,
    solve_problems,
)


class Drawing(FakeContext):
    """Gives the same four draws for every problem."""

    drawn = ("2 + 2 = 4. The answer is 4.", "2 + 2 = 5. The answer is 5.", "2 + 2 = 4. The answer is 4.", "")

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.asked += chats
        assert (sampling.temperature, sampling.max_tokens) == (0.8, 99)
        return [Answer(self.drawn[place % 4], 9, True) for place, _ in enumerate(chats)]


def test_equations_and_what_calculates_alike() -> None:
    assert list_equations("She has 48 / 2 = 24, and 48+24=72. So $1,000 x 2 = 2,000.") == ("48/2=24", "48+24=72", "1,000x2=2,000")
    texts = ["2 + 2 = 4, so 4.", "It is 2+2 = 4.", "4 by 3 - 1 = 2 and 2 + 2 = 4", "Four.", "Just 4."]
    assert keep_distinct(texts) == ["2 + 2 = 4, so 4.", "4 by 3 - 1 = 2 and 2 + 2 = 4", "Four.", "Just 4."]


def test_a_number_is_read_in_the_language_of_its_text() -> None:
    assert comes_to("La respuesta es 1.200.", "es", Decimal(1200)) and not comes_to("The answer is 1.200.", "en", Decimal(1200))
    assert not comes_to("No sé.", "es", Decimal(0)), "no number is not zero"


def test_draws_are_checked_and_counted() -> None:
    context, row_filter = Drawing(), RowFilter()
    problems = [(ask("2 + 2?"), Decimal(4)), (ask("1 + 4?"), Decimal(5))]
    found = sample_solutions(context, problems, "en", Draws(4, 0.8, 99), row_filter, "en/x")
    first, second = Drawing.drawn[:2]
    assert found == [[Solution(first, True), Solution(second, False)], [Solution(first, False), Solution(second, True)]]
    assert row_filter.drops == {"en/x: empty answer": 2} and row_filter.notes == {"en/x: drawn before": 2}
    assert len(context.asked) == 8
    assert sample_solutions(context, [], "en", Draws(4, 0.8, 99), row_filter, "en/x") == []


def test_problems_are_asked_until_enough_are_solved() -> None:
    context, row_filter = Drawing(), RowFilter()
    problems = [(Prompt(str(at), f"{at}?"), ask(f"{at}?")) for at in range(20)]
    numbers = {str(at): Decimal(4 if at % 2 else 7) for at in range(20)}
    found = solve_problems(context, problems, numbers, "en", 4, Draws(4, 0.8, 99, 1.0), row_filter, "en/x")
    # 4 asked, 2 solved; 2 lacking at one in two: 4 more, 2 solved.
    assert [problem.id for problem, _, _ in found] == ["1", "3", "5", "7"]
    assert (row_filter.notes["en/x: asked"], row_filter.notes["en/x: solved"]) == (8, 4)
    with pytest.raises(UserError, match=r"en/x: the model solved no problem \(left out: empty answer 4\); raise samples"):
        solve_problems(context, problems[:4], dict.fromkeys(numbers, Decimal(9)), "en", 4, Draws(4, 0.8, 99), RowFilter(), "en/x")


def test_final_answers() -> None:
    assert read_final_answers(FakeContext(), "gsm8k")["3"] == 4
    with pytest.raises(UserError, match=r"alpaca: has no final answers \(its columns are id, instruction, output\)"):
        read_final_answers(FakeContext(), "alpaca")
