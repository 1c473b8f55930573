"""What is published of an adapter: its facts gathered from the run, its files without paths of this machine, and a scan of them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict, cast

import yaml

from xlift.harness.core import secrets
from xlift.harness.core.errors import UserError
from xlift.harness.core.manifests import SourceFacts
from xlift.harness.core.store import MANIFEST, RESOLVED, parse_json, read_object
from xlift.harness.evaluation.records import Measurement, Record, make_public, read_measurements
from xlift.harness.models import encoders, masks, module, steering
from xlift.harness.models.adapters import CARD, CONFIG, FULL, MASK, WEIGHTS, Adapter, Provenance, hash_weights, resolve
from xlift.harness.models.bases import ModelFacts
from xlift.harness.models.smollm2 import EMBEDDED
from xlift.leaderboard.loading.record import STATE
from xlift.tasks.licences import list_possible

README, EVALUATION, EVAL_RESULTS = "README.md", "evaluation.json", ".eval_results/xlift.yaml"

EMBEDDED_HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""The name on the hub of the model in the embedded package."""

TRAINING_STATE = {".bin", ".ckpt", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
TEXTS = {".arrow", ".csv", ".jsonl", ".parquet", ".tsv"}


@dataclass(frozen=True)
class HubBase:
    """The base model as the hub knows it."""

    id: str
    revision: str | None
    """Its commit, if it was loaded from the hub."""
    local: str
    """The name in xlift's own commands: that of the embedded model, else ``id``."""


class Difference(TypedDict):
    """Adapter minus base, turned so that more is better, with its 95 % interval if there are enough items for one."""

    value: float
    low: NotRequired[float]
    high: NotRequired[float]


@dataclass(frozen=True)
class Facts:
    """Everything that a card says about one adapter, as its run recorded it."""

    repository: str
    adapter: Adapter
    made: Provenance
    """``xlift.json`` without paths of this machine."""
    base: HubBase
    measured: Measurement | None
    """None if the adapter was not measured."""
    base_measured: Measurement | None
    lifts: Mapping[tuple[str, str], Difference]
    """The difference from the base by (task, metric)."""
    leaderboard: str | None = None
    """The address of its row on a leaderboard."""

    @property
    def is_foreign(self) -> bool:
        """Whether xlift did not train it, so that only its files and its scores are known."""
        return "method" not in self.made

    @property
    def name(self) -> str:
        return self.repository.partition("/")[2]

    @property
    def record(self) -> Record | None:
        return self.measured.record if self.measured else None

    @property
    def base_record(self) -> Record | None:
        return self.base_measured.record if self.base_measured else None

    @property
    def sources(self) -> list[SourceFacts]:
        """The corpora by part and language."""
        data = self.made.get("data") or {}
        if "sources" in data:
            return [{**source, "certain": True} for source in data["sources"]]
        named = [name.rpartition("/") for name in data.get("corpora", ())]
        found = dict.fromkeys(source for corpus, _, lang in named for source in list_possible(corpus, lang))
        return [SourceFacts(name=one.name, lang=one.lang, licence=one.facts()["licence"], certain=False) for one in found]


@dataclass(frozen=True)
class File:
    """One file as the hub will hold it."""

    path: str
    content: bytes | Path

    def read(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size

    @property
    def sha256(self) -> str:
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        with self.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def find_run(adapter: Path, given: Path | None) -> Path | None:
    """The run folder of an adapter: the one that is given, or the one that contains it. Raises UserError if the given one is no run
    folder."""
    if given is not None:
        if not (given / RESOLVED).is_file():
            raise UserError(f"--suite {given}: no {RESOLVED} in it, so not a run folder; name one such as runs/demo")
        return given
    return next((parent for parent in adapter.resolve().parents[:2] if (parent / RESOLVED).is_file()), None)


def find_measurements(run: Path, sha256: str) -> tuple[Measurement | None, Measurement | None]:
    """The newest measurement of an adapter's own weights in a run, and the base's; None if there is none."""
    found = read_measurements([run]) if any(run.glob(f"evaluate-*/{MANIFEST}")) else []
    own = [one for one in found if (one.record.adapter or {}).get("sha256") == sha256]
    bases = [one for one in found if one.record.label == "base"]
    return (own[-1] if own else None), (bases[-1] if bases else None)


def gather(place: Path, repository: str, run: Path | None, *, leaderboard: str | None = None, foreign: bool = False) -> Facts:
    """Everything that is known of a trained adapter. Raises UserError for a base without a name on the hub, and for a folder that xlift did
    not write, unless it is said to be ``foreign``: then only its files and its measurement are used."""
    check_name(repository)
    _refuse_strangers(place)
    adapter = resolve(place)
    card = read_object(place / CARD) if (place / CARD).is_file() else {}
    if "method" not in card:
        if foreign:
            return _gather_foreign(adapter, repository, run, leaderboard)
        raise UserError(
            f"adapter {place}: no {CARD} that names a method, so xlift did not train it; --foreign pushes it "
            "with a card of what its files and its scores say"
        )
    made = cast(Provenance, card)
    measured, base_measured = find_measurements(run, adapter.sha256) if run else (None, None)
    base = name_base(made, run)
    made = cast(Provenance, {**make_public(made), "base": {**made["base"], "name": base.id}})
    return Facts(repository, adapter, made, base, measured, base_measured, {}, leaderboard)


def _gather_foreign(adapter: Adapter, repository: str, run: Path | None, leaderboard: str | None) -> Facts:
    """What can be known of an adapter without ``xlift.json``: its files, and its measurement in a run."""
    measured, base_measured = find_measurements(run, adapter.sha256) if run else (None, None)
    if measured:
        named = cast(ModelFacts, {key: measured.record.base.get(key) for key in ("name", "revision", "sha256")})
        base = name_base({"base": named}, run)
    elif adapter.base_name and re.fullmatch(r"[\w.-]+/[\w.-]+", adapter.base_name):
        base, named = HubBase(adapter.base_name, None, adapter.base_name), ModelFacts(revision=None)
    else:
        raise UserError(
            f"adapter {adapter.name}: its {CONFIG} names {adapter.base_name or 'nothing'} as its base, which is no repository; write "
            "the base's "
            "name on the hub, ORG/NAME, as base_model_name_or_path, or measure the adapter and give its run with --suite"
        )
    made = Provenance(base=cast(ModelFacts, {**named, "name": base.id}))
    return Facts(repository, adapter, made, base, measured, base_measured, {}, leaderboard)


def name_base(made: Provenance, run: Path | None) -> HubBase:
    """The base's name on the hub: the suite's ``base.hub_id``, or the name by which it was loaded. Raises UserError if it has neither.

    A ``hub_id`` that was added after the training counts too, if the suite that is now in ``run`` names the base as it was named then.
    """
    recorded = made.get("base") or {}
    name, revision = str(recorded.get("name", "")), str(recorded.get("revision") or "")
    commit = revision if re.fullmatch(r"[0-9a-f]{40}", revision) else None
    given = ((made.get("settings") or {}).get("base") or {}).get("hub_id")
    if given is None and run is not None:
        now = read_object(run / RESOLVED).get("base") or {}
        given = now.get("hub_id") if now.get("model") == name else None
    if given:
        return HubBase(given, commit, given)
    if name == EMBEDDED:
        return HubBase(EMBEDDED_HUB_ID, None, EMBEDDED)
    if commit and re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return HubBase(name, commit, name)
    where = "set base.hub_id: ORG/NAME in the suite and run it again (nothing is trained anew)"
    raise UserError(f"base {Path(name).name!r} was loaded from a folder, and the hub takes a base only by its name there; {where}")


def check_name(repository: str) -> None:
    """Raise UserError for a text that cannot be the name of a repository on the hub."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise UserError(f"{repository!r}: not a hub name ORG/NAME ({' '.join(str(error).split())})") from None
    if repository.count("/") != 1:
        raise UserError(f"{repository!r}: write the owner too, ORG/NAME")


def collect(facts: Facts, card: str, results: str | None = None) -> list[File]:
    """The files of the repository, ``results`` for ``.eval_results``. Raises UserError naming one that must not be published."""
    folder, files = facts.adapter.folder, []
    if facts.adapter.peft_type == FULL:
        files = [File(path.name, path) for path in sorted(folder.iterdir()) if path.is_file() and path.name not in (CARD, README)]
    elif facts.adapter.peft_type == MASK:
        files = [File(masks.FILE, folder / masks.FILE)]
    elif facts.adapter.has_weights:
        config = read_object(folder / CONFIG)
        named = {"base_model_name_or_path": facts.base.id, "revision": facts.base.revision}
        files = [File(WEIGHTS, folder / WEIGHTS), _write_json(CONFIG, {**config, **named})]
    elif facts.adapter.steer:
        files = [File(steering.ARRAYS, folder / steering.ARRAYS)]
    elif facts.adapter.module:
        encoders.require_public(facts.adapter.module)
        files = [File(module.FILE, folder / module.FILE)]
    weights = {"weights_sha256": files[0].sha256 if facts.adapter.steer else hash_weights(folder)} if files else {}
    files += [File(README, card.encode()), _write_json(CARD, {**facts.made, **weights})]
    if facts.record:
        held = {"adapter": _publish(facts.record, facts), "base": _publish(facts.base_record, facts)}
        files.append(_write_json(EVALUATION, held))
    files += [File(EVAL_RESULTS, results.encode())] if results else []
    variables = secrets.name_variables(facts.made.get("settings") or {})
    for file in files:
        # A tokenizer's words may look like paths; what we write ourselves may not hold any.
        scan(file, paths=facts.adapter.peft_type != FULL or isinstance(file.content, bytes), variables=variables)
    return sorted(files, key=lambda file: file.path)


def scan(file: File, *, paths: bool = True, variables: Collection[str] = ()) -> None:
    """Raise UserError for a file that contains a secret or, with ``paths``, a path of a machine.

    Secrets are tokens by their form, the hub's token of this machine, and the values of environment variables: those in ``variables``, and
    those whose names look secret.
    """
    from huggingface_hub import get_token

    for text in _texts(file):
        if found := secrets.ISSUED.search(text) or _BEARER.search(text):
            raise UserError(f"{file.path}: holds what looks like a token ({found[0][:6]}...); it is not published")
        data = text.encode("utf-8", "surrogatepass")
        if (token := get_token()) and token.encode() in data:
            raise UserError(f"{file.path}: holds the hub's token of this machine; it is not published")
        if variable := secrets.find_variable(data, variables):
            raise UserError(f"{file.path}: holds the value of the environment variable {variable}; it is not published")
        if paths and (found := _PATH.search(text)):
            raise UserError(f"{file.path}: names a path of this machine ({found[0]}); it is not published")


_PATH = re.compile(r"(?<![\w.:/<>~*}-])(?:~/|file:///?|/(?:[\w.+@-]+/)+)[\w.+@-]+|\b[A-Za-z]:\\[\w.-]+")
_BEARER = re.compile(r"(?i)\bbearer\s+[\w.~+/-]{16,}")


def _texts(file: File) -> Iterator[str]:
    """The readable texts in a file: the strings of JSON after decoding, a safetensors file's header, other text as it is."""
    if file.path.endswith(".json"):
        yield from _strings(parse_json(file.read()))
    elif file.path.endswith(".safetensors") and isinstance(file.content, Path):
        with file.content.open("rb") as weights:
            yield from _strings(json.loads(weights.read(int.from_bytes(weights.read(8), "little"))).get("__metadata__", {}))
    else:
        yield file.read().decode("utf-8", errors="replace")


def _strings(value: object) -> Iterator[str]:
    """All keys and texts, at any depth."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*map(str, one), *one.values()]
        elif isinstance(one, Sequence):
            left += one


def _publish(record: Record | None, facts: Facts) -> dict[str, object] | None:
    """A record as others may read it: samples are left out, and names are those of the hub."""
    if record is None:
        return None
    values = make_public(record.model_dump(mode="json"))
    values["base"]["name"] = facts.base.id
    if values["adapter"]:
        values["adapter"] |= {"name": facts.repository, "base_name": facts.base.id}
    values["tasks"] = {task: {**result, "samples": None} for task, result in values["tasks"].items()}
    return dict(values)


def _write_json(path: str, value: object) -> File:
    return File(path, (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())


def _refuse_strangers(folder: Path) -> None:
    """Raise UserError for training state and rows, which do not belong in the folder of a published adapter, even if they would not be
    sent."""
    if inner := sorted(folder.glob("fit-*/adapter")):
        raise UserError(f"{folder}: a run folder; name one of its adapters, such as {inner[0]}, or say --all for every one")
    if (folder / STATE).is_file():
        raise UserError(f"{folder}: a record, which holds no adapter; `xlift site {folder} --push ORG/NAME` publishes a board of it")
    if (folder / "index.html").is_file():
        raise UserError(f"{folder}: a site, which holds no adapter; `xlift site RESULTS --out {folder} --push ORG/NAME` publishes it")
    for path in sorted(folder.rglob("*")):
        if path.suffix in TRAINING_STATE:
            raise UserError(f"{path}: pickled weights or training state, which is never published; take it out of the folder")
        if path.suffix in TEXTS:
            raise UserError(f"{path}: may hold text under a licence of its own, which is never published; take it out of the folder")


def write_settings(facts: Facts) -> str | None:
    """The suite with which the adapter was made, as YAML, without empty keys; None if an older xlift did not keep it."""
    settings = facts.made.get("settings")
    if not settings:
        return None
    base = {"model": facts.base.local, "revision": facts.base.revision}
    return yaml.safe_dump(_prune({**settings, "base": base}), sort_keys=False, allow_unicode=True)


def _prune(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _prune(inner) for key, inner in value.items() if inner is not None and inner not in ({}, [])}
    return value
