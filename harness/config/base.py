"""The base model of a suite, as it is named before it is found."""

from __future__ import annotations

import datetime
from pathlib import Path

from pydantic import Field

from xlift.harness.core.settings import Section


class BaseSizes(Section):
    """What a dry run counts with where the base is not on this machine: the sizes that its ``config.json`` has."""

    hidden: int = Field(ge=1)
    layers: int = Field(ge=1)
    feed_forward: int = Field(ge=1)
    queries: int = Field(ge=1)
    """Width of all query heads together."""
    keys: int = Field(ge=1)
    """Width of all key heads together."""
    vocabulary: int = Field(ge=1)
    tied: bool
    """Whether the first and the last layer are one."""


class BaseSettings(Section):
    model: str = "smollm2-135m-instruct"
    """The embedded model, a local folder, or a hub repository."""
    revision: str | None = None
    """Commit of the hub repository."""
    hub_id: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    """For a local folder: the hub repository of the same model, ORG/NAME, which the cards of pushed adapters name as their base."""
    chat_template: Path | None = None
    """A Jinja file, looked for beside the suite first, for a base model that brings no template."""
    date: datetime.date | None = None
    """The day (YYYY-MM-DD) that a template reads which writes the date; the day of the run's first start where not given."""
    sizes: BaseSizes | None = None
    """Of a decoder as Llama is, for ``--dry-run`` alone, which fetches no base; where the base is here its own are taken."""
