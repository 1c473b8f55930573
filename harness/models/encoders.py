"""Encoders on disk: where they come from, what they can read, and the weights of the projection that is trained for one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import weights_sha256
from xlift.harness.core.languages import find
from xlift.harness.models.bases import Base
from xlift.harness.models.download import FILES, download, find_download
from xlift.harness.models.module import BOUNDARY, FILE, FIRST, Module
from xlift.harness.models.shape import read_shape

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Encoder:
    """An encoder on disk."""

    folder: Path
    sha256: str
    hidden: int
    languages: frozenset[str]
    """Codes that its makers' card lists; empty where it lists none."""


def resolve(module: Module, *, fetch: bool = True) -> Encoder | None:
    """Find an encoder; None for one on the hub that is not on this machine, where nothing shall be fetched.

    Raises UserError for what cannot be found or is no encoder with safetensors, and for other weights than those of ``sha256``.
    """
    folder = _locate(module, fetch)
    if folder is None:
        return None
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{module.title}: no safetensors; pickled weights are not loaded, save it again with safetensors")
    found = Encoder(folder, weights_sha256(folder), _read_hidden(module, folder), _read_languages(folder))
    if module.sha256 and found.sha256 != module.sha256:
        raise UserError(
            f"{module.title}: not the one that the adapter was trained with (its sha256 is {found.sha256[:12]}, not {module.sha256[:12]})"
        )
    return found


def check_languages(module: Module, encoder: Encoder, languages: Iterable[str]) -> None:
    """Raises UserError for a language that is not among those that the encoder's makers list, or whose writing its tokenizer does not know,
    and for an encoder that must be told the language of a text."""
    tokenizer = load_tokenizer(module, encoder)
    if hasattr(tokenizer, "src_lang") or hasattr(tokenizer, "lang_code_to_token"):
        raise UserError(f"{module.title}: must be told which language a text is in, which is not known of a prompt; take one as mT5's")
    for language in map(find, languages):
        if encoder.languages and language.code.partition("-")[0] not in encoder.languages:
            raise UserError(
                f"{module.title}: its makers do not list {language.name} ({language.code}); train other languages, or name another"
            )
        unknown, name = tokenizer.unk_token_id, language.own_name or language.name
        if unknown is not None and unknown in tokenizer(name).input_ids:
            raise UserError(f"{module.title}: its tokenizer does not know the writing of {language.name} ({language.code}), as in {name!r}")


def require_public(module: Module) -> None:
    """Raises UserError for an encoder that others do not find, as it is a folder of this machine."""
    if Path(module.encoder).expanduser().is_dir() or module.encoder.count("/") != 1:
        raise UserError(f"{module.title}: a folder of this machine, which nobody finds on the hub; name a repository ORG/NAME in its place")


def load_tokenizer(module: Module, encoder: Encoder) -> PreTrainedTokenizerBase:
    """The encoder's tokenizer."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(encoder.folder)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise UserError(f"{module.title}: its tokenizer does not load: {one_line(error)}") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The projection and the boundary of a folder. Raises UserError for a damaged file, and for what is no number or untrained."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: dict[str, Tensor] = load_file(folder / FILE)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{folder / FILE}: not a whole safetensors file ({one_line(error)}); fetch or make it again") from None
    if not all(bool(tensor.isfinite().all()) for tensor in found.values()):
        raise UserError(f"{folder / FILE}: holds values that are not finite (NaN or infinity)")
    if missing := [name for name in (FIRST, BOUNDARY) if name not in found]:
        raise UserError(f"{folder / FILE}: has no {missing[0]}, so it is no projection of an encoder's states")
    if not bool(found[BOUNDARY].any()):
        raise UserError(f"{folder / FILE}: the boundary is zero, as before any training; train it again")
    return found


def check_base(module: Module, folder: Path, base: Base, name: str) -> None:
    """Raises UserError where the embeddings that the projection makes are not of the base's size, or it does not fit the encoder."""
    weights, shape = read_weights(folder), read_shape(base)
    size = len(weights[BOUNDARY])
    if shape and size != shape.hidden:
        raise UserError(f"adapter {name}: makes embeddings of {size} numbers, those of {base.name} have {shape.hidden}")
    encoder = resolve(module)
    first = weights[FIRST].shape[1]
    if encoder and first != encoder.hidden:
        raise UserError(f"adapter {name}: is for an encoder of {first} numbers, the states of {module.encoder} have {encoder.hidden}")


def count_numbers(module: Module, folder: Path) -> int:
    """All weights beside the base's: those of the projection, and of the encoder's file."""
    from safetensors import safe_open

    encoder, total = resolve(module), sum(int(tensor.numel()) for tensor in read_weights(folder).values())
    for path in encoder.folder.glob("*.safetensors") if encoder else ():
        with safe_open(path, framework="np") as file:
            for key in file.keys():  # noqa: SIM118 (no mapping)
                if not key.startswith(("decoder.", "lm_head.")):
                    total += prod(int(width) for width in file.get_slice(key).get_shape())
    return total


def _locate(module: Module, fetch: bool) -> Path | None:
    path = Path(module.encoder).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file() or module.encoder.startswith(("/", ".", "~")) or module.encoder.count("/") != 1:
        raise UserError(f"{module.title}: neither a folder nor a hub repository ORG/NAME")
    if fetch:
        return download(module.encoder, module.revision, module.title, (*FILES, "README.md"))
    folder = find_download(module.encoder, module.revision)
    return folder if folder and any(folder.glob("*.safetensors")) else None


def _read_hidden(module: Module, folder: Path) -> int:
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return int(config.get("d_model") or config["hidden_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{module.title}: config.json does not say how large its states are (d_model or hidden_size)") from None


def _read_languages(folder: Path) -> frozenset[str]:
    """The codes under ``language`` at the head of the makers' card, as on the hub."""
    card = folder / "README.md"
    head = re.match(r"---\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL) if card.is_file() else None
    try:
        front = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError:  # the card is others', and says nothing that is needed
        return frozenset()
    listed = front.get("language") if isinstance(front, dict) else None
    codes = [listed] if isinstance(listed, str) else listed if isinstance(listed, list) else []
    known = frozenset(str(code).partition("-")[0] for code in codes)
    return known - {"multilingual"}
