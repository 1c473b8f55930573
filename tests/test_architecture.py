"""Who may import whom, how long a file may be, and what must not load torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("harness", "tasks", "methods", "leaderboard")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
HEAVY = {"torch", "transformers", "peft", "trl", "accelerate", "vllm", "lm_eval"}


def imports(path: Path, *, top_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if top_level else list(ast.walk(tree))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    return {".".join(name.split(".")[1:3]) for name in imports(path) if name.startswith("xlift.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    folder, found = path.relative_to(ROOT).parts[0], imports(path)
    assert not {name.split(".")[0] for name in found} & set(FOLDERS), "import by the full name, xlift.*"
    allowed = {
        "methods": {"harness.plugin", "harness"},
        "tasks": {"harness.rows", "harness.languages", "harness"},
        "leaderboard": {"harness.results", "harness.languages", "harness.rows", "harness"},
    }
    if folder in allowed:
        foreign = {name for name in ours(path) if not name.startswith(folder)} - allowed[folder]
        assert not foreign, f"{folder} may not import {foreign}"
    elif not path.name.startswith("cli"):
        assert not {name for name in ours(path) if name.startswith(("leaderboard", "methods"))}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_size(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is longer than 60 lines"


def test_code_lies_in_the_four_folders_alone() -> None:
    assert {path.parent.name for path in FILES} == set(FOLDERS), "a package folder that pyproject does not name would not be installed"


def test_leaderboard_and_tasks_name_no_heavy_library() -> None:
    for path in FILES:
        if path.relative_to(ROOT).parts[0] in ("leaderboard", "methods"):
            assert not {name.split(".")[0] for name in imports(path)} & HEAVY, path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["validate", "no-such-suite"], ["ls", "tsks"], ["run", "demo", "--set", "trin.epochs=1"]]
)
def test_the_command_starts_without_torch(arguments: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {arguments!r}\nfrom xlift.harness.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += f"loaded = {HEAVY!r} & set(sys.modules)\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
