"""Tables of settings for the documentation: a row for each key, with its values, its default and what it means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

KINDS = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`", "null": "`null`"}
BOUNDS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
"""JSON schema's words for types and bounds, for people."""


def tabulate(model: type[BaseModel], defaults: Mapping[str, object] | None = None) -> str:
    """A Markdown table of the keys of a section. ``defaults`` are those of a file, for fields that have none themselves."""
    schema = model.model_json_schema()
    lines = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        part = schema["properties"][name]
        if defaults is not None:
            default = _write(defaults[name])
        elif field.is_required():
            default = "required"
        else:
            value = field.get_default(call_default_factory=True)
            default = "" if isinstance(value, BaseModel) or _holds_sections(value) else _write(value)
        lines.append(f"| `{name}` | {_name_kind(part)} | {default} | {_explain(field.description)} |")
    return "\n".join(lines) + "\n"


def _holds_sections(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(inner, BaseModel) for inner in value.values())


def _write(value: object) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def _explain(text: str | None) -> str:
    """A docstring as the text of a table's cell."""
    return " ".join((text or "").split()).replace("``", "`").replace("|", "&#124;")


def _name_kind(part: Mapping[str, Any]) -> str:
    """What a key takes, from its part of the JSON schema."""
    if "anyOf" in part:
        return " or ".join(dict.fromkeys(_name_kind(inner) for inner in part["anyOf"]))
    if "enum" in part:
        return " or ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kind = part.get("type")
    if kind == "array":
        inner = part.get("items")
        return f"list of: {_name_kind(inner)}" if inner else "list"
    if kind == "object":
        inner = part.get("additionalProperties")
        return f"names, each with: {_name_kind(inner)}" if isinstance(inner, Mapping) and inner else "keys with values"
    if kind is None:
        return "a section of its own" if "$ref" in part else "any"
    text = {"date": "day", "path": "path"}.get(part.get("format", ""), KINDS[kind])
    bounds = " and ".join(f"{word} {part[name]}" for name, word in BOUNDS.items() if name in part)
    return f"{text} ({bounds})" if bounds else text
