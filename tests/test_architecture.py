"""The plan of the house: who may import whom and which library, what a folder offers, and that no circle comes back.

All imports count: those inside functions and those under TYPE_CHECKING too.
"""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOP = ("harness", "tasks", "methods", "leaderboard")
SHIMS = {"xlift.harness.lm", "xlift.harness.judged_task", "xlift.harness.run"}
"""Old names that are interfaces: each takes one name from its new place, and nothing of ours imports them."""

LAYERS = (
    ("harness.core",),
    ("tasks",),
    ("harness.config",),
    ("harness.models",),
    ("harness.engines", "harness.recipes"),
    ("harness.evaluation", "harness.training", "harness.translators", "harness.plugin"),
    ("methods", "harness.judging", "harness.diagnostics"),
    ("harness.pipeline", "leaderboard.loading"),
    ("leaderboard.analysis",),
    ("leaderboard.site",),
    ("harness.publishing",),
    ("harness.cli", "harness.public"),
)
"""Rooms, the lowest first. A room imports its own floor and lower ones."""

NARROW = {
    "tasks": {"harness.core"},
    "methods": {"harness.plugin"},
    "leaderboard.loading": {"harness.core", "harness.evaluation", "harness.diagnostics", "tasks"},
    "leaderboard.analysis": {"harness.core", "harness.evaluation", "harness.diagnostics", "tasks", "leaderboard.loading"},
    "leaderboard.site": {
        "harness.core", "harness.evaluation", "harness.diagnostics", "tasks", "leaderboard.loading", "leaderboard.analysis",
    },
}  # fmt: skip
"""Rooms that may take from these rooms alone."""

RECORDS = {"xlift.harness.evaluation.records", "xlift.harness.evaluation.samples", "xlift.harness.diagnostics.records"}
"""All that the leaderboard takes of evaluation and diagnostics."""

COMMANDS = {
    "harness.core", "harness.public", "harness.plugin", "leaderboard", "tasks",
    "harness.diagnostics", "harness.publishing.probe_files", "harness.judging.replies",  # what files and types are called
    "harness.engines.vllm", "harness.evaluation.lm_eval_command",  # doctor and lm-eval: importing them is the work
}  # fmt: skip
"""All that the commands take of us: they call ``import xlift``, and print."""

LIBRARIES = {
    "torch": {
        "harness.engines", "harness.training", "harness.models", "harness.diagnostics", "harness.translators.seq2seq",
        "harness.publishing.hub", "harness.pipeline.scheduling", "harness.cli.doctor", "tasks.translation",
    },
    "submitit": {"harness.pipeline.submission"},
    "ray": {"harness.pipeline.ray_cluster"},
    "lm_eval": {"harness.engines", "harness.evaluation", "harness.judging", "tasks"},
    "vllm": {"harness.engines"},
    "trl": {"harness.training"},
    "peft": {"harness.models", "harness.training", "harness.engines", "harness.publishing.hub"},
    "typer": {"harness.cli"},
    "pandas": {"leaderboard", "harness.cli", "harness.public", "harness.judging", "harness.publishing.export_rows", "tasks"},
    "huggingface_hub": {"harness.models", "harness.publishing", "harness.cli", "tasks.fetching"},
}  # fmt: skip
"""Where a library may be imported."""


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[:2] == ("harness", "public"):
        parts = parts[2:]
    return ".".join(("xlift", *(parts[:-1] if parts[-1] == "__init__" else parts)))


FILES = {name_of(path): path for folder in TOP for path in sorted((ROOT / folder).rglob("*.py"))}
FOLDERS = {name for name, path in FILES.items() if path.name == "__init__.py"}
ROOMS = {room for floor in LAYERS for room in floor}
HEAVY = {"torch", "transformers", "peft", "trl", "accelerate", "vllm", "lm_eval"}


def place_of(module: str) -> str:
    """Where a module stands in the repository: xlift.api is harness.public.api."""
    return ".".join(FILES[module].relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    parts = place_of(module).split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in ROOMS else parts[0]


def imports(path: Path) -> Iterator[tuple[str, str | None]]:
    """Modules that a file imports, with the name that is taken of them; None for a whole module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, None) if inner in FILES else (node.module, alias.name)


def ours(name: str) -> set[str]:
    """Our modules that a module imports."""
    return {module for module, _ in imports(FILES[name]) if module in FILES}


MODULES = [name for name in FILES if name not in SHIMS and name not in {"xlift.harness", "xlift.leaderboard"}]


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down(name: str) -> None:
    floors = {room: number for number, floor in enumerate(LAYERS) for room in floor}
    own = room_of(name)
    assert own in floors, f"{own} is no room of LAYERS"
    for module in ours(name):
        room = room_of(module)
        assert module not in SHIMS, f"{module} is an old name"
        assert floors[room] <= floors[own], f"{name} imports {module}, which stands above it"
        if own in NARROW and room != own:
            assert room in NARROW[own], f"{own} may not import {module}"
        if own.startswith("leaderboard") and room in ("harness.evaluation", "harness.diagnostics"):
            assert module in RECORDS, f"the leaderboard takes {sorted(RECORDS)} alone, not {module}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("xlift.harness.cli")])
def test_the_commands_call_the_public_functions(name: str) -> None:
    for place in (place_of(module) for module in ours(name) if not module.startswith("xlift.harness.cli")):
        assert any(place == room or place.startswith(room + ".") for room in COMMANDS), f"{name} imports {place}; call import xlift"


@pytest.mark.parametrize("name", MODULES)
def test_a_room_takes_of_another_what_that_one_offers(name: str) -> None:
    for module, taken in imports(FILES[name]):
        assert module.split(".")[0] not in TOP, f"import by the full name: xlift.{module}"
        if module not in FILES:
            continue
        assert module == name or not (taken or "").startswith("_"), f"{taken} of {module} is private"
        folder = module if module in FOLDERS else module.rpartition(".")[0]
        if folder in FOLDERS and folder.count(".") > 1 and not name.startswith(folder + ".") and name != folder:
            offered = read_offered(folder)
            wanted = taken if module in FOLDERS else module.rpartition(".")[2]
            assert wanted in offered, f"{name} takes {wanted} of {folder}, whose __all__ is {offered}"


def read_offered(folder: str) -> list[str]:
    for node in ast.parse(FILES[folder].read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            found: list[str] = ast.literal_eval(node.value)
            return found
    raise AssertionError(f"{folder} has no __all__")


def test_what_a_folder_offers_is_there_and_is_wanted() -> None:
    taken = {(module, name) for path in FILES.values() for module, name in imports(path)}
    for folder in sorted(FOLDERS):
        if folder.count(".") < 2:
            continue
        assert ast.get_docstring(ast.parse(FILES[folder].read_text(encoding="utf-8"))), f"{folder} does not say what lives there"
        for offered in read_offered(folder):
            inner = f"{folder}.{offered}"
            assert inner in FILES or FILES[folder].name == "__init__.py" and folder in ("xlift.harness.public", "xlift.harness.cli"), inner
            if inner in FILES:
                assert any(module == inner for module, _ in taken), f"nobody takes {inner}"


def test_no_circles() -> None:
    arrows = {name: ours(name) - {name} for name in FILES}
    left = dict(arrows)
    while ends := [name for name, to in left.items() if not to & left.keys()]:
        for name in ends:
            del left[name]
    assert not left, f"these import each other: {sorted(left)}"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_stay_in_their_rooms(name: str) -> None:
    for module, _ in imports(FILES[name]):
        rooms = LIBRARIES.get(module.split(".")[0])
        if rooms is not None:
            own = place_of(name)
            assert any(own == room or own.startswith(room + ".") for room in rooms), f"{name} imports {module}"


@pytest.mark.parametrize("name", FILES)
def test_size(name: str) -> None:
    text = FILES[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is longer than 60 lines"


def test_every_folder_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    here = {f"xlift.{'.'.join(path.parent.relative_to(ROOT).parts)}" for path in FILES.values()}
    assert set(settings["packages"]) == (here - {"xlift.harness.public"}) | {"xlift"}


def test_tests_mirror_the_sources() -> None:
    extra = {"support", "e2e", "gpu"}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.parent.relative_to(ROOT / "tests")
        assert folder.parts[:1] == () or folder.parts[0] in extra or (ROOT / folder).is_dir(), f"{path} mirrors no folder"


@pytest.mark.parametrize("old", sorted(SHIMS))
def test_an_old_name_still_works_and_says_what_is_new(old: str) -> None:
    importlib.util.find_spec(old)
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is xlift"):
        module = importlib.import_module(old)
    assert all(getattr(module, name).__module__ in module.MOVED for name in module.__all__)


@pytest.mark.parametrize("name", [
    "data.dataset", "language_id.process_results", "numbers.process_results", "spans.process_results", "spans.process_mlqa_results",
    "translation.corpus_chrf", "translation.corpus_spbleu", "translation.process_results", "verdicts.length_controlled",
    "verdicts.process_results",
])  # fmt: skip
def test_what_task_files_of_users_call_stays(name: str) -> None:
    """``xlift tasks --pair`` writes these names into files that xlift does not see again."""
    module, _, function = name.partition(".")
    assert callable(getattr(importlib.import_module(f"xlift.tasks.{module}"), function))


@pytest.mark.parametrize(
    "arguments", [["--help"], ["validate", "no-such-suite"], ["ls", "tsks"], ["run", "demo", "--set", "trin.epochs=1"]]
)
def test_the_command_starts_without_torch(arguments: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {arguments!r}\nfrom xlift.harness.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    code += f"loaded = {HEAVY!r} & set(sys.modules)\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PATCHES = {
    "xlift.harness.engines.vllm_cpu": {
        "dispatcher.register_kernels",
        "CPUModelRunner.sample_tokens",
        "UnquantizedFusedMoEMethod._setup_kernel",
    },
    "xlift.harness.evaluation.evaluate": {"evaluator.get_git_commit_hash"},
    "xlift.tasks.faults": {"sys.excepthook"},
    "xlift.tasks.fetching": {"constants.HF_HUB_OFFLINE", "datasets.config.HF_HUB_OFFLINE"},
}
"""What of a library a module replaces; docs/architecture.md gives the reasons."""
SWITCHES = {"sys.argv", "torch.backends.mkldnn.matmul.fp32_precision", "torch.utils.deterministic.fill_uninitialized_memory"}
"""What a library has for others to set."""


@pytest.mark.parametrize("name", FILES)
def test_libraries_are_patched_where_the_document_says(name: str) -> None:
    nodes = list(ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))))
    foreign = {"setattr"}
    for node in nodes:
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("xlift")):
            foreign |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Attribute)]
    set_by_name = [node.func for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "setattr"]
    written = {ast.unparse(target) for target in [*targets, *set_by_name]}
    replaced = {one for one in written if re.fullmatch(r"[\w.]+", one) and one.partition(".")[0] in foreign} - SWITCHES
    assert replaced == PATCHES.get(name, set())


def test_the_document_names_every_room_and_patch() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room in ROOMS:
        path = room.replace(".", "/") + (".py" if room == "harness.plugin" else "")
        assert f"| `{path}` |" in text, f"docs/architecture.md does not say what {room} is"
    for module, replaced in PATCHES.items():
        rows = [line for line in text.splitlines() if line.startswith(f"| `{FILES[module].relative_to(ROOT)}`, `")]
        for one in replaced:
            assert any(f"{one}`" in row for row in rows), f"docs/architecture.md does not give the reason of the patch of {one}"
