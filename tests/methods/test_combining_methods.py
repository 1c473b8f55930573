"""Methods whose adapters are put together: which rows each expert gets, and what each layer is made of."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fakes import FakeContext

from xlift.harness.plugin import LanguageMissingError, Mix, Part, Plan, UserError, load
from xlift.harness.recipes.parts import select_rows


class NoInstructions(FakeContext):
    """Instructions in the pivot alone."""

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus == "alpaca" and lang != "en":
            raise LanguageMissingError(f"{corpus} has no {lang!r}")
        return super().read(corpus, lang)


class NoTranslator(NoInstructions):
    def require_translator(self, source: str, target: str) -> None:
        raise UserError(f"translators: none for {source}-{target}")


def prepare(name: str, context: FakeContext | None = None, **options: Any) -> Plan:
    return load(name, options).prepare(context or FakeContext())


def count(plan: Plan) -> dict[str, Counter[str]]:
    return {name: Counter(row.lang for row in select_rows(plan.rows, part)) for name, part in plan.parts.items()}


def test_layers_are_swapped_averaged_and_kept() -> None:
    plan, both = prepare("layer_swap", bottom=2, top=1, transition=1), {"language": 0.5, "task": 0.5}
    assert plan.edit == Mix({"task": 1.0}, {0: {"language": 1.0}, 1: {"language": 1.0}, 2: both, -1: {"language": 1.0}, -2: both})
    assert plan.parts == {"language": Part(("language",), 0.5), "task": Part(("task",), 0.5)}
    # 60 rows: half of them the task's, a quarter each language's
    assert count(plan) == {"language": {"es": 15, "sw": 15}, "task": {"en": 30}}


def test_layers_that_are_not_swapped_have_no_transition() -> None:
    edit = prepare("layer_swap", bottom=0, top=2, transition=1).edit
    assert edit and sorted(edit.layers) == [-3, -2, -1]


def test_the_control_is_the_average_of_the_same_experts() -> None:
    swapped, control = prepare("layer_swap"), prepare("layer_swap", uniform=True)
    assert control.edit == Mix({"language": 0.5, "task": 0.5}) and not load("layer_swap", {"uniform": True}).blocks
    assert (control.rows, control.parts) == (swapped.rows, swapped.parts)


def test_a_task_and_each_language_are_added_up() -> None:
    plan = prepare("task_arithmetic", language=0.4, language_weight=0.3, task_weight=1.2)
    assert plan.edit == Mix({"es": 0.3, "sw": 0.3, "task": 1.2})
    assert plan.parts == {"es": Part(("language",), 0.2, ("es",)), "sw": Part(("language",), 0.2, ("sw",)), "task": Part(("task",), 0.6)}
    assert count(plan) == {"es": {"es": 12}, "sw": {"sw": 12}, "task": {"en": 36}}
    average = prepare("task_arithmetic", language=0.4, uniform=True).edit
    assert average and average.shares == pytest.approx({"es": 1 / 3, "sw": 1 / 3, "task": 1 / 3})


@pytest.mark.parametrize("name", ["layer_swap", "task_arithmetic"])
def test_instructions_that_a_language_lacks_are_translated(name: str) -> None:
    plan = prepare(name, NoInstructions())
    own = [row for row in plan.rows if row.lang == "sw"]
    assert len(own) == 15 and all(row.response.endswith("[sw]") for row in own)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="translators: none for en-es"):
        prepare(name, NoTranslator())
    with pytest.raises(UserError, match="gsm8k has English solutions alone and the pivot is 'es'; set task_corpus"):
        prepare(name, FakeContext(("sw",), pivot="es"))
