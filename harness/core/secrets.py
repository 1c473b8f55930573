"""What counts as a secret in a text, so that none is published, logged or shown.

A secret is known by the form that its issuer gives it, by the name beside it, or as the value of an environment variable. Settings hold no
secrets: they name a variable as ``${NAME}``, which is replaced by its value where it is used (variables.py).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a text names an environment variable whose value is inserted there."""
HIDDEN = "[secret]"
LEAST = 8
"""The fewest characters of a variable's value that is looked for, because servers without keys are given ``none``, ``EMPTY`` and the
like."""

ISSUED = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|\bgh[opsu]_[A-Za-z0-9]{30,}|\bgithub_pat_\w{30,}|\bglpat-[\w-]{20,}|\bAKIA[A-Z0-9]{16}\b"
    r"|\bAIza[\w-]{35}|\bxox[abprs]-[\w-]{10,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""The forms of keys, by their issuers."""
_BEARER = re.compile(r"(?i)\b(?P<head>(?:bearer|basic)\s+)(?P<value>(?!\$\{)[\w.~+/=-]{16,})")
_USER = re.compile(r"(?i)(?P<head>\b[a-z][a-z0-9+.-]*://)(?P<value>[^\s/?#@'\"]+)@")
_WORDS = "api-?key|key|token|secret|password|passwd|pwd|pass|passphrase|auth|authorization|sig|signature|credentials?"
"""The last words in the names of options and arguments whose values are secrets."""
_NAMED = re.compile(
    rf"""(?P<head>(?<![\w-])-{{0,2}}(?P<name>(?:[\w.-]*[._-])?(?:{_WORDS}))=|(?<![\w-])--?(?P<option>(?:[\w-]*[_-])?(?:{_WORDS}))\s+(?!-)"""
    r"""|\b(?P<header>(?:proxy-)?authorization|[\w-]*(?:api-key|auth-token))\s*:\s*(?:(?:bearer|basic)\s+)?)"""
    r"""(?P<value>"[^"]*"|'[^']*'|[^\s,;&#"'|]+)""",
    re.IGNORECASE,
)
_HARMLESS = re.compile(r"(?i)true|false|none|null|value|\d{1,4}|")
_VARIABLE = re.compile(r"(?i)(^|_)([A-Z]*KEY|TOKEN|SECRET|[A-Z]*PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?)(_|$)|_PWD$")

_noted: set[str] = set()


def note(variable: str) -> None:
    """Count an environment variable among those that hold a secret, whatever its name is."""
    _noted.add(variable)


def find_literal(text: str) -> str | None:
    """Which part of an address, an argument list or a command is a secret, in words that do not show it; None if nothing is."""
    for found in _USER.finditer(text):
        user, colon, password = found["value"].partition(":")
        if not _is_reference(password if colon else user):
            return "a user or password before the @ of an address"
    for found in _NAMED.finditer(text):
        if _is_secret(found):
            return f"the value of {found['name'] or found['option'] or found['header']}"
    if ISSUED.search(text) or _BEARER.search(text):
        return "what looks like a key"
    return None


def find_variable(data: bytes, variables: Iterable[str] = ()) -> str | None:
    """The name of an environment variable whose value ``data`` contains, among those that look secret and ``variables``; None if there is
    none."""
    for name, value in _list_values(variables).items():
        # In JSON some signs of a value are written otherwise.
        if any(form in data for form in {value.encode("utf-8", "surrogateescape"), json.dumps(value)[1:-1].encode()}):
            return name
    return None


def name_variables(value: object) -> set[str]:
    """The environment variables that settings name: under ``key_variable``, and as ``${NAME}``."""
    if isinstance(value, str):
        return set(REFERENCE.findall(value))
    if isinstance(value, Mapping):
        named = {str(value["key_variable"])} if value.get("key_variable") else set()
        return named.union(*map(name_variables, value.values()))
    if isinstance(value, Sequence):
        return set().union(*map(name_variables, value))
    return set()


def redact(text: str) -> str:
    """The text with all its secrets hidden. The value of a variable becomes ``${NAME}``."""
    for name, value in _list_values(()).items():
        text = text.replace(value, f"${{{name}}}")
    text = ISSUED.sub(HIDDEN, text)
    text = _USER.sub(lambda found: found[0] if REFERENCE.search(found["value"]) else f"{found['head']}{HIDDEN}@", text)
    text = _NAMED.sub(lambda found: f"{found['head']}{HIDDEN}" if _is_secret(found) else found[0], text)
    return _BEARER.sub(lambda found: f"{found['head']}{HIDDEN}", text)


def _is_secret(found: re.Match[str]) -> bool:
    """Whether the value of a match of ``_NAMED`` is more than a switch, a small number or a reference."""
    value = found["value"].strip("\"'")
    return not (_HARMLESS.fullmatch(value) or _is_reference(value) or value == HIDDEN)


def _is_reference(text: str) -> bool:
    return bool(REFERENCE.fullmatch(text))


def _list_values(variables: Iterable[str]) -> dict[str, str]:
    """The values to look for by the names of their variables, the longest first, because one may be a part of another."""
    named = {*_noted, *variables}
    found = {name: value for name, value in os.environ.items() if len(value) >= LEAST and (name in named or _looks_secret(name))}
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


@lru_cache(maxsize=4096)
def _looks_secret(name: str) -> bool:
    return bool(_VARIABLE.search(name))
