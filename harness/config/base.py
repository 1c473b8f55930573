"""The base model of a suite, as it is named before it is found."""

from __future__ import annotations

import datetime
from pathlib import Path

from pydantic import Field

from xlift.harness.core.settings import Section


class BaseSizes(Section):
    """The sizes that the base's ``config.json`` has, for a dry run on a machine that does not have the base."""

    hidden: int = Field(ge=1)
    """Width of the states."""
    layers: int = Field(ge=1)
    """Number of layers."""
    feed_forward: int = Field(ge=1)
    """Width inside the feed-forward part of a layer."""
    queries: int = Field(ge=1)
    """Width of all query heads together."""
    keys: int = Field(ge=1)
    """Width of all key heads together."""
    vocabulary: int = Field(ge=1)
    """Number of tokens."""
    tied: bool
    """Whether the embeddings are also the weights of the output layer."""


class BaseSettings(Section):
    model: str = "smollm2-135m-instruct"
    """``smollm2-135m-instruct``, which needs no account, or a local folder, or a hub repository."""
    revision: str | None = None
    """Commit of the hub repository; if not given, the newest one."""
    hub_id: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    """For a model in a local folder: its repository on the hub, ORG/NAME, which the cards of pushed adapters name as their base."""
    chat_template: Path | None = None
    """A Jinja file, looked for beside the suite first, for a base that has no chat template of its own."""
    date: datetime.date | None = None
    """The day (YYYY-MM-DD) for chat templates that write the date. The default is the day on which the run was first started."""
    sizes: BaseSizes | None = None
    """Sizes of a Llama-like decoder, which ``--dry-run`` counts with where the base is not on this machine; nothing else reads them."""
