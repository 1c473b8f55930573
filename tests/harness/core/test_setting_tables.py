"""Tables of settings: what a key takes, its default and its meaning, in words."""

from typing import Literal

from pydantic import Field

from xlift.harness.core.setting_tables import tabulate
from xlift.harness.core.settings import Section


class Inner(Section):
    depth: int = 1


class Settings(Section):
    name: str
    """What ``name`` | it has."""
    share: float = Field(0.5, ge=0, lt=1)
    kind: Literal["a", "b"] = "a"
    steps: int | None = Field(None, ge=1)
    codes: tuple[str, ...] = ("es",)
    limits: dict[str, int] = Field(default_factory=dict)
    inner: Inner = Inner()


def test_each_key_has_a_row() -> None:
    assert tabulate(Settings).splitlines()[2:] == [
        "| `name` | text | required | What `name` &#124; it has. |",
        "| `share` | number (at least 0 and below 1) | `0.5` |  |",
        '| `kind` | `a` or `b` | `"a"` |  |',
        "| `steps` | whole number (at least 1) or `null` | `null` |  |",
        '| `codes` | list of: text | `["es"]` |  |',
        "| `limits` | names, each with: whole number | `{}` |  |",
        "| `inner` | a section of its own |  |  |",
    ]


def test_defaults_may_come_from_a_file() -> None:
    assert tabulate(Inner, {"depth": 7}).splitlines()[2] == "| `depth` | whole number | `7` |  |"
