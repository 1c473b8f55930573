"""Suites: one YAML file, read into frozen models, every key checked.

The resolved suite is what runs, what is hashed and what is copied beside each result; nothing reads the YAML again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from xlift.harness.config.base import BaseSettings as BaseSettings
from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.lora import check_points
from xlift.harness.config.resources import ResourceSettings
from xlift.harness.config.train import TrainSettings as TrainSettings
from xlift.harness.config.translator import TranslatorSettings as TranslatorSettings
from xlift.harness.core.errors import UserError, guess_path, name_nearest
from xlift.harness.core.languages import find
from xlift.harness.core.papers import PaperScores
from xlift.harness.core.settings import Section as Section
from xlift.harness.core.settings import WithoutSecrets, explain
from xlift.harness.core.settings import build as build
from xlift.harness.core.yaml_texts import read_yaml

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""The names that a method or an adapter may have."""


class DataSettings(Section):
    UNHASHED = frozenset({"samples"})
    """A stage hashes the data that it reads, wherever they come from."""

    samples: Literal["never", "missing", "always"] = "never"
    """When the bundled samples are read: never, where a corpus is missing otherwise, or always."""
    strict: bool = False
    """Whether a run stops in two cases that are mended otherwise: training rows that overlap evaluation items, which are dropped and
    counted, and a group of tasks that lacks the data of a language, which is measured in the other languages."""


class EngineSettings(Section):
    UNHASHED = frozenset({"kv_cache_gib", "gpu_memory_utilization", "key_variable", "concurrency", "pipeline_parallel_size"})
    """These settings decide how fast answers come, and not what they are. Layers on several GPUs compute what they compute on one.
    ``batch_tokens`` is hashed, because it is the batch policy of a record's comparability key; ``url``, because another server may have
    another model under the same name; and ``tensor_parallel_size``, because it splits sums."""

    backend: Literal["auto", "vllm", "hf", "api"] = "auto"
    """What computes the answers: vLLM, transformers (hf) or a server (api). auto is vLLM where it is installed, else hf."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """Arithmetic of the answers. auto is bfloat16, or float32 on a CPU where that is faster (dtypes.py)."""
    max_length: int = Field(2048, ge=64)
    """The most tokens that prompt and answer may have together."""
    adapter_form: Literal["auto", "merged", "lora"] = "auto"
    """Whether adapters are merged into the weights in place, or kept as LoRA; auto is merged."""
    batch_tokens: int = Field(8192, ge=256)
    """For hf: the most tokens (rows x width) in one forward pass."""
    kv_cache_gib: float = Field(2.0, gt=0)
    """For vllm on a CPU: memory for the key-value cache, which engines side by side share; whole GiB, and at least one for each engine."""
    gpu_memory_utilization: float = Field(0.85, gt=0, le=1)
    """For vllm on a GPU: the share of its memory that vLLM may take."""
    tensor_parallel_size: int = Field(1, ge=1)
    """For vllm: how many GPUs each layer is split over. Adapters then stay beside the weights, in the form of LoRA."""
    pipeline_parallel_size: int = Field(1, ge=1)
    """For vllm: how many groups of GPUs hold a part of the layers each. Adapters then stay beside the weights, too."""
    url: WithoutSecrets | None = None
    """For api: address of an OpenAI-compatible server, up to /v1."""
    key_variable: str = "OPENAI_API_KEY"
    """For api: name of the environment variable that holds the key."""
    concurrency: int = Field(16, ge=1)
    """For api: how many requests are sent at once."""
    thinking: Literal["template", "off", "on"] = "template"
    """Whether the model thinks before it answers, in training, generation and evaluation alike. template leaves it to the chat template;
    off and on set the template's own variable for it."""
    thinking_tokens: int = Field(0, ge=0)
    """Tokens that thinking may take beyond those of the answer and beyond ``max_length``."""

    @field_validator("thinking", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """YAML reads ``on`` and ``off`` as true and false."""
        return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _thinking_has_room(self) -> EngineSettings:
        if self.thinking == "on" and not self.thinking_tokens:
            raise UserError(
                "engine.thinking: on: thinking takes tokens beyond those that a task gives to an answer; set engine.thinking_tokens, "
                "such as 2048"
            )
        if self.thinking == "off" and self.thinking_tokens:
            raise UserError("engine.thinking_tokens: there is no thinking with engine.thinking: off; leave one of them out")
        return self

    @model_validator(mode="after")
    def _split_is_served(self) -> EngineSettings:
        if self.gpus > 1 and self.backend != "vllm":
            raise UserError("engine: tensor_parallel_size and pipeline_parallel_size are vLLM's; set backend: vllm, or leave them out")
        if self.gpus > 1 and self.adapter_form == "merged":
            raise UserError("engine.adapter_form: merged weights cannot go to an engine on several GPUs; set lora, or leave it out")
        return self

    @property
    def gpus(self) -> int:
        """The number of GPUs that one engine uses."""
        return self.tensor_parallel_size * self.pipeline_parallel_size

    @property
    def thinks(self) -> dict[str, str | int]:
        """What the suite says about thinking. By default it says nothing, so that older results, which had no such keys, keep their
        hashes."""
        mode: dict[str, str | int] = {} if self.thinking == "template" else {"thinking": self.thinking}
        return {**mode, "thinking_tokens": self.thinking_tokens} if self.thinking_tokens else mode

    def identity(self) -> dict[str, Any]:
        named = ("thinking", "thinking_tokens", "tensor_parallel_size")
        found = {name: value for name, value in super().identity().items() if name not in named}
        return {**found, **self.thinks, **self.splits}

    @property
    def splits(self) -> dict[str, int]:
        """How sums are split, where they are."""
        return {"tensor_parallel_size": self.tensor_parallel_size} if self.tensor_parallel_size > 1 else {}


class MethodSettings(Section):
    ELSEWHERE = "an option of the method stands under 'options'"

    method: str
    """Name of the method, as ``xlift ls methods`` lists it."""
    languages: tuple[str, ...] = ()
    """Languages that this method trains; those of the suite if the list is empty."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The method's own options; docs/methods.md lists them."""
    train: dict[str, Any] = Field(default_factory=dict)
    """Keys of ``train`` that differ for this method."""
    translators: dict[str, TranslatorSettings] = Field(default_factory=dict)
    """Translators of this method, which replace those of the suite."""


class EvaluateSettings(Section):
    UNHASHED = frozenset({"tasks", "include_path", "adapters", "engines", "share_answers"})
    """A stage hashes the tasks after their expansion, with the files of ``include_path`` that define them, and the one adapter that it
    measures. Engines side by side change no score, and an answer that is kept was made under the same settings."""

    tasks: tuple[str, ...] = Field(min_length=1)
    """lm-eval tasks or groups. ``{lang}`` in a name is replaced by each language that is measured, ``{flores}`` by its FLORES code."""
    include_path: tuple[Path, ...] = ()
    """Folders of lm-eval task files, looked for beside the suite first. Their tasks have precedence over lm-eval's own of the same name."""
    limit: int | None = Field(None, ge=1)
    """The number of items of each task, chosen by a hash of their ids, so the same for all models and languages. Fewer than 40 make a
    smoke test."""
    limits: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """The number of items for tasks whose name begins with the key, in place of ``limit``."""
    system: str | None = None
    """System prompt of every task; if not given, the chat template's own."""
    prompt_style: Literal["chat", "plain"] = "chat"
    """chat writes prompts in the base's chat template; plain writes them as running text, for a base that is no chat model."""
    num_fewshot: int = Field(0, ge=0)
    """The number of examples before each question. They are the first ones of the benchmark's own dev or exemplar split."""
    adapters: dict[str, str] = Field(default_factory=dict)
    """Further adapters to measure: names, each with a folder or ``hub:ORG/NAME``."""
    engines: int | None = Field(None, ge=1)
    """How many engines measure side by side, each with a part of the models and of the cores. null is 1, or more for vLLM on a CPU."""
    share_answers: bool = True
    """Whether the suite uses answers that other suites of the runs folder have asked for already, and leaves its own to them."""

    @field_validator("tasks")
    @classmethod
    def _patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if set("{}") & {*pattern.replace("{lang}", "").replace("{flores}", "")}:
                raise UserError(f"evaluate.tasks: {pattern!r}: only {{lang}} and {{flores}} stand for something")
        return value

    @property
    def asked(self) -> dict[str, str | int]:
        """How tasks are asked, if it is not as their files say."""
        said: dict[str, str | int] = {"prompt_style": self.prompt_style, "num_fewshot": self.num_fewshot}
        return {name: value for name, value in said.items() if value != type(self).model_fields[name].default}

    def identity(self) -> dict[str, Any]:
        """The same as for every section, without style and examples if they are the default, so that older stages keep their hashes."""
        found = {name: value for name, value in super().identity().items() if name not in ("prompt_style", "num_fewshot")}
        return found | self.asked


class LanguageSettings(Section):
    pivot: str = "en"
    """The language that the model is good at, which the others learn from."""
    train: tuple[str, ...] = ()
    """Languages that the methods train, without the pivot."""
    evaluate: tuple[str, ...] = Field(min_length=1)
    """Languages that are measured. They replace ``{lang}`` and ``{flores}`` in the names of tasks."""

    @field_validator("pivot", "train", "evaluate")
    @classmethod
    def _known(cls, value: str | tuple[str, ...], info: ValidationInfo) -> str | tuple[str, ...]:
        _require_languages((value,) if isinstance(value, str) else value, f"languages.{info.field_name}")
        return value


class CommonRows(Section):
    """Rows of a task in the pivot, the same for every method that trains on answers, so that there is a skill to carry over.

    Preferences take none, and a method that trains nothing has none.
    """

    corpus: str
    """A training corpus of questions with answers, such as ``qa/squad``, in the pivot language."""
    share: float = Field(gt=0, lt=1)
    """The share of these rows in the rows of each method. The others are the method's own."""
    max_characters: int = Field(1500, ge=1)
    """The most characters of a row. Longer rows are left out and counted."""


class Suite(Section):
    """One comparison: a base model, methods that train adapters on it, and the tasks that measure them all."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names the run folder, and the suite in tables."""
    base: BaseSettings = BaseSettings()
    """The model that everything starts from; `smollm2-135m-instruct` if it is left out."""
    data: DataSettings = DataSettings()
    """Where rows may come from, and how strictly leaks are treated."""
    languages: LanguageSettings
    """The pivot, and the languages that are trained and measured."""
    rows: int | None = Field(None, ge=1)
    """The most rows that a method may train on, the same for all methods; if not given, there is no bound."""
    common: CommonRows | None = None
    """Rows that all methods train beside their own; if not given, there are none."""
    methods: dict[str, MethodSettings] = Field(default_factory=dict)
    """The methods that are compared. The label of each is its name in every table."""
    translators: dict[str, TranslatorSettings] = Field(default_factory=lambda: {"default": TranslatorSettings()})
    """The translator of each pair (``en-es``). ``default`` serves all pairs that are not named."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = (0,)
    """Each method is trained once with each seed; three are needed to see how much seeds differ."""
    train: TrainSettings = TrainSettings()
    """How adapters are trained, the same for all methods unless a method names keys of its own."""
    engine: EngineSettings = EngineSettings()
    """What answers for the model, while rows are made and while it is measured."""
    evaluate: EvaluateSettings
    """What is measured, and on how many items."""
    resources: ResourceSettings = ResourceSettings()
    """The GPUs that a run uses, and the workers that a scheduler starts. No result depends on it."""
    judge: JudgeSettings | None = None
    """The judge that compares the answers to X-AlpacaEval with others, after the evaluation; if not given, there is none."""
    expected: tuple[PaperScores, ...] = ()
    """What the paper of the suite reports. ``xlift compare-paper`` shows it beside what was measured, and nothing else depends on it."""

    @field_validator("seeds", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """One number may be meant as a seed, or as a number of seeds."""
        if isinstance(value, int) and not isinstance(value, bool):
            several = f", or {[*range(value)]} for {value} seeds" if 2 <= value <= 10 else ""
            raise explain(f"must be a list, got {value}; write [{value}] for the seed {value}{several}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Suite:
        _check_labels(self)
        for label, chosen in self.methods.items():
            _require_languages(chosen.languages, f"methods.{label}.languages")
            for code in chosen.languages or self.languages.train:
                if code == self.languages.pivot:
                    raise UserError(f"methods.{label}: {code!r} is the pivot and cannot be a trained language too")
            if not (chosen.languages or self.languages.train):
                raise UserError(f"methods.{label}: no languages to train; set languages.train or methods.{label}.languages")
            _check_training(label, self.training(label), self.engine)
            _check_pairs(f"methods.{label}.translators", chosen.translators)
        _check_pairs("translators", self.translators)
        told: set[tuple[str, ...]] = set()
        for one in self.expected:
            numbers = {(one.label, one.task, one.metric, one.against or "", places) for places in one.values or [" ".join(one.over)]}
            if again := told & numbers:
                raise UserError(f"expected: {one.label}, {one.task}: {one.metric} of {min(again)[-1]} is given twice")
            told |= numbers
            for label in one.list_labels():
                if label != "base" and label not in self.methods:
                    raise UserError(f"expected: {label!r} is no method of the suite{name_nearest(label, ['base', *self.methods])}")
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise UserError(f"seeds: give each seed once, got {list(self.seeds)}")
        return self

    def single(self, label: str, seed: int | None) -> Suite:
        """The suite reduced to what makes one adapter: one method and seed, without judge, adapters of others and resources.

        If ``seed`` is None, all seeds stay, because nothing is trained.
        """
        evaluate = self.evaluate.model_copy(update={"adapters": {}})
        alone = {"methods": {label: self.methods[label]}, "judge": None, "evaluate": evaluate, "resources": ResourceSettings()}
        return self.model_copy(update=alone if seed is None else {**alone, "seeds": (seed,)})

    def training(self, label: str) -> TrainSettings:
        """The trainer's settings for one method, its own keys over the suite's."""
        own = self.methods[label].train
        return build(TrainSettings, {**self.train.model_dump(), **own}, f"methods.{label}.train")

    def translating(self, label: str) -> dict[str, TranslatorSettings]:
        """The translators of one method by pair: its own if it names any, else the suite's."""
        return self.methods[label].translators or self.translators

    def trained(self, label: str) -> tuple[str, ...]:
        """The languages one method trains."""
        return self.methods[label].languages or self.languages.train


def _check_labels(suite: Suite) -> None:
    """Check that labels can name folders, files and rows of tables, with the seed after them if there is one."""
    for place, labels in (("methods", suite.methods), ("evaluate.adapters", suite.evaluate.adapters)):
        for label in labels:
            if not LABEL.fullmatch(label) or label == "base":
                shown = label if label.isprintable() else repr(label)
                raise UserError(f"{place}.{shown}: a label is made of letters, digits, '.', '_' and '-', and is not 'base'")
            seeded = re.fullmatch(r"(.+)[-_]seed\d+(-round\d+)?", label)
            if seeded and seeded[1] in suite.methods:
                raise UserError(f"{place}.{label}: a seed of methods.{seeded[1]} goes by that name too; choose another label")


def _check_training(label: str, settings: TrainSettings, engine: EngineSettings) -> None:
    where = f"methods.{label}"
    if settings.tokens is not None and settings.tokens < settings.batch_tokens:
        raise UserError(
            f"{where}: train.tokens {settings.tokens} is less than one step of train.batch_tokens {settings.batch_tokens}, so hardly "
            f"anything would be trained; lower train.batch_tokens (to {max(64, settings.tokens // 20)}, say), or raise train.tokens"
        )
    if settings.tokens is not None:
        check_points(f"{where}.train", settings.measure_at, round(settings.tokens / settings.batch_tokens))
    if settings.lora is None and settings.quantise:
        raise UserError(
            f"{where}: train.quantise {settings.quantise!r}: rounded weights cannot be trained; leave it out, or set train.lora"
        )
    if settings.lora is None and engine.adapter_form == "lora":
        raise UserError(f"{where}: train.lora: null trains whole weights, which engine.adapter_form: lora does not serve; set it to merged")
    if settings.lora and settings.lora.get("use_dora") and engine.adapter_form == "lora" and engine.backend in ("auto", "vllm"):
        raise UserError(
            f"{where}: train.lora.use_dora: vLLM does not serve DoRA in the form of LoRA; set engine.adapter_form: merged, or "
            "engine.backend: hf"
        )


def _check_pairs(where: str, translators: Mapping[str, TranslatorSettings]) -> None:
    for key in translators:
        translators[key].check(f"{where}.{key}: translator {translators[key].kind}")
        if key == "default":
            if translators[key].kind == "command":
                raise UserError(f"{where}: a command translates one pair; name it under its pair, such as en-es, not under default")
            continue
        source, dash, target = key.partition("-")
        if not dash:
            raise UserError(f"{where}: {key!r} is no pair; write SOURCE-TARGET, such as en-es, or default")
        _require_languages((source, target), f"{where}.{key}")


def _require_languages(codes: Iterable[str], where: str) -> None:
    for code in codes:
        try:
            find(code)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None


def load_suite(source: str | Path, overrides: Iterable[str] = (), sections: Mapping[str, object] | None = None) -> Suite:
    """Read a suite from a YAML file, or one that comes with xlift by its name. ``sections`` are merged into it, then ``a.b=value``
    overrides.

    Raises UserError for a missing file, bad YAML, an unknown key or a wrong value.
    """
    path = _locate(source)
    values = _parse(path)
    base = values.get("base")
    if isinstance(base, dict) and base.get("chat_template") and (beside := path.parent / str(base["chat_template"])).is_file():
        values = {**values, "base": {**base, "chat_template": beside}}
    asked = values.get("evaluate")
    if isinstance(asked, dict) and isinstance(folders := asked.get("include_path"), list):
        found = [beside if (beside := path.parent / str(folder)).is_dir() else folder for folder in folders]
        values = {**values, "evaluate": {**asked, "include_path": found}}
    return read_suite(merge(values, sections or {}), Path(source).name, overrides)


def read_suite(values: Mapping[str, object], where: str, overrides: Iterable[str] = ()) -> Suite:
    """A suite from plain values. ``where`` names them in errors."""
    for override in overrides:
        values = _override(values, override)
    return build(Suite, values, where)


def merge(values: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """Plain values with changes: a mapping is merged into a mapping key by key, everything else replaces what was there."""
    merged = dict(values)
    for key, value in changes.items():
        before = merged.get(key)
        merged[key] = merge(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return merged


def shipped_suites() -> list[str]:
    """Names of the suites that come with xlift."""
    found = files("xlift.harness.config").joinpath("suites").iterdir()
    return sorted(path.name.removesuffix(".yaml") for path in found if path.name.endswith(".yaml"))


def _locate(source: str | Path) -> Path:
    path = Path(source)
    if not str(source).strip():
        raise UserError(f"a suite has a name or a file, and {source!r} is none; 'xlift ls suites' lists those that ship")
    if path.is_file():
        return path
    if str(source) in shipped_suites():
        return Path(str(files("xlift.harness.config").joinpath("suites", f"{source}.yaml")))
    if path.is_dir():
        inner = sorted(map(str, path.glob("*.y*ml")))
        raise UserError(f"{source}: a folder, and not a suite; name a YAML file{f', such as {inner[0]}' if inner else ''}")
    if hint := guess_path(path, "*.y*ml", cutoff=0.75):
        raise UserError(f"no suite {str(source)!r}: there is no such file{hint}")
    raise UserError(f"no suite {str(source)!r}: neither a file nor a suite that ships{name_nearest(str(source), shipped_suites())}")


def _parse(path: Path) -> dict[str, object]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    values = read_yaml(text, str(path))
    if not isinstance(values, dict):
        raise UserError(f"{path}: a suite is a mapping of keys, got {type(values).__name__}")
    return values


def _override(values: Mapping[str, object], text: str) -> dict[str, object]:
    key, equals, raw = text.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {text!r}: write key.subkey=value")
    return _put(values, parts, read_yaml(raw, f"--set {text!r}"), text)


def _put(values: Mapping[str, object], parts: Sequence[str], value: object, text: str) -> dict[str, object]:
    head, *rest = parts
    if not rest:
        return {**values, head: value}
    inner = values.get(head) or {}
    if not isinstance(inner, Mapping):
        raise UserError(f"--set {text!r}: {head!r} holds a value, not keys")
    return {**values, head: _put(inner, rest, value, text)}
