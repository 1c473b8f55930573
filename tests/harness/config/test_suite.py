from pathlib import Path

import pytest

from xlift.harness.config.suite import Suite, load_suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest

SUITE = {"name": "s", "languages": {"evaluate": ["en", "es"], "train": ["es"]}, "evaluate": {"tasks": ["xlift_mgsm_cot_{lang}"]}}


def read(**changes: object) -> Suite:
    return read_suite({**SUITE, **changes}, "s.yaml")


def test_override_reaches_a_nested_key() -> None:
    assert read_suite(SUITE, "s.yaml", ["train.learning_rate=1e-3", "train.lora={r: 4}"]).train.lora == {"r": 4}
    assert read_suite(SUITE, "s.yaml", ["train.learning_rate=1e-3"]).train.learning_rate == 0.001


def test_a_methods_own_training_keys_win() -> None:
    suite = read(methods={"m": {"method": "cross_lingual", "train": {"epochs": 3}}}, train={"epochs": 1, "warmup": 0.2})
    assert (suite.training("m").epochs, suite.training("m").warmup) == (3, 0.2)


def test_what_makes_one_adapter() -> None:
    method = {"method": "cross_lingual"}
    suite = read(
        methods={"m": method, "n": method}, seeds=[1, 2], judge={"judge": "http://here/v1", "model": "j"},
        evaluate={"tasks": ["xlift_mgsm_cot_es"], "adapters": {"other": "/somewhere"}},
    )  # fmt: skip
    alone = suite.single("m", 2)
    assert (list(alone.methods), alone.seeds, alone.judge, alone.evaluate.adapters) == (["m"], (2,), None, {})
    assert (alone.train, alone.evaluate.tasks) == (suite.train, suite.evaluate.tasks)
    assert suite.single("m", None).seeds == (1, 2), "nothing was trained"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"evalute": {}}, "unknown key 'evalute'; did you mean 'evaluate'?"),
        ({"train": {"lerning_rate": 1}}, "did you mean 'learning_rate'?"),
        ({"engine": {"backend": "vlm"}}, "'vllm', 'hf' or 'api', got 'vlm'"),
        ({"languages": {"evaluate": ["spanish"]}}, "unknown language 'spanish': write its code, 'es'"),
        ({"methods": {"m": {"method": "cross_lingual", "languages": ["en"]}}}, "'en' is the pivot"),
        ({"methods": {"base": {"method": "cross_lingual"}}}, "is not 'base'"),
        (
            {"methods": {"m": {"method": "cross_lingual", "train": {"epoch": 1}}}},
            "methods.m.train: unknown key 'epoch'; did you mean 'epochs'?",
        ),
        ({"methods": {"m": {"method": "cross_lingual", "option": {}}}}, "did you mean 'options'?"),
        ({"translators": {"en-es": {"kind": "command", "comand": "cat"}}}, "did you mean 'command'?"),
        ({"translators": {"default": {"kind": "command", "command": "cat"}}}, "name it under its pair, such as en-es"),
        ({"translators": {"spanish": {"kind": "self"}}}, "'spanish' is no pair; write SOURCE-TARGET"),
        ({"seeds": [1, 1]}, "each seed once"),
        ({"train": {"learning_rate": "fast"}}, "learning_rate"),
        ({"evaluate": {"tasks": []}}, "evaluate.tasks"),
    ],
)
def test_mistakes_are_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(UserError) as caught:
        read(**changes)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [("name: [", "line 1: not valid YAML"), ("- a", "a suite is a mapping"), ("", "a suite is a mapping")],
)
def test_bad_yaml_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_suite(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_suite_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'demo'"):
        load_suite("dmeo")


@pytest.mark.parametrize("text", ["train", "=3", "train.=3", "name.x=1", "train.epochs=["])
def test_bad_overrides_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        read_suite(SUITE, "s.yaml", [text])


def test_digest_ignores_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
