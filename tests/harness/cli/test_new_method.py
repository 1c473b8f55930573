"""What `xlift new-method` writes, and the names it refuses. tests/test_plugin_package.py installs and runs it."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from xlift.harness.cli.new_method import create
from xlift.harness.config.suite import load_suite
from xlift.harness.core.errors import UserError


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create("two_birds", tmp_path_factory.mktemp("made"))[0].parent


def test_the_files_of_a_package(package: Path) -> None:
    assert package.name == "xlift-two-birds"
    assert sorted(str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()) == [
        "README.md", "pyproject.toml", "src/xlift_two_birds/__init__.py", "src/xlift_two_birds/two_birds.py",
        "src/xlift_two_birds/two_birds.yaml", "suite.yaml", "tests/test_two_birds.py",
    ]  # fmt: skip
    project = tomllib.loads((package / "pyproject.toml").read_text())
    assert project["project"]["name"] == "xlift-two-birds"
    assert project["project"]["entry-points"]["xlift.methods"] == {"two_birds": "xlift_two_birds.two_birds:METHOD"}
    assert "class TwoBirds(Method[TwoBirdsOptions]):" in (package / "src/xlift_two_birds/two_birds.py").read_text()
    for path in package.rglob("*"):
        assert path.is_dir() or "$" not in path.read_text(), path


def test_it_passes_ruff(package: Path) -> None:
    for command in (["check", "--select", "E,F,W,I,B,UP,SIM,PIE"], ["format", "--check"]):
        arguments = [*command, "--isolated", "--line-length", "140", str(package)]
        done = subprocess.run([sys.executable, "-m", "ruff", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_suite_is_valid(package: Path) -> None:
    suite = load_suite(package / "suite.yaml")
    assert [chosen.method for chosen in suite.methods.values()] == ["two_birds", "cross_lingual"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("MyMethod", "'MyMethod' cannot name a method: lower-case words of letters and digits, joined by '_', such as my_method"),
        ("my-method", "such as my_method"),
        ("2nd_try", "such as nd_try"),
        ("../away", "such as away"),
        ("", "cannot name a method"),
        ("class", "'class' cannot name a method"),
        ("méthode", "cannot name a method"),
        ("_hidden", "such as hidden"),
        ("cross_lingual", "a method 'cross_lingual' is there already"),
    ],
)
def test_names_that_are_refused(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        create(name, tmp_path)
    assert says in str(error.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    create("two_birds", tmp_path)
    with pytest.raises(UserError, match="xlift-two-birds: is there already; choose another name, or another place with --out"):
        create("two_birds", tmp_path)


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file.*: cannot be written .Not a directory.; choose another place with --out"):
        create("two_birds", tmp_path / "file")
