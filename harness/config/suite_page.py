"""docs/suite-keys.md: every key that a suite may have, from the settings themselves.

python -m xlift.harness.config.suite_page      prints the page
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from xlift.harness.config.suite import Suite
from xlift.harness.core.setting_tables import tabulate

HEAD = """# Keys of a suite

A suite is a YAML file that describes one comparison. A key that is not listed here is an error, which names the nearest right one.
`xlift validate SUITE` checks a suite without running it, and `--set train.tokens=500000` changes one key for one command. The options of
each method are in [methods.md](methods.md). This page is printed by `python -m xlift.harness.config.suite_page`.

The smallest suite has a name, the languages to measure and the tasks:

```yaml
name: smallest
languages: {evaluate: [es]}
evaluate: {tasks: ["xlift_mgsm_direct_{lang}"]}
```
"""


def to_markdown() -> str:
    """The whole page."""
    sections = [_write_section("The suite itself", Suite)]
    sections += [_write_section(f"`{place}`", model) for place, model in list_sections(Suite, "", {Suite})]
    return "\n".join([HEAD, *sections])


def list_sections(model: type[BaseModel], place: str, seen: set[type[BaseModel]]) -> Iterator[tuple[str, type[BaseModel]]]:
    """All sections below a section with their places, each model once."""
    for name, field in model.model_fields.items():
        for below, inner in _find_models(field.annotation):
            if inner in seen:
                continue
            seen.add(inner)
            at = f"{place}.{name}{below}".lstrip(".")
            yield at, inner
            yield from list_sections(inner, at, seen)


def _find_models(annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections that an annotation contains, with what is written between the key and them: a name, if there may be several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "", annotation
    between = ".NAME" if get_origin(annotation) is dict else ""
    for inner in get_args(annotation):
        yield from ((f"{between}{below}", model) for below, model in _find_models(inner))


def _write_section(title: str, model: type[BaseModel]) -> str:
    said = f"{' '.join(model.__doc__.split())}\n\n".replace("``", "`") if model.__doc__ else ""
    return f"## {title}\n\n{said}{tabulate(model)}"


if __name__ == "__main__":
    print(to_markdown(), end="")  # noqa: T201
