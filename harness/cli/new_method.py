"""A new method's package: the files of ``skeleton/`` with the method's name in them. docs/write-a-method.md explains it."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from xlift import plugin
from xlift.harness.core.errors import UserError

PLACES = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    "suite.yaml": "suite.yaml",
    "method.py": "src/{package}/{name}.py",
    "method.yaml": "src/{package}/{name}.yaml",
    "test_method.py": "tests/test_{name}.py",
}
"""The place of each file of ``skeleton/``. The package's ``__init__.py`` is added."""


def create(name: str, out: Path = Path()) -> list[Path]:
    """Write an installable package with one working method into ``out/xlift-NAME``. Returns its files, the README first.

    Raises UserError for a name that cannot be used or is taken, and if the folder exists already.
    """
    _require_name(name)
    package = f"xlift_{name}"
    folder = out / package.replace("_", "-")
    if folder.exists():
        raise UserError(f"{folder}: is there already; choose another name, or another place with --out")
    words = {"name": name, "package": package, "distribution": folder.name, "class_name": name.title().replace("_", "")}
    try:
        written = [_write(folder / place.format(**words), _fill(source, words)) for source, place in PLACES.items()]
        written.append(_write(folder / "src" / package / "__init__.py", f'"""The training method {name} for xlift."""\n'))
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot be written ({error.strerror}); choose another place with --out") from None
    return written


def _fill(source: str, words: dict[str, str]) -> str:
    template = files("xlift.harness.cli").joinpath("skeleton", f"{source}.template").read_text(encoding="utf-8")
    return Template(template).substitute(words)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _require_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name):
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_0123456789")
        hint = f", such as {near}" if near and near != name and not keyword.iskeyword(near) else ""
        raise UserError(f"{name!r} cannot name a method: lower-case words of letters and digits, joined by '_'{hint}")
    if name in plugin.names():
        raise UserError(f"a method {name!r} is there already (xlift ls methods); choose another name")
