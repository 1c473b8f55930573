from pathlib import Path

import pytest

from xlift.harness.config.lora import ARGUED, LORA_KEYS, OTHER_NAMES, SCHEDULES
from xlift.harness.config.suite import Suite, load_suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import digest

SUITE = {"name": "s", "languages": {"evaluate": ["en", "es"], "train": ["es"]}, "evaluate": {"tasks": ["xlift_mgsm_cot_{lang}"]}}

METHODS = {"methods": {"m": {"method": "cross_lingual"}}}


def read(**changes: object) -> Suite:
    return read_suite({**SUITE, **changes}, "s.yaml")


def test_override_reaches_a_nested_key() -> None:
    assert read_suite(SUITE, "s.yaml", ["train.learning_rate=1e-3", "train.lora={r: 4}"]).train.lora == {"r": 4}
    assert read_suite(SUITE, "s.yaml", ["train.learning_rate=1e-3"]).train.learning_rate == 0.001


def test_yaml_takes_on_and_off_for_something_else() -> None:
    assert read().engine.thinking == "template" and read(engine={"thinking": False}).engine.thinking == "off"
    assert read_suite(SUITE, "s.yaml", ["engine.thinking=on", "engine.thinking_tokens=512"]).engine.thinks == {
        "thinking": "on", "thinking_tokens": 512,
    }  # fmt: skip
    plain = read().engine.identity()
    assert "thinking" not in plain and "thinking_tokens" not in plain, "stages of before there was such a key stay"


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
        ({"langauges": {}, "languages": None}, "s.yaml: unknown key 'langauges'; did you mean 'languages'?"),
        (
            {"methods": {"m": {"method": "cross_lingual", "translation_share": 0.3}}},
            "s.yaml: unknown key 'methods.m.translation_share'; an option of the method stands under 'options'; known here: languages,",
        ),
        (
            {"methods": {"m": {"method": "cross_lingual", "translation": False}}},
            "did you mean 'translators'? an option of the method stands under 'options'; known here: ",
        ),
        (
            {"methods": {"m": "cross_lingual"}},
            "methods.m: must be keys with values below it, got 'cross_lingual'; write m: {method: cross_lingual}",
        ),
        ({"translators": {"default": "self"}}, "got 'self'; write default: {kind: self}"),
        ({"base": "org/model"}, "got 'org/model'; write base: {model: org/model}"),
        ({"train": "long"}, "train: must be keys with values below it, got 'long'"),
        ({"translators": {"default": {"kind": "seq2sec"}}}, "'api', 'table' or 'command', got 'seq2sec'; did you mean 'seq2seq'?"),
        ({"seeds": 3}, "s.yaml: seeds: must be a list, got 3; write [3] for the seed 3, or [0, 1, 2] for 3 seeds"),
        ({"seeds": 42}, "s.yaml: seeds: must be a list, got 42; write [42] for the seed 42"),
        ({"train": {"lerning_rate": 1}}, "did you mean 'learning_rate'?"),
        ({"engine": {"thinking": "no"}}, "engine.thinking: Input should be 'template', 'off' or 'on', got 'no'"),
        ({"engine": {"thinking": "on"}}, "engine.thinking: on: thinking takes tokens beyond those that a task gives"),
        ({"engine": {"thinking": "off", "thinking_tokens": 9}}, "engine.thinking_tokens: there is no thinking with engine.thinking: off"),
        ({"engine": {"backend": "vlm"}}, "'vllm', 'hf' or 'api', got 'vlm'; did you mean 'vllm'?"),
        ({"languages": {"evaluate": ["spanish"]}}, "s.yaml: languages.evaluate: unknown language 'spanish': write its code, 'es'"),
        (
            {"methods": {"m": {"method": "cross_lingual", "languages": ["es", "xx"]}}},
            "s.yaml: methods.m.languages: unknown language 'xx'",
        ),
        ({"translators": {"en-xx": {"kind": "self"}}}, "s.yaml: translators.en-xx: unknown language 'xx'"),
        (
            {"languages": {"evaluate": ["es"], "train": [False]}},
            "languages.train.0: must be a text, got False; YAML reads no, off and false as False: write the word in quotes, such as 'no'",
        ),
        ({"languages": {"evaluate": "es"}}, "languages.evaluate: must be a list, got 'es'; write [es]"),
        ({"languages": None}, "languages: must be keys with values below it, got None"),
        ({"name": 3}, "name: must be a text, got 3; write it in quotes: '3'"),
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
        ({"translators": {"default": {"kind": "seq2seq"}}}, "translators.default: translator seq2seq: give model too"),
        ({"translators": {"en-es": {"kind": "api", "model": "m"}}}, "translators.en-es: translator api: give url too"),
        (
            {"methods": {"m": {"method": "cross_lingual", "translators": {"default": {"command": "cat"}}}}},
            "methods.m.translators.default: translator self: command is an option of kind command",
        ),
        ({"train": {"schedule": "cosin"}}, "train.schedule: unknown schedule 'cosin'; did you mean 'cosine'?"),
        ({"train": {"schedule": "cosine_with_min_lr"}}, "train.schedule: 'cosine_with_min_lr' needs arguments"),
        ({"train": {"lora": {"rank": 8}}}, "train.lora: unknown key 'rank'; did you mean 'r'?"),
        ({"train": {"lora": {"target_module": "x"}}}, "train.lora: unknown key 'target_module'; did you mean 'target_modules'?"),
        (
            {**METHODS, "train": {"tokens": 1000}},
            "methods.m: train.tokens 1000 is less than one step of train.batch_tokens 4096, so hardly anything would be trained; lower "
            "train.batch_tokens (to 64, say), or raise train.tokens",
        ),
        (
            {**METHODS, "train": {"lora": {"r": 4, "use_dora": True}}, "engine": {"adapter_form": "lora"}},
            "methods.m: train.lora.use_dora: vLLM does not serve DoRA in the form of LoRA; set engine.adapter_form: merged",
        ),
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


def test_what_is_fine_is_not_refused() -> None:
    assert read(**METHODS, train={"tokens": 4096}).training("m").tokens == 4096
    assert read(**METHODS, train={"lora": {"r": 4, "use_dora": True}}, engine={"adapter_form": "lora", "backend": "hf"})
    assert read(translators={"default": {"kind": "seq2seq", "model": "org/model"}})


def test_keys_and_schedules_are_those_of_the_libraries() -> None:
    from dataclasses import fields

    from peft import LoraConfig
    from transformers.trainer_utils import SchedulerType

    assert {field.name for field in fields(LoraConfig) if field.init} <= LORA_KEYS
    assert set(OTHER_NAMES.values()) <= LORA_KEYS and not set(OTHER_NAMES) & LORA_KEYS
    assert {schedule.value for schedule in SchedulerType} == {*SCHEDULES, *ARGUED}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"engine": {"backend": "api", "url": "http://me:hunter2@host/v1"}}, "engine.url"),
        ({"translators": {"default": {"kind": "api", "model": "m", "url": "http://host/v1?api-key=hunter2"}}}, "translators.default.url"),
        ({"translators": {"en-es": {"kind": "command", "command": "tool --key hunter2"}}}, "translators.en-es.command"),
        ({"judge": {"judge": "lm:openai-chat-completions,model=m,api_key=hunter2"}}, "judge.judge"),
    ],
)
def test_a_secret_in_a_suite_is_refused_and_not_shown(changes: dict[str, object], place: str) -> None:
    with pytest.raises(UserError) as caught:
        read(**changes)
    assert str(caught.value).startswith(f"s.yaml: {place}: ") and "write ${NAME} in its place" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_value_of_a_secret_variable_is_refused_anywhere_in_a_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_KEY", "hunter2-hunter2")
    with pytest.raises(
        UserError, match=r"^s.yaml: methods.m.options.notes.0: the value of the environment variable OPENAI_KEY stands in it"
    ):
        read(methods={"m": {"method": "cross_lingual", "options": {"notes": ["say hunter2-hunter2"]}}})


def test_a_suite_keeps_the_names_of_variables() -> None:
    suite = read(engine={"backend": "api", "url": "http://me:${MY_KEY}@host/v1"})
    assert suite.model_dump(mode="json")["engine"]["url"] == "http://me:${MY_KEY}@host/v1"


@pytest.mark.parametrize("place", ["methods", "evaluate.adapters"])
@pytest.mark.parametrize(
    "label", ["a/../../esc", "x/y", "..", "", "base", "a b", "a\nb", "é", "m-seed0", "m_seed7", "m-seed0-round2", "x" * 101]
)
def test_labels_that_would_lead_elsewhere_are_refused(place: str, label: str) -> None:
    method = {"method": "cross_lingual"}
    adapters = {label: "/somewhere"} if place == "evaluate.adapters" else {}
    with pytest.raises(UserError, match=rf"^s.yaml: {place}\.") as caught:
        read(methods={"m": method, **({label: method} if place == "methods" else {})}, evaluate={"tasks": ["t"], "adapters": adapters})
    assert "\n" not in str(caught.value)


def test_labels_that_only_look_like_seeds_are_taken() -> None:
    suite = read(methods={"m": {"method": "cross_lingual"}}, evaluate={"tasks": ["t"], "adapters": {"other-seed0": "x", "m.v2": "y"}})
    assert [*suite.evaluate.adapters] == ["other-seed0", "m.v2"]


@pytest.mark.parametrize("pattern", ["x_{lang:>3000000000}", "x_{lang!r}", "x_{lang.__class__}", "x_{0}", "x_{", "x_}", "x_{{lang}}"])
def test_only_two_words_stand_for_something_in_a_task(pattern: str) -> None:
    with pytest.raises(UserError, match=r"only \{lang\} and \{flores\} stand for something"):
        read(evaluate={"tasks": [pattern]})


@pytest.mark.parametrize("changes", [{"train": {"learning_rate": float("inf")}}, {"train": {"epochs": float("nan")}}])
def test_numbers_are_finite(changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="finite number"):
        read(**changes)


@pytest.mark.parametrize("odd", ["\ud800", "a\udcff"])
def test_half_of_a_surrogate_pair_is_refused(odd: str) -> None:
    with pytest.raises(UserError, match="^s.yaml: base.model: holds half of a surrogate pair or a byte that is no UTF-8"):
        read(base={"model": odd})


def test_a_nul_is_refused() -> None:
    with pytest.raises(UserError, match=r"^s.yaml: base.model: holds a NUL"):
        read(base={"model": "/models/a\0b"})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("[2]", "train.measure_at: each is a share of the budget, above 0 and at most 1, got [2]"),
        ("[0]", "train.measure_at: each is a share of the budget"),
        ("[.nan]", "train.measure_at.0: Input should be a finite number"),
        ("[half]", "train.measure_at.0: must be a number, got 'half'"),
        ("0.5", "train.measure_at: must be a list, got 0.5; write [0.5]"),
    ],
)
def test_points_of_a_curve_are_shares(given: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        load_suite("demo", [f"train.measure_at={given}"])
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            ["train.tokens=16000", "train.batch_tokens=1000", "train.measure_at=[0.05, 0.5]"],
            "train.measure_at: 0.05 of the budget is less than the first of 16 steps; name shares from 0.063 on, or train longer",
        ),
        (["train.tokens=1000", "train.batch_tokens=1000", "train.measure_at=[0.5]"], "train.measure_at: the budget is one step"),
    ],
)
def test_points_of_a_curve_are_not_before_the_first_step(settings: list[str], says: str) -> None:
    with pytest.raises(UserError, match="methods.cross-lingual.train.measure_at") as caught:
        load_suite("methods-small", [*settings, "methods={cross-lingual: {method: cross_lingual}}"])
    assert says in str(caught.value)
    load_suite("methods-small", [settings[0], settings[1], "methods={cross-lingual: {method: cross_lingual}}"])
