"""What determines each stage of a run: rounds of methods, adapters and measurements, as plain data that is hashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from xlift.harness.config.suite import Suite, TrainSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.manifests import Learned, Manifest
from xlift.harness.core.settings import build
from xlift.harness.core.store import Stage, Store, read_manifest
from xlift.harness.core.types import Json
from xlift.harness.models import adapters, bases, encoders
from xlift.harness.pipeline.row_budget import choose_rows
from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import Method, Options, PlanRecord
from xlift.harness.recipes.files import open_file
from xlift.harness.training.batching import TRAINING_VERSION
from xlift.harness.training.report import CurvePoint
from xlift.harness.translators.base import TRANSLATORS_VERSION
from xlift.harness.translators.load import identify_translator
from xlift.tasks import data, index
from xlift.tasks.benchmarks import measured_group
from xlift.tasks.thinking import has_marks

if TYPE_CHECKING:
    from xlift.harness.engines.base import Engine
    from xlift.harness.engines.kept_answers import KeptAnswers

ROWS = "rows.jsonl"
"""The name of the file of rows in the folder of a prepare stage."""
ARRAYS = "arrays.safetensors"
"""The file of arrays beside the rows, if the plan has arrays."""
ANSWERS = "_answers"
"""The name of the folder that holds what models said when they were measured. It is in a folder of runs, where no suite can have this name,
or in one run's folder."""


@dataclass(frozen=True)
class Run:
    """A resolved suite and the folder it runs in."""

    suite: Suite
    root: Path
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    base: bases.Base
    data: Mapping[str, data.Origin | None] = field(default_factory=dict)
    """Where each task's data come from, as it was when the run began. A run hashes the same data from its start to its end."""
    foreign: Mapping[str, str] = field(default_factory=dict)
    """What distinguishes each task that is not xlift's from others of its name, as it was when the run began."""
    articles: Mapping[str, str] = field(default_factory=dict)
    """A hash, by task, of the article to which each document belongs, if that is known. Items are drawn by articles, and intervals depend
    on them."""

    @property
    def store(self) -> Store:
        return Store(self.root)

    @property
    def lacks_base(self) -> bool:
        """Whether the base is a repository of the hub that is not on this machine, as may be the case in a dry run."""
        return not self.base.sha256 and not self.suite.base.model.startswith(bases.SERVED)

    def tasks_of(self, model: Measured) -> tuple[str, ...]:
        """The tasks on which a model is measured: all tasks, or for a point of a curve only the likelihood tasks, which take the least
        time."""
        if model.point is None:
            return self.tasks
        return tuple(task for task in self.tasks if measured_group(task) == "likelihood")


@dataclass(frozen=True)
class Round:
    """One method before one of its trainings."""

    label: str
    number: int = 0
    seed: int | None = None
    """None in the first round, whose rows are used for all seeds."""
    start: str | None = None
    """The folder of the adapter that the round before made."""

    @property
    def name(self) -> str:
        return self.label if self.seed is None else f"{self.label}-seed{self.seed}-round{self.number + 1}"


@dataclass(frozen=True)
class Prepared:
    """The finished rows of one round."""

    folder: Path
    manifest: Manifest
    """The manifest in the folder."""

    @property
    def count(self) -> int:
        """The number of rows; 0 if nothing is trained and the method is its profile."""
        return int(self.manifest["rows"])

    @property
    def plan(self) -> PlanRecord:
        """What is trained on the rows. Raises UserError if the manifest is damaged."""
        return build(PlanRecord, self.manifest["plan"], f"{self.folder}: manifest: plan")


@dataclass(frozen=True)
class Measured:
    """One model that is measured: the base, a trained adapter, or one that was given."""

    label: str
    seed: int | None
    adapter: str | None
    """A folder or a hub reference; None for the base."""
    stages: tuple[str, ...] = ()
    """The folders of the stages that made it, for its costs."""
    point: CurvePoint | None = None
    """The share of its training at which the adapter was kept; None at the end, and if nothing was trained."""

    @property
    def name(self) -> str:
        name = self.label if self.seed is None else f"{self.label}-seed{self.seed}"
        return f"{name}-at{self.point.share:g}" if self.point else name


@dataclass(frozen=True)
class Share:
    """A range of the items of each task that a model is asked ahead of its measurement, which then finds the answers kept."""

    model: Measured
    number: int
    """From 1."""
    of: int

    @property
    def name(self) -> str:
        return f"{self.model.name}-{self.number}of{self.of}"


def prepare_stage(run: Run, turn: Round) -> Stage:
    """Everything that determines a method's rows, except the corpora that it reads: which those are, only the method knows."""
    chosen, suite = run.suite.methods[turn.label], run.suite
    method = registry.load(chosen.method, chosen.options)
    guarded = [(index.source_of(task), origin) for task, origin in run.data.items()]
    inputs = {
        "method": chosen.method,
        "code": {**asdict(registry.identify(chosen.method)), "translators": TRANSLATORS_VERSION},
        "options": method.options.model_dump(mode="json"),
        "languages": suite.trained(turn.label),
        "pivot": suite.languages.pivot,
        "rows": choose_rows(suite, turn.label).bound,
        "data": suite.data.identity(),
        "guarded": {"/".join(source): origin.sha256 for source, origin in guarded if source and origin},
        "translators": {pair: identify_translator(found) for pair, found in suite.translating(turn.label).items()},
        "model": identify_model(run, turn.start),
        "round": turn.number,
    }
    if suite.common:
        inputs["common"] = suite.common.model_dump(mode="json")
    if method.module:
        encoder = encoders.resolve(method.module, fetch=False)
        inputs["encoder"] = encoder.sha256 if encoder else None
    return Stage("prepare", turn.name, inputs)


def identify_model(run: Run, adapter: str | None) -> dict[str, Json]:
    """Everything that can change an answer of a model, except chat and sampling."""
    return {
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
        "adapter": adapters.resolve(adapter).sha256 if adapter else None,
        "engine": run.suite.engine.identity(),
    }


def keep_answers(run: Run, adapter: adapters.Adapter | None, engine: Engine) -> KeptAnswers:
    """What the weights of an adapter, or of the base, said with this engine: for all suites of the runs folder, or for this suite alone."""
    from xlift.harness.engines.kept_answers import KeptAnswers

    model = {
        "base": run.base.sha256 or run.base.name,
        "chat_template": run.base.chat_template_sha,
        "template_options": run.base.template_options,
        "url": run.suite.engine.url,
        "adapter": adapter.sha256 if adapter and adapter.is_more_than_profile else None,
        "engine": engine.describe(),
    }
    return KeptAnswers((run.root.parent if run.suite.evaluate.share_answers else run.root) / ANSWERS, cast("dict[str, Json]", model))


def find_prepared(run: Run, turn: Round) -> Prepared | None:
    """The rows of a round, if they are there and each corpus and file that was read for them is still the same."""

    def still_gives(learned: Learned) -> bool:
        # In the order of reading: what a method reads next may depend on what it has read, so the first that differs decides.
        for name, sha256 in learned["read"].items():
            lang, _, corpus = name.partition("/")
            if data.identify_training(corpus, lang, samples=run.suite.data.samples) != sha256:
                return False
        method = registry.find_method(run.suite.methods[turn.label].method)
        return all(_is_file(method, name, sha256) for name, sha256 in learned.get("files", ()))

    stage = run.store.find(prepare_stage(run, turn), still_gives)
    return read_prepared(run.store.folder(stage)) if stage else None


def _is_file(method: type[Method[Options]], name: str, sha256: str) -> bool:
    """Whether a method would read the same file under this name as before."""
    try:
        return open_file(method, name).sha256 == sha256
    except UserError:
        return False


def read_prepared(folder: Path) -> Prepared:
    """A finished prepare stage. Raises UserError if it is not finished, or gone."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder}: its rows are not prepared yet, or deleted; run the suite again")
    return Prepared(folder, manifest)


def fit_stage(run: Run, turn: Round, rows: Prepared, seed: int | None) -> Stage:
    """Everything that determines an adapter."""
    suffix = "" if seed is None else f"-seed{seed}"
    label = f"{turn.label}{suffix}" + (f"-round{turn.number + 1}" if turn.number else "")
    return Stage("fit", label, _describe_fit(run, turn, rows.manifest["plan"], run.suite.training(turn.label), seed))


def part_stage(run: Run, turn: Round, rows: Prepared, name: str, seed: int | None) -> Stage:
    """Everything that determines the adapter of one part of a plan. Methods with the same part share it, whatever each does with it."""
    plan = rows.plan
    part = (plan.parts or {})[name]
    alone = plan.model_copy(update={"rows_sha256": part.rows_sha256, "profile": None, "parts": None, "edit": None})
    settings = share_training(run.suite.training(turn.label), part.share)
    return Stage("part", f"{name}-seed{seed or 0}", _describe_fit(run, turn, alone.describe(), settings, seed))


def share_training(settings: TrainSettings, share: float) -> TrainSettings:
    """The settings of a part's training, with its share of the tokens. Epochs are those of its own rows."""
    return settings if settings.tokens is None else settings.model_copy(update={"tokens": max(1, round(settings.tokens * share))})


def check_shares(settings: TrainSettings, shares: Mapping[str, float]) -> None:
    """Raises UserError, which names the part, where a part's share of the training's tokens is less than one step."""
    for name, share in shares.items():
        if settings.tokens is not None and settings.tokens * share < settings.batch_tokens:
            raise UserError(
                f"part {name!r}: its share of train.tokens, {share:.3g} of {settings.tokens}, is less than one step (train.batch_tokens "
                f"{settings.batch_tokens}); raise train.tokens, lower train.batch_tokens, or give it a larger share"
            )


def _describe_fit(run: Run, turn: Round, plan: Mapping[str, Any], settings: TrainSettings, seed: int | None) -> dict[str, object]:
    inputs = {
        "code": TRAINING_VERSION,
        "plan": plan,
        "train": settings.identity(),
        "seed": seed,
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
        "start": adapters.resolve(turn.start).sha256 if turn.start else None,
    }
    if has_marks(run.base.chat_template):  # an empty block was a part of the answer once, which no other template knows
        inputs["thinking"] = "before the answer"
    return inputs


def evaluate_stage(run: Run, model: Measured) -> Stage:
    """Everything that determines the scores of one model."""
    suite, asked = run.suite, run.tasks_of(model)
    tasks: dict[str, dict[str, float | str | None]] = {}
    for task, origin in run.data.items():
        if task in asked:
            tasks[task] = {"version": index.version_of(task) or run.foreign.get(task), "data": origin.sha256 if origin else None}
            if task in run.articles:
                tasks[task]["articles"] = run.articles[task]
    inputs = {
        "base": run.base.sha256,
        "chat_template": run.base.chat_template_sha,
        "adapter": adapters.resolve(model.adapter).sha256 if model.adapter else None,
        "tasks": tasks,
        "evaluate": suite.evaluate.identity(),
        "engine": suite.engine.identity(),
    }
    return Stage("evaluate", model.name, inputs)


def share_stage(run: Run, share: Share) -> Stage:
    """All that determines what a model is asked in one share of its items."""
    return Stage("share", share.name, {**evaluate_stage(run, share.model).inputs, "share": [share.number, share.of]})
