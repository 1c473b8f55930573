"""Adapters: PEFT weights, whole weights, a mask, or a profile alone. They are found in a folder or on the hub, checked against a base
model, and merged into its weights."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Required, TypedDict

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.manifests import CodeFacts, FitFacts, Manifest, PartFacts, ProfileFacts
from xlift.harness.core.settings import read_section
from xlift.harness.core.store import parse_json
from xlift.harness.core.types import Json
from xlift.harness.models import encoders, masks, steering
from xlift.harness.models.bases import Base, ModelFacts
from xlift.harness.models.download import download
from xlift.harness.models.module import FILE as PROJECTION
from xlift.harness.models.module import Module
from xlift.harness.models.policy import Policy
from xlift.harness.models.profile import InferenceProfile
from xlift.harness.models.steering import Steer, read_steer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

logger = logging.getLogger(__name__)

CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "xlift.json"
HUB = "hub:"
PREFIX = "base_model.model."
PROFILE = "PROFILE"
"""The ``peft_type`` of an adapter that is a profile without weights."""
FULL = "FULL"
"""The ``peft_type`` of a model of its own, whose weights were trained themselves."""
MASK = "MASK"
"""The ``peft_type`` of a mask, which sets some of the base's weights to 0."""
POLICY = "POLICY"
"""The ``peft_type`` of a choice among profiles, which is made for each request."""
STEER = "STEER"
"""The ``peft_type`` of moves of states, which leave the base's weights as they are."""
MODULE = "MODULE"
"""The ``peft_type`` of a trained projection, with which the base reads what an encoder has read of the prompt."""
MODEL = "model*.safetensors"
"""The files of whole weights."""


class NamedBase(TypedDict, total=False):
    """What is read of the ``base`` of a suite."""

    model: str
    revision: str | None
    hub_id: str | None


class SuiteFacts(TypedDict, total=False):
    """What is read of a suite as plain data."""

    base: NamedBase


class Provenance(TypedDict, total=False):
    """How an adapter was made, as its training writes it into ``xlift.json``."""

    method: str
    code: CodeFacts
    label: str
    """The method's label in the suite."""
    options: Mapping[str, Json]
    languages: list[str]
    """The trained languages, without the pivot."""
    pivot: str
    round: int
    base: Required[ModelFacts]
    profile: ProfileFacts | None
    policy: Mapping[str, Json]
    """How a profile is chosen for each request, where one is (models.policy.Policy)."""
    steer: Mapping[str, Json]
    """What is moved, if the adapter is moves of states (models.steering.Steer)."""
    module: Mapping[str, Json]
    """The encoder beside the base and how it is read, if there is one (models.module.Module)."""
    data: Manifest
    """The manifest of the prepare stage."""
    fit: FitFacts
    part: str
    """The name of the part, if it is one part of a plan."""
    parts: Mapping[str, PartFacts]
    """The parts that were put together, if there were any."""
    masked: int
    """The number of weights that a mask sets to 0."""
    suite: str
    """The name of the suite."""
    settings: SuiteFacts
    """The suite as it was resolved for this training, with only the adapter's method and seed."""
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Adapter:
    """A PEFT adapter on disk, with safetensors weights, which xlift need not have trained. It may also be whole weights in place of the
    base's, a mask of these, or only a profile for the base's own weights."""

    name: str
    """The name that was asked for: a folder or ``hub:ORG/NAME@REVISION``."""
    folder: Path
    revision: str | None
    """The commit of a hub repository; None for a folder."""
    sha256: str
    """The hash of its weights, its configuration and its profile together."""
    peft_type: str
    base_name: str | None
    """``base_model_name_or_path``, which may be a path on another machine."""
    base_sha256: str | None
    """The hash of the base's weights, if ``xlift.json`` records it."""
    profile: InferenceProfile | None = field(default=None, hash=False)
    """How it must be asked and read, if ``xlift.json`` says so."""
    policy: Policy | None = field(default=None, hash=False)
    """How a profile is chosen for each request, if ``xlift.json`` says so."""
    steer: Steer | None = field(default=None, hash=False)
    """How the base's states are moved while it answers, if ``xlift.json`` says so."""
    module: Module | None = field(default=None, hash=False)
    """The encoder that reads a prompt too, if ``xlift.json`` says so."""

    @property
    def place(self) -> str:
        """Where it can be found again from anywhere on this machine: its folder, or the hub reference that was asked for."""
        return self.name if self.name.startswith(HUB) else str(self.folder)

    @property
    def short_name(self) -> str:
        """Its place as others may read it: a hub reference, else the folder's name with that of the fit stage."""
        if self.name.startswith(HUB):
            return self.name
        stage = self.folder.parent.name
        return f"{stage}/{self.folder.name}" if stage.startswith("fit-") else self.folder.name

    @property
    def has_weights(self) -> bool:
        """False for profiles without weights, for moves of states and for an encoder, with which the base's own weights answer."""
        return self.peft_type not in (PROFILE, POLICY, STEER, MODULE)

    @property
    def is_more_than_profile(self) -> bool:
        """Whether the base would give another answer to the same words."""
        return self.peft_type not in (PROFILE, POLICY)

    @property
    def inside(self) -> str:
        """What it does inside the base, which only the hf backend can do; empty for most adapters."""
        return "moves hidden states" if self.steer else "puts embeddings before a prompt" if self.module else ""

    def facts(self) -> ModelFacts:
        """The facts that a record keeps of it."""
        return {
            "name": self.short_name,
            "revision": self.revision,
            "sha256": self.sha256,
            "peft_type": self.peft_type,
            "base_name": self.base_name,
        }


def resolve(ref: str | Path) -> Adapter:
    """Find an adapter: a folder, or ``hub:ORG/NAME[@revision]``.

    Raises UserError for a missing folder or file, pickled weights, and files that cannot be read whole.
    """
    folder, revision = _locate(str(ref))
    card = _read_json(folder / CARD) if (folder / CARD).is_file() else {}
    place, recorded = str(folder / CARD), card.get("base")
    named = recorded.get("name") if isinstance(recorded, Mapping) else None
    profile, policy = read_section(InferenceProfile, card, "profile", place), read_section(Policy, card, "policy", place)
    steer, module = read_steer(card, folder), read_section(Module, card, "module", place)
    if policy:
        config, parts = _read_policy(folder, policy)
    elif steer or module:
        config, parts = _read_inside(folder, steer, module)
    else:
        config, parts = _read_weights(folder, profile)
    if profile is not None:
        # Only what differs from the defaults, so that a field that is added later moves no hash.
        parts += [json.dumps(profile.model_dump(mode="json", exclude_defaults=True), sort_keys=True).encode()]
    return Adapter(
        name=str(ref),
        folder=folder,
        revision=revision,
        sha256=hashlib.sha256(b"".join(parts)).hexdigest(),
        peft_type=str(config["peft_type"]),
        base_name=str(config.get("base_model_name_or_path") or named or "") or None,
        base_sha256=recorded.get("sha256") if isinstance(recorded, Mapping) else None,
        profile=profile,
        policy=policy,
        steer=steer,
        module=module,
    )


def check(adapter: Adapter, base: Base) -> None:
    """Refuse an adapter that was made for another base, or that does not change the weights.

    The weights' hash in ``xlift.json`` decides if it is recorded. Otherwise the shape of every tensor is compared with what PEFT would
    build on this base. Another name of the base only causes a warning, because mirrors and local paths have other names for the same model.
    For a profile without weights, only the recorded hash can be checked. Raises UserError.
    """
    if adapter.base_sha256 and adapter.base_sha256 != base.sha256:
        raise UserError(
            f"adapter {adapter.name}: trained on another base ({adapter.base_name or 'unnamed'}, sha256 {adapter.base_sha256[:12]}), "
            f"not on {base.name} (sha256 {base.sha256[:12]}); set base.model to that base"
        )
    if adapter.steer:
        steering.check_base(adapter.steer, adapter.folder, base, adapter.name)
    if adapter.module:
        encoders.check_base(adapter.module, adapter.folder, base, adapter.name)
    if not adapter.has_weights:
        return
    shapes = {FULL: _whole_shapes, MASK: _mask_shapes}.get(adapter.peft_type, _adapter_shapes)
    wrong = _first_difference(*shapes(adapter, base))
    if wrong:
        named = f"; it names {adapter.base_name!r} as its base" if adapter.base_name else ""
        raise UserError(f"adapter {adapter.name}: does not fit base {base.name}: {wrong}{named}")
    if adapter.peft_type == MASK:
        masks.read_masks(adapter.folder)
    elif adapter.peft_type != FULL:
        _check_trained(adapter)
    same = {Path(base.name).name.lower(), base.folder.name.lower()}
    if not adapter.base_sha256 and adapter.base_name and Path(adapter.base_name).name.lower() not in same:
        logger.warning("adapter %s names %s as its base, not %s; its shapes fit, so it is used", adapter.name, adapter.base_name, base.name)


def merge(adapter: Adapter, base: Base, dtype: str) -> PreTrainedModel:
    """The base as a transformers model with the adapter merged in: in fp32 through PEFT, then cast to ``dtype`` (bfloat16, ...).

    Memory is one fp32 copy of the model and one in ``dtype``. Raises UserError for an adapter that cannot be merged, holds values that are
    not finite, or changes nothing after the cast.
    """
    import torch
    from transformers import AutoModelForCausalLM

    target = getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(base.folder, use_safetensors=True, dtype=torch.float32)
    before = {name: tensor.detach().to(target, copy=True) for name, tensor in model.named_parameters()}
    if adapter.peft_type == FULL:
        config = model.config
        del model
        merged = _load_whole(adapter, config)
    elif adapter.peft_type == MASK:
        masks.apply_masks(model, adapter.folder)
        merged = model
    else:
        merged = _merged(adapter, model)
    # A sum is finite only where all that it adds is, and takes a tenth of the time; one that overflows is looked at again.
    if not all(bool(tensor.sum().isfinite() or tensor.isfinite().all()) for tensor in merged.parameters()):
        raise UserError(f"adapter {adapter.name}: its weights hold values that are not finite (NaN or infinity)")
    for weight in merged.parameters():
        # Not what no file holds, such as the frequencies of rotary positions: a model that is loaded in these numbers has them exact.
        weight.data = weight.data.to(target)
    if all(name in before and torch.equal(before[name], tensor) for name, tensor in merged.named_parameters()):
        raise UserError(f"adapter {adapter.name}: leaves the weights (so the logits) of {base.name} unchanged in {dtype}; train it again")
    return merged


def _load_whole(adapter: Adapter, config: PreTrainedConfig) -> PreTrainedModel:
    """Whole weights as a model of the base's configuration: what the adapter's own says, which may be anybody's, is not asked."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(adapter.folder, config=config, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f"adapter {adapter.name}: its weights cannot be loaded: {one_line(error)}") from error


def hash_weights(folder: Path) -> str | None:
    """The sha256 of an adapter's weights. For whole weights in several files it is that of their hashes. None for a profile without
    weights."""
    single = [folder / name for name in (WEIGHTS, masks.FILE, PROJECTION) if (folder / name).is_file()]
    files = single[:1] or sorted(folder.glob(MODEL))
    hashes = [file_sha256(path) for path in files]
    if len(hashes) < 2:
        return hashes[0] if hashes else None
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def count_weights(adapter: Adapter) -> int:
    """The number of weights that an adapter holds; 0 for a profile without weights."""
    files = [adapter.folder / WEIGHTS] if (adapter.folder / WEIGHTS).is_file() else adapter.folder.glob(MODEL)
    return sum(prod(shape) for path in files for shape in tensor_shapes(path).values())


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The name and shape of each tensor of a safetensors file, from its header. Raises UserError for a file that is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({one_line(error)}); fetch or train it again") from None
    if not shapes:
        raise UserError(f"{path}: holds no tensors")
    return shapes


def _locate(ref: str) -> tuple[Path, str | None]:
    if ref.startswith(HUB):
        repository, _, revision = ref.removeprefix(HUB).partition("@")
        folder = download(repository, revision or None, "adapter")
        return folder, folder.name
    folder = Path(ref).expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"adapter {ref}: no such folder; for a hub repository write hub:{ref if ref.count('/') == 1 else 'ORG/NAME'}")
    return folder, None


def _read_weights(folder: Path, profile: InferenceProfile | None) -> tuple[dict[str, object], list[bytes]]:
    """The adapter's configuration, and the bytes of which its hash is made."""
    if not (folder / CONFIG).is_file() and (shards := sorted(folder.glob(MODEL))) and (folder / "config.json").is_file():
        # Hashed file by file, as whole weights are too large to be held at once.
        hashes = [f"{path.name}: {file_sha256(path)}".encode() for path in shards if tensor_shapes(path)]
        return {"peft_type": FULL}, [*hashes, (folder / "config.json").read_bytes()]
    if (folder / masks.FILE).is_file():
        tensor_shapes(folder / masks.FILE)
        return {"peft_type": MASK}, [(folder / masks.FILE).read_bytes()]
    if profile is not None and not any(folder.glob("adapter_*")):
        if not profile.languages:
            raise UserError(f"adapter {folder}: neither weights, nor a profile that changes anything")
        return {"peft_type": PROFILE}, []
    config = _read_json(folder / CONFIG)
    if not config.get("peft_type"):
        raise UserError(f"adapter {folder}: {CONFIG} names no peft_type, so not a PEFT adapter")
    tensor_shapes(_weights(folder))
    return config, [(folder / name).read_bytes() for name in (WEIGHTS, CONFIG)]


def _read_policy(folder: Path, policy: Policy) -> tuple[dict[str, object], list[bytes]]:
    if any(folder.glob("*.safetensors")):
        raise UserError(f"adapter {folder}: both weights and a choice among profiles; keep them in folders of their own")
    return {"peft_type": POLICY}, [json.dumps(policy.model_dump(mode="json", exclude_defaults=True), sort_keys=True).encode()]


def _read_inside(folder: Path, steer: Steer | None, module: Module | None) -> tuple[dict[str, object], list[bytes]]:
    """The same of an adapter that does something inside the base."""
    what = "moves of states" if steer else "the projection of an encoder"
    if any(folder.glob("adapter_*")):
        raise UserError(f"adapter {folder}: both weights and {what}; keep them in folders of their own")
    if module:
        encoders.read_weights(folder)
        # Not where the encoder lies, as its own hash says which it is.
        said = module.model_dump(mode="json", exclude_defaults=True, exclude={"encoder", "revision"})
        return {"peft_type": MODULE}, [(folder / PROJECTION).read_bytes(), json.dumps(said, sort_keys=True).encode()]
    said = steer.model_dump(mode="json", exclude_defaults=True) if steer else {}
    return {"peft_type": STEER}, [(folder / steering.ARRAYS).read_bytes(), json.dumps(said, sort_keys=True).encode()]


def _weights(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    if any(folder.glob("adapter_model.*bin")):
        raise UserError(f"adapter {folder}: pickled weights (adapter_model.bin) are not loaded; save it again with safetensors")
    raise UserError(f"adapter {folder}: no {WEIGHTS}")


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"adapter {path.parent}: no {path.name}, so not a PEFT adapter") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds no mapping")
    return values


@lru_cache(maxsize=1)  # asked for before the engine is loaded, and again by its swap
def _expected_shapes(adapter: Adapter, base: Base) -> dict[str, tuple[int, ...]]:
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
    from transformers import AutoConfig, AutoModelForCausalLM

    with _peft_errors(adapter, f"does not fit base {base.name}"):
        config = PeftConfig.from_pretrained(str(adapter.folder))
        if config.is_prompt_learning or config.is_adaption_prompt:
            raise UserError(f"adapter {adapter.name}: {adapter.peft_type} adds prompts, not weights, and cannot be merged or swapped")
        if hasattr(config, "init_lora_weights"):
            config.init_lora_weights = True  # the initial values are not looked at, and some need the base's values
        with torch.device("meta"):
            bare = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base.folder))
            model = get_peft_model(bare, config, low_cpu_mem_usage=True)
        shapes = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(model, save_embedding_layers=False).items()}
        whole = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    # An adapter may bring whole weights along, such as embeddings: PEFT loads them into the base.
    return {**{name: whole[name] for name in tensor_shapes(adapter.folder / WEIGHTS) if name in whole}, **shapes}


def _adapter_shapes(adapter: Adapter, base: Base) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The shapes of an adapter, and those that PEFT would build on the base."""
    return tensor_shapes(adapter.folder / WEIGHTS), _expected_shapes(adapter, base)


def _whole_shapes(adapter: Adapter, base: Base) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The shapes of whole weights, and those of the base. A copy of tied embeddings does not count as a tensor."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    found = {name: shape for path in sorted(adapter.folder.glob(MODEL)) for name, shape in tensor_shapes(path).items()}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base.folder))
    wanted = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    return {name: shape for name, shape in found.items() if name in wanted or name not in model.state_dict()}, wanted


def _mask_shapes(adapter: Adapter, base: Base) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The shapes of packed masks, and those that masks of the base's weights with the same names would have."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base.folder))
    found = tensor_shapes(adapter.folder / masks.FILE)
    return found, {name: masks.pack_shape(tuple(weight.shape)) for name, weight in model.named_parameters() if name in found}


def _check_trained(adapter: Adapter) -> None:
    from safetensors.torch import load_file  # numpy knows no bfloat16

    tensors = load_file(adapter.folder / WEIGHTS)
    halves = [name for name in tensors if ".lora_B" in name or ".lora_embedding_B" in name]
    others = [name for name in tensors if ".lora_" not in name]
    if halves and not others and not any(bool(tensors[name].any()) for name in halves):
        raise UserError(f"adapter {adapter.name}: every lora_B is zero, so the logits stay unchanged; it was not trained")


def _first_difference(found: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str | None:
    for name, shape in expected.items():
        if name not in found:
            return f"{name.removeprefix(PREFIX)} is missing"
        if found[name] != shape:
            return f"{name.removeprefix(PREFIX)} has shape {found[name]}, the base needs {shape}"
    return next((f"{name.removeprefix(PREFIX)} has no place in it" for name in found if name not in expected), None)


def _merged(adapter: Adapter, model: PreTrainedModel) -> PreTrainedModel:
    from peft import PeftModel

    tied = model.config.tie_word_embeddings
    with _peft_errors(adapter, "cannot be merged"):
        tuned = PeftModel.from_pretrained(model, str(adapter.folder))
        if not callable(getattr(tuned, "merge_and_unload", None)):
            raise UserError(f"adapter {adapter.name}: {adapter.peft_type} cannot be merged into the weights")
        merged = tuned.merge_and_unload()
    if tied and not merged.config.tie_word_embeddings:  # PEFT unties them where it has to, which the loaded model cannot follow
        raise UserError(f"adapter {adapter.name}: changes the output layer alone, whose weights this base shares with its embeddings")
    return merged


@contextmanager
def _peft_errors(adapter: Adapter, what: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"adapter {adapter.name}: {what}: {one_line(error)}") from error
