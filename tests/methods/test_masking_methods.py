"""Methods that put weights of the base to 0: which texts are read, and what is specific to a language."""

import numpy as np
import pytest
from fakes import TEXT, FakeContext

from xlift.harness.plugin import Mask, Plan, UserError, load
from xlift.methods.language_neurons import find_specific


class Reader(FakeContext):
    """Keeps what is read."""

    def read_norms(self, texts):  # type: ignore[no-untyped-def]
        self.texts = texts
        return super().read_norms(texts)


def prune(context: FakeContext, **options: object) -> Plan:
    return load("translation_pruning", {"prompts": 4, "shots": 2, **options}).prepare(context)


def test_examples_of_translation_are_read_in_every_language() -> None:
    context = Reader()
    plan = prune(context)
    assert (plan.rows, plan.edit, plan.facts) == ((), Mask("products", 0.3), {"prompts": 4})
    assert list(plan.arrays) == ["model.layers.0.mlp.up_proj"]
    assert [text.count("Swahili: ") for text in context.texts] == [0, 0, 2, 2]
    first, second, end = context.texts[0].partition("\nSpanish: ")
    assert first.startswith(f"Spanish: {TEXT['es']}") and f"\nEnglish: {TEXT['en']}" in first and second and end.endswith("\n")


def test_the_control_differs_in_the_rule_alone() -> None:
    plan, control = prune(FakeContext()), prune(FakeContext(), random=True)
    assert control.edit == Mask("random", 0.3) and {*control.arrays} == {*plan.arrays}
    with pytest.raises(UserError, match="es: fewer than 50 pairs of parallel can be used; lower shots"):
        prune(FakeContext(), shots=50)


def test_specific_neurons_by_hand() -> None:
    # two languages, one layer of four neurons: shares of tokens at which each is active
    shares = np.array([[[0.8, 0.6, 0.0, 0.1]], [[0.0, 0.5, 0.9, 0.0]]])
    # the median of the eight is 0.3; entropies: 0, near log 2, 0, and none for the last, which is nowhere above 0.3
    found = find_specific(shares, specific=0.5, active=0.5)
    assert found.tolist() == [[[True, False, False, False]], [[False, False, True, False]]]
    # three of four: the second neuron is specific too, and belongs to both languages
    assert find_specific(shares, specific=0.75, active=0.5).tolist() == [[[True, True, False, False]], [[False, True, True, False]]]


def test_neurons_of_chosen_languages_are_switched_off() -> None:
    found = {
        off: load("language_neurons", {"switch_off": off, "specific": 0.05}).prepare(FakeContext()) for off in ((), ("en",), ("es", "sw"))
    }
    assert all(np.array_equal(found[()].arrays[layer], found[("en",)].arrays[layer]) for layer in ("0", "1"))
    counts = found[()].facts["neurons"]
    assert isinstance(counts, dict) and found[()].facts["switched_off"] == counts["en"] > 0
    assert found["es", "sw"].edit == Mask("neurons") and not np.array_equal(found["es", "sw"].arrays["0"], found[()].arrays["0"])
    control = load("language_neurons", {"specific": 0.05, "random": True}).prepare(FakeContext())
    assert all(control.arrays[layer].sum() == found[()].arrays[layer].sum() for layer in ("0", "1"))
    assert not np.array_equal(control.arrays["0"], found[()].arrays["0"])
    with pytest.raises(UserError, match="switch_off: 'de' is neither the pivot nor trained; name some of en, es, sw"):
        load("language_neurons", {"switch_off": ["de"]}).prepare(FakeContext())
