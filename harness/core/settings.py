"""Sections of settings: they are frozen, every key is checked, and a mistake is named with its place and the nearest right name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from xlift.harness.core import secrets
from xlift.harness.core.errors import UserError, name_nearest

S = TypeVar("S", bound=BaseModel)

MOST = 1e15
"""No number in settings may be above this, or below its negative."""

REMEDY = "settings are published with results: put the secret into an environment variable, and write ${NAME} in its place"


def _refuse_secret(text: str) -> str:
    if found := secrets.find_literal(text):
        raise PydanticCustomError("secret", "{found} stands in it as it is; {remedy}", {"found": found, "remedy": REMEDY})
    return text


WithoutSecrets = Annotated[str, AfterValidator(_refuse_secret)]
"""An address, a command or an argument list, in which people write keys and passwords. These are refused, with the way to give them."""


class Section(BaseModel):
    """A part of a suite or a record. It is frozen; unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _take_numbers_as_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Refuse true where a number belongs, which pydantic would take for 1, and numbers that nothing can hold.

        Text is taken, because YAML reads 1e-3 as text.
        """
        annotation = cls.model_fields[info.field_name or ""].annotation
        kinds = set(get_args(annotation) or (annotation,))
        whole, wanted = kinds & {int, float} == {int}, bool(kinds & {int, float})
        if wanted and isinstance(value, bool) and bool not in kinds:
            raise PydanticCustomError("int_type" if whole else "float_type", "a number belongs here")
        if wanted and isinstance(value, int | float) and abs(value) > MOST and abs(value) != math.inf:
            raise PydanticCustomError("most", "no number here may be above {most}", {"most": f"{MOST:.0e}"})
        return value

    UNHASHED: ClassVar[frozenset[str]] = frozenset()
    """Keys that change no result, or that a stage hashes in another form. ``identity`` leaves them out."""

    def identity(self) -> dict[str, Any]:
        """Everything that can change a result, as plain data, of which hashes are made."""
        return self.model_dump(mode="json", exclude=set(self.UNHASHED))


def build(model: type[S], values: Mapping[str, object], where: str) -> S:
    """A section from plain values. Raises UserError with the key, its place and the nearest right name."""
    if odd := [key for key in values if not isinstance(key, str)]:
        raise UserError(f"{where}: the key {odd[0]!r} is no text; YAML takes on, yes, no and numbers for something else, so quote it")
    for place, text in _list_texts(values):
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise UserError(f"{where}: {place}: holds half of a surrogate pair or a byte that is no UTF-8, which no file can")
        if "\0" in text:
            raise UserError(f"{where}: {place}: holds a NUL, which no name or path may")
        if secrets.ISSUED.search(text):
            raise UserError(f"{where}: {place}: what looks like a key stands in it as it is; {REMEDY}")
        if variable := secrets.find_variable(text.encode("utf-8", "surrogateescape")):
            raise UserError(f"{where}: {place}: the value of the environment variable {variable} stands in it; {REMEDY}")
    try:
        return model(**values)
    except ValidationError as error:
        raise UserError(_explain(error, model, where)) from None
    except UserError as error:  # of a section's own checks, which name the key
        raise UserError(f"{where}: {error}") from None


def read_section(model: type[S], card: Mapping[str, object], key: str, where: str) -> S | None:
    """The section under ``key`` of a card that was read from disk, or None if the card has none.

    Raises UserError for a value that is no mapping, and as ``build`` does.
    """
    values = card.get(key)
    if values is None:
        return None
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: {key}: must be {WANTED['dict_type']}, got {values!r}")
    return build(model, values, f"{where}: {key}")


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> str:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    at = ".".join(place) or "suite"
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key {at!r}{name_nearest(place[-1], _fields(model, place[:-1]))}"
    if first["type"] == "too_short":
        return f"{where}: {at}: must have at least {first['ctx']['min_length']} of them, got {first['ctx']['actual_length']}"
    if (kind := first["type"]) in WANTED:
        return f"{where}: {at}: {_say_wanted(kind, first['input'])}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    got = "" if first["type"] in ("missing", "secret") else f", got {_show(first['input'])}"
    return f"{where}: {at}: {first['msg'].removeprefix('Value error, ')}{got}{more}"


WANTED = {
    "string_type": "a text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "keys with values below it",
    "model_type": "keys with values below it",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What pydantic's errors of a type mean in YAML."""


def _say_wanted(kind: str, got: object) -> str:
    """What YAML must hold in a value's place, and how it is written."""
    text = f"must be {WANTED[kind]}, got {_show(got)}"
    if kind == "string_type" and isinstance(got, bool):
        words = "yes, on and true" if got else "no, off and false"
        return f"{text}; YAML reads {words} as {got}: write the word in quotes, such as '{'yes' if got else 'no'}'"
    if kind == "string_type" and isinstance(got, int | float):
        return f"{text}; write it in quotes: '{got}'"
    if kind in ("tuple_type", "list_type") and isinstance(got, str | int | float):
        return f"{text}; write [{got}]" if len(str(got)) < 80 and "\n" not in str(got) else text
    return text


def _show(got: object) -> str:
    text = repr(got)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _list_texts(value: object, place: str = "") -> Iterator[tuple[str, str]]:
    """Every text in plain data, with its place."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _list_texts(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _list_texts(inner, f"{place}.{number}".lstrip("."))


def _fields(model: type[BaseModel], place: Sequence[str]) -> list[str]:
    """The keys of the section at a place, through mappings and optional sections; none if the place is no section."""
    at: Any = model
    for part in place:
        if get_origin(at) is dict:
            at = get_args(at)[1]
        elif isinstance(at, type) and issubclass(at, BaseModel) and part in at.model_fields:
            at = at.model_fields[part].annotation
            if get_origin(at) is not dict:  # a section or None
                at = next((kind for kind in get_args(at) if isinstance(kind, type) and issubclass(kind, BaseModel)), at)
        else:
            return []
        if get_origin(at) is not dict and not isinstance(at, type):
            return []
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []
