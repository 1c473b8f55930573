"""Base models: the embedded SmolLM2, a local folder, a hub repository at a revision, or a name on a server, as one frozen record."""

from __future__ import annotations

import datetime
import hashlib
import logging
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.core.hashing import weights_sha256
from xlift.harness.core.store import parse_json
from xlift.harness.models.dates import freeze, today, writes_date
from xlift.harness.models.download import download, find_download
from xlift.harness.models.smollm2 import EMBEDDED, is_unpacked, unpacked
from xlift.harness.models.thinking import Options, find_options, serve_options, set_options

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
"""Files from which transformers loads a model. If a folder has safetensors only under another name, it would look for pickled weights."""
SERVED = "api:"


class ModelFacts(TypedDict, total=False):
    """What a record keeps of a base or an adapter: what identifies it, without a path of this machine."""

    name: str
    revision: str | None
    sha256: str
    chat_template_sha: str
    """The hash of a base's chat template."""
    date: str
    """For a base whose template writes the date: the day that it writes, ISO 8601."""
    template_options: Options
    """For a base whose thinking is turned on or off: what its own template was given."""
    peft_type: str
    """The kind of an adapter."""
    base_name: str | None
    """For an adapter: what it calls its base."""


class ModelConfig(TypedDict, total=False):
    """What is read of a model's ``config.json``."""

    model_type: str
    max_position_embeddings: int
    n_positions: int


@dataclass(frozen=True)
class Base:
    """A chat model on disk, in transformers' layout with safetensors weights."""

    name: str
    """The name in the suite."""
    folder: Path
    revision: str | None
    """The commit of a hub repository, or the version of the package for the embedded model; None for a local folder."""
    sha256: str
    """The hash of the weights alone, so equal for equal weights in any place. It is empty for a model that only a server holds."""
    chat_template: str
    """The template as it is rendered: with a fixed day if it writes the date, and with ``template_options`` set at its head."""
    chat_template_sha: str
    max_length: int
    """The number of positions for which the model was built."""
    date: datetime.date | None = None
    """The day that the template writes; None if it writes none."""
    template_options: Options = field(default_factory=dict, hash=False)
    """What turns its thinking on or off; empty if its template decides."""

    def facts(self) -> ModelFacts:
        """What a record keeps of it."""
        facts: ModelFacts = {
            "name": self.name,
            "revision": self.revision,
            "sha256": self.sha256,
            "chat_template_sha": self.chat_template_sha,
        }
        if self.date is not None:
            facts["date"] = self.date.isoformat()
        if self.template_options:
            facts["template_options"] = self.template_options
        return facts


def resolve(settings: BaseSettings, engine: EngineSettings | None = None) -> Base:
    """Find the base model, download or unpack it if needed, and record what it is. Of the engine's settings, those of thinking count.

    A template that writes the date writes that of the settings, or else today's, from now on, whatever the clock says later. ``api:NAME``
    is a model that only a server knows, for the api backend. Raises UserError for an unknown name, a folder without a chat model, a hub
    that cannot be reached, and a template that cannot turn thinking on or off as asked.
    """
    mode = engine.thinking if engine else "template"
    if settings.model.startswith(SERVED):
        options = {} if mode == "template" else serve_options(mode)
        return Base(settings.model.removeprefix(SERVED), Path(settings.model), settings.revision, "", "", "", 0, template_options=options)
    base = _find(settings)
    if engine is None or mode == "template":
        return base
    options = find_options(load_tokenizer(base), mode, engine.thinking_tokens)
    template = set_options(base.chat_template, options)
    return replace(base, chat_template=template, chat_template_sha=_hash(template), template_options=options)


def _find(settings: BaseSettings) -> Base:
    folder, revision = _locate(settings)
    config = _config(folder)
    template = _template(folder, settings.chat_template)
    day = (settings.date or today()) if writes_date(template) else None
    template = freeze(template, day) if day else template
    return Base(
        name=settings.model,
        folder=folder,
        revision=revision,
        sha256=weights_sha256(folder),
        chat_template=template,
        chat_template_sha=_hash(template),
        max_length=int(config.get("max_position_embeddings") or config.get("n_positions") or 2048),
        date=day,
    )


def is_here(settings: BaseSettings) -> bool:
    """Whether the base can be loaded without the hub and without a server."""
    return settings.model == EMBEDDED or Path(settings.model).expanduser().is_dir()


def is_ready(settings: BaseSettings) -> bool:
    """Whether the base can be read now, without being fetched or unpacked first."""
    return is_unpacked() if settings.model == EMBEDDED else Path(settings.model).expanduser().exists()


def resolve_here(settings: BaseSettings, engine: EngineSettings | None = None) -> Base:
    """The same as ``resolve``, but nothing is downloaded. A hub repository whose weights are not in the cache has no sha256, template or
    positions.

    Its folder has ``config.json`` if that file was downloaded by itself. Raises UserError as ``resolve`` does.
    """
    if is_here(settings) or settings.model.startswith(SERVED) or not _is_repository(settings.model):
        return resolve(settings, engine)
    folder = find_download(settings.model, settings.revision)
    if folder and any((folder / name).is_file() for name in WEIGHTS):
        return resolve(settings, engine)
    return Base(settings.model, folder or Path(settings.model), settings.revision, "", "", "", 0)


def load_tokenizer(base: Base) -> PreTrainedTokenizerBase:
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


def has_experts(base: Base) -> bool:
    """Whether the base is a mixture of experts, by the names of the keys in its ``config.json``."""
    return any("experts" in key for key in _config(base.folder))


def check_system_turn(base: Base, asking: str) -> None:
    """Raise UserError, naming who asks, if the base's template refuses a system turn."""
    from jinja2 import TemplateError

    try:
        load_tokenizer(base).apply_chat_template([{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], tokenize=False)
    except TemplateError as error:
        raise UserError(
            f"{asking} needs a system turn, which the chat template of {base.name} refuses ({one_line(error)}); "
            "give a template that takes one with base.chat_template"
        ) from None


def _locate(settings: BaseSettings) -> tuple[Path, str | None]:
    if settings.model == EMBEDDED:
        return unpacked()
    path = Path(settings.model).expanduser()
    if path.is_dir():
        return path.resolve(), None
    if not _is_repository(settings.model):
        known = name_nearest(settings.model, [EMBEDDED])
        raise UserError(f"base.model {settings.model!r}: neither the embedded model, nor a folder, nor a hub repository ORG/NAME{known}")
    folder = download(settings.model, settings.revision, "base model")
    return folder, folder.name


def _is_repository(model: str) -> bool:
    """Whether it may be a repository of the hub, judging by its name."""
    return not (Path(model).expanduser().is_file() or model.startswith(("/", ".", "~")) or model.count("/") != 1)


def _config(folder: Path) -> ModelConfig:
    if (folder / "adapter_config.json").is_file():
        raise UserError(f"base.model {folder}: an adapter, not a base model; put it under evaluate.adapters and name its base here")
    try:
        config = parse_json((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"base.model {folder}: no config.json, so not a model in transformers' layout") from None
    except (OSError, ValueError) as error:
        raise UserError(f"base.model {folder}: config.json cannot be read: {one_line(error)}") from None
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(f"base.model {folder}: config.json names no model_type, so not a model in transformers' layout")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise UserError(f"base.model {folder}: no model.safetensors; pickled weights are not loaded, save it again with safetensors")
    text = config.get("text_config")
    return cast(ModelConfig, {**config, **text} if isinstance(text, dict) else config)


def _hash(template: str) -> str:
    return hashlib.sha256(template.encode()).hexdigest()


def _template(folder: Path, given: Path | None) -> str:
    if given is not None:
        return _read_template(given)
    if (folder / "chat_template.jinja").is_file():
        return _read_template(folder / "chat_template.jinja")
    path = folder / "tokenizer_config.json"
    try:
        settings = parse_json(path.read_text(encoding="utf-8")) if path.is_file() else {}
        template = settings.get("chat_template") if isinstance(settings, dict) else None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read: {one_line(error)}") from None
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
        template = named.get("default")
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
