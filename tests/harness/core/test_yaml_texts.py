"""YAML of people who are mistaken or mean harm: one line each, at once, and in little memory."""

import tracemalloc

import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.core.yaml_texts import read_yaml


def nest(levels: int) -> str:
    """Ten to the power of ``levels`` values in a line each."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "s.yaml, line 3: the key 'a' stands there twice, first in line 1; take one out"),
        ("a: {b: 1, c: {d: 1, d: 2}}", "s.yaml, line 1: the key 'd' stands there twice, first in line 1"),
        ("a: [1, 2", "s.yaml, line 1: not valid YAML"),
        (
            "a:\n  b: [x, f_{lang}]",
            "s.yaml, line 2: not valid YAML (expected ',' or ']', but got '{'); a text with braces stands in quotes: \"f_{lang}\"",
        ),
        (
            "a: {lang}_b: c",
            "s.yaml, line 1: not valid YAML (expected <block end>, but found '<scalar>'); "
            'a text with braces stands in quotes: "{lang}_b"',
        ),
        ("a: &a [*a]", "s.yaml, line 1: holds itself through an alias"),
        (nest(9), "s.yaml, line 5: stands for more than 100,000 values; are aliases (*name) nested?"),
        ("[" * 20_000 + "]" * 20_000, "s.yaml: nested too deeply"),
        (f"a: {'9' * 5000}", "s.yaml: a value cannot be read (Exceeds the limit"),
        ("a: 2026-13-45", "s.yaml: a value cannot be read"),
        ("a: !!python/object/apply:os.system [true]", "s.yaml, line 1: not valid YAML"),
        ("x" * (2**20 + 1), "s.yaml: 1,048,577 characters, and a suite may have 1,048,576"),
        ("a: \x00", "s.yaml: not valid YAML"),
    ],
)
def test_what_is_refused(text: str, says: str) -> None:
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        read_yaml(text, "s.yaml")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value).startswith(says) and "\n" not in str(caught.value)
    assert peak < 100 * 2**20


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("3", 3),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}),
        ("'1': a\n1: b", {"1": "a", 1: "b"}),
    ],
)
def test_what_is_read(text: str, value: object) -> None:
    assert read_yaml(text, "s.yaml") == value
