"""What sections of settings share: which of their keys are hashed."""

from typing import Any

import pytest

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import EngineSettings, EvaluateSettings, TrainSettings, TranslatorSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section
from xlift.harness.recipes.registry import load_labelled

SECTIONS = (EngineSettings, TrainSettings, TranslatorSettings, EvaluateSettings, JudgeSettings)


@pytest.mark.parametrize("section", SECTIONS)
def test_what_is_not_hashed_names_keys_of_the_section(section: type[Section]) -> None:
    assert section.UNHASHED and set(section.model_fields) > section.UNHASHED


def test_a_key_moves_the_identity_unless_it_moves_no_result() -> None:
    engine = EngineSettings()
    paced = EngineSettings(concurrency=2, kv_cache_gib=8, gpu_memory_utilization=0.5, key_variable="KEY")
    assert paced.identity() == engine.identity()
    assert EngineSettings(dtype="float32").identity() != engine.identity()
    assert TrainSettings(checkpoint_steps=5, report_to=("wandb",)).identity() == TrainSettings().identity()
    assert TrainSettings(micro_batch_tokens=64).identity() != TrainSettings().identity()
    served = {"kind": "api", "model": "m", "url": "http://h/v1"}
    assert TranslatorSettings(**served, concurrency=1, key_variable="K").identity() == TranslatorSettings(**served).identity()
    assert EvaluateSettings(tasks=("a",), engines=2, adapters={"x": "y"}).identity() == EvaluateSettings(tasks=("a",)).identity()
    assert EvaluateSettings(tasks=("a",), limit=2).identity() != EvaluateSettings(tasks=("a",)).identity()
    assert JudgeSettings(judge="engine:x", concurrency=1).identity() == JudgeSettings(judge="engine:x").identity()


def test_a_key_that_yaml_takes_for_something_else_is_named() -> None:
    with pytest.raises(UserError, match="s.yaml: the key True is no text"):
        read_suite({True: 1}, "s.yaml")  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": True}, "rows: must be a whole number, got True"),
        ({"train": {"learning_rate": True}}, "train.learning_rate: must be a number, got True"),
        ({"train": {"tokens": 10**30}}, r"train.tokens: no number here may be above 1e\+15"),
        ({"methods": {"m": {"method": "pivot_language", "options": {"spare": 1e300}}}}, r"spare: no number here may be above 1e\+15"),
        ({"methods": {"m": {"method": "star_alignment", "options": {"hubs": "es\nen"}}}}, r"hubs: must be a list, got 'es\\nen'$"),
        ({"methods": {"m": {"method": "xlt_prompt", "options": {"languages": ["xx"]}}}}, "languages.0: unknown language 'xx'"),
        ({"evaluate": {"tasks": ["t"], "system": "use sk-" + "a1" * 12}}, "evaluate.system: what looks like a key stands in it"),
    ],
)
def test_values_that_no_setting_may_have(changes: dict[str, Any], says: str) -> None:
    suite = {
        "name": "s",
        "languages": {"train": ["es"], "evaluate": ["es"]},
        "methods": {"p": {"method": "pivot_only"}},
        "evaluate": {"tasks": ["t"]},
        **changes,
    }
    with pytest.raises(UserError, match=says) as caught:
        for label, chosen in read_suite(suite, "s").methods.items():
            load_labelled(label, chosen.method, chosen.options)
    assert "\n" not in str(caught.value)


def test_numbers_that_yaml_reads_as_text_are_taken() -> None:
    assert TrainSettings(learning_rate="1e-3").learning_rate == 0.001
