"""Sections of settings: they are frozen, every key is checked, and a mistake is named with its place and the nearest right name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from xlift.harness.core import secrets
from xlift.harness.core.errors import UserError, guess, name_nearest

S = TypeVar("S", bound=BaseModel)

MOST = 1e15
"""No number in settings may be above this, or below its negative."""

REMEDY = "settings are published with results: put the secret into an environment variable, and write ${NAME} in its place"


def explain(text: str) -> PydanticCustomError:
    """An error for a validator to raise, whose text says all. The value is not shown behind it."""
    return PydanticCustomError("explained", "{text}", {"text": text})


def _refuse_secret(text: str) -> str:
    if found := secrets.find_literal(text):
        raise explain(f"{found} stands in it as it is; {REMEDY}")
    return text


WithoutSecrets = Annotated[str, AfterValidator(_refuse_secret)]
"""An address, a command or an argument list, in which people write keys and passwords. These are refused, with the way to give them."""


class Section(BaseModel):
    """A part of a suite or a record. It is frozen; unknown keys and numbers that are not finite are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    ELSEWHERE: ClassVar[str] = ""
    """Where a key that the section does not have may belong, for the error that names it."""
    UNHASHED: ClassVar[frozenset[str]] = frozenset()
    """Keys that change no result, or that a stage hashes in another form. ``identity`` leaves them out."""

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
    found = error.errors(include_url=False)
    unknown = [one for one in found if one["type"] == "extra_forbidden"]  # first, as a key that is missing may be one that is misspelt
    first = [*unknown, *found][0]
    place = [str(part) for part in first["loc"]]
    at = ".".join(place) or "suite"
    if unknown:
        return f"{where}: unknown key {at!r}{_name_key(place[-1], _find_section(model, place[:-1]))}"
    if first["type"] == "too_short":
        return f"{where}: {at}: must have at least {first['ctx']['min_length']} of them, got {first['ctx']['actual_length']}"
    if (kind := first["type"]) in WANTED:
        return f"{where}: {at}: {_say_wanted(kind, first['input'])}{_show_section(model, place, first['input'])}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    got = "" if first["type"] in ("missing", "explained") else f", got {_show(first['input'])}"
    if first["type"] == "literal_error":
        got += guess(str(first["input"]), re.findall("'([^']*)'", first["ctx"]["expected"]))
    return f"{where}: {at}: {first['msg'].removeprefix('Value error, ')}{got}{more}"


def _name_key(wrong: str, section: type[BaseModel] | None) -> str:
    """The end of an error message about an unknown key: the nearest right one, or where else it may belong."""
    known = list(section.model_fields) if section else []
    elsewhere = section.ELSEWHERE if section and issubclass(section, Section) else ""
    if not elsewhere:
        return name_nearest(wrong, known)
    return f"{guess(wrong, known, cutoff=0.75) or ';'} {elsewhere}; known here: {', '.join(sorted(known))}"


def _show_section(model: type[BaseModel], place: Sequence[str], got: object) -> str:
    """How a section is written of which only one text was given, if that is what its first key takes; else empty."""
    section = _find_section(model, place) if isinstance(got, str) else None
    if section is None:
        return ""
    key, field = next(iter(section.model_fields.items()))
    takes_text = get_origin(field.annotation) is Literal or str in (field.annotation, *get_args(field.annotation))
    return f"; write {place[-1]}: {{{key}: {got}}}" if takes_text else ""


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


def _find_section(model: type[BaseModel], place: Sequence[str]) -> type[BaseModel] | None:
    """The section at a place, through mappings and optional sections; None if the place is no section."""
    at: Any = model
    for part in place:
        if get_origin(at) is dict:
            at = get_args(at)[1]
        elif get_origin(at) is tuple and part.isdecimal():
            at = get_args(at)[0]
        elif isinstance(at, type) and issubclass(at, BaseModel) and part in at.model_fields:
            at = at.model_fields[part].annotation
            if get_origin(at) not in (dict, tuple):  # a section or None
                at = next((kind for kind in get_args(at) if isinstance(kind, type) and issubclass(kind, BaseModel)), at)
        else:
            return None
        if get_origin(at) not in (dict, tuple) and not isinstance(at, type):
            return None
    return at if isinstance(at, type) and issubclass(at, BaseModel) else None
