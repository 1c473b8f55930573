"""What a user installs: sdist and wheel, built as for a release, and the wheel used outside this repository."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
FOLDERS = ("harness", "tasks", "methods", "leaderboard")
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def run(*command: object, folder: Path) -> str:
    """Standard output of a command that must succeed, which sees no module of this repository."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source") / "xlift", tmp_path_factory.mktemp("sdist")
    for folder in (*FOLDERS, "docs", "tests"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, source)
    name = run(sys.executable, "-c", BUILD, "build_sdist", out, folder=source).splitlines()[-1]
    return out / name


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From the sdist, as ``python -m build`` makes it: what the sdist lacks, the wheel lacks."""
    source, out = tmp_path_factory.mktemp("unpacked"), tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extractall(source, filter="data")
    name = run(sys.executable, "-c", BUILD, "build_wheel", out, folder=source / sdist.name.removesuffix(".tar.gz")).splitlines()[-1]
    return out / name


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment with this wheel, which takes all other libraries from the environment of the tests."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)
    commands = folder / "bin"
    run(sys.executable, "-m", "pip", "--python", commands / "python", "install", "--quiet", "--no-index", "--no-deps", wheel, folder=folder)
    own = Path(run(commands / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())
    # a path from a .pth file comes last and its own .pth files are not read, so that an editable xlift there stays unseen
    (own / "libraries.pth").write_text(str(Path(pytest.__file__).parent.parent) + "\n")
    return commands


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    expected = set()
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()):
        parts = path.relative_to(ROOT).parts
        if "__pycache__" not in parts and parts[:2] != ("leaderboard", "results"):
            expected.add("/".join(("xlift", *parts)).replace("xlift/harness/public/", "xlift/"))
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == expected
    assert {"xlift/__init__.py", "xlift/py.typed", "xlift/tasks/samples/mgsm.jsonl", "xlift/leaderboard/site/templates/base.html"} <= found


def test_the_index_shows_the_readme_without_links_to_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        head, _, description = archive.read(name).decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in head
    assert description.startswith("# xlift\n") and "](https://github.com/EleutherAI/lm-evaluation-harness)" in description
    assert re.findall(r"\]\((?!https?:)", description) == []


def test_the_sdist_holds_what_a_wheel_is_made_of(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "docs/methods.md"} <= names
    assert not [name for name in names if name.startswith(("tests", "leaderboard/results"))]


def test_the_installed_package_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    told = run(installed / "python", "-c", "import xlift; print(xlift.__file__, xlift.__version__)", folder=tmp_path)
    file, version = told.split()
    assert Path(file).is_relative_to(installed.parent)
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_what_ships_is_found(installed: Path, tmp_path: Path) -> None:
    xlift = installed / "xlift"
    assert "demo" in run(xlift, "ls", "suites", folder=tmp_path)
    assert "xlift_mgsm_cot_te" in run(xlift, "ls", "tasks", folder=tmp_path)
    assert "Swahili" in run(xlift, "ls", "languages", folder=tmp_path)
    assert "cross_lingual" in run(xlift, "ls", "methods", folder=tmp_path)
    assert run(xlift, "validate", "demo", folder=tmp_path).startswith("demo: valid\n")
    tasks = Path(run(xlift, "tasks", "--path", folder=tmp_path).strip())
    assert tasks.is_relative_to(installed.parent) and (tasks / "mgsm" / "xlift_mgsm_cot_te.yaml").is_file()


def test_a_method_is_started_and_a_site_is_built(installed: Path, tmp_path: Path) -> None:
    run(installed / "xlift", "new-method", "my_method", folder=tmp_path)
    (package,) = tmp_path.iterdir()
    assert "METHOD = " in (next(package.glob("src/*/my_method.py"))).read_text(encoding="utf-8")
    run(installed / "xlift", "site", ROOT / "leaderboard" / "results", "--out", tmp_path / "site", folder=tmp_path)
    assert "<title>" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert list((tmp_path / "site").rglob("*.css")) and list((tmp_path / "site").rglob("*.js"))
