"""YAML written by people: no key may come twice, and what a few lines may expand to is limited."""

from __future__ import annotations

import re

import yaml

from xlift.harness.core.errors import UserError, one_line

LARGEST = 2**20
"""The most characters of one file. The largest suite that comes with xlift has fewer than 2,000."""
DEEPEST = 50
"""The deepest nesting of mappings and lists."""
MOST = 100_000
"""The most values in one file, where every alias (``*name``) counts as what it stands for: ten lines can stand for a billion values."""


def read_yaml(text: str, where: str) -> object:
    """The value of a YAML text. ``where`` names the text in errors.

    Raises UserError for a text that is not YAML, a key that comes twice in one mapping, and a text that is too large, too deep or endless.
    """
    if len(text) > LARGEST:
        raise UserError(f"{where}: {len(text):,} characters, and a suite may have {LARGEST:,}")
    try:
        _refuse_depth(text, where)
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node, where, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        hint = _show_quotes(text.splitlines()[mark.line]) if mark and mark.line < len(text.splitlines()) else ""
        raise UserError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', None) or one_line(error)}){hint}") from None
    except RecursionError:
        raise UserError(f"{where}: nested too deeply") from None
    except ValueError as error:  # such as a number of 5,000 digits, or a date that is none
        raise UserError(f"{where}: a value cannot be read ({one_line(error)})") from None


def _show_quotes(line: str) -> str:
    """How the first text with braces in a line is written, in which YAML takes ``{`` for the beginning of keys; empty if there is none."""
    found = re.search(r"""[^\s\[\],:'"{}]*\{\w+\}[^\s\[\],:'"]*""", line)
    return f'; a text with braces stands in quotes: "{found[0]}"' if found else ""


def _refuse_depth(text: str, where: str) -> None:
    """Stop at the first value that is too deep. The events come one by one, while reading all of it would take a minute."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise UserError(f"{where}: nested too deeply")


def _check(node: yaml.Node, where: str, sizes: dict[int, int]) -> int:
    """How many values a node stands for. ``sizes`` holds those of nodes that were seen; 0 while they are being counted."""
    if id(node) in sizes:
        if sizes[id(node)] == 0:
            raise UserError(f"{where}, line {node.start_mark.line + 1}: holds itself through an alias")
        return sizes[id(node)]
    sizes[id(node)] = 0
    inner = 0
    if isinstance(node, yaml.MappingNode):
        _refuse_doubles(node, where)
        inner = sum(_check(key, where, sizes) + _check(value, where, sizes) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        inner = sum(_check(one, where, sizes) for one in node.value)
    sizes[id(node)] = inner + 1
    if inner >= MOST:
        raise UserError(f"{where}, line {node.start_mark.line + 1}: stands for more than {MOST:,} values; are aliases (*name) nested?")
    return inner + 1


def _refuse_doubles(node: yaml.MappingNode, where: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        if name in lines:
            raise UserError(f"{where}, line {line}: the key {key.value!r} stands there twice, first in line {lines[name]}; take one out")
        lines[name] = line
