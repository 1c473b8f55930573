"""What sections of settings share: which of their keys are hashed."""

import pytest

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import EngineSettings, EvaluateSettings, TrainSettings, TranslatorSettings, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section

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
