"""Methods of other people's packages, installed with pip: found, run end to end, and named where they are broken or clash.

They go into a folder on PYTHONPATH, where entry points are found as in the environment itself, so that nothing stays behind.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from xlift.harness.cli.new_method import create
from xlift.harness.evaluation.records import read_records

pytestmark = pytest.mark.slow

XLIFT = Path(sys.executable).parent / "xlift"
BAD = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "bad-plugins"
version = "1"
[project.entry-points."xlift.methods"]
broken = "bad_plugins:METHOD"
nothing = "json:METHOD"
no_method = "json:dumps"
cross_lingual = "json:loads"
[tool.setuptools]
py-modules = ["bad_plugins"]
"""


def install(package: Path, site: Path) -> None:
    """As ``pip install PACKAGE`` does, but without a network."""
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--target", str(site)]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, str(package)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return create("two_birds", tmp_path_factory.mktemp("made"))[0].parent


@pytest.fixture(scope="module")
def good(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("good")
    install(package, site)
    return site


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("bad")
    (source / "pyproject.toml").write_text(BAD)
    (source / "bad_plugins.py").write_text("import a_library_that_is_not_there\n")
    install(source, site)
    return site


def call(*arguments: object, sites: list[Path]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites))}
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, env=environment)


def write_suite(folder: Path, method: str, base: str = "smollm2-135m-instruct") -> Path:
    values = {
        "name": "outside",
        "base": {"model": base},
        "data": {"samples": "always"},
        "languages": {"train": ["es"], "evaluate": ["es"]},
        "rows": 24,
        "methods": {"m": {"method": method}},
        "train": {"tokens": 6000, "batch_tokens": 768, "micro_batch_tokens": 768, "max_length": 384, "learning_rate": 1.0e-2,
                  "dtype": "float32", "lora": {"r": 4, "target_modules": "all-linear"}},
        "engine": {"backend": "hf", "dtype": "float32", "max_length": 2048},
        "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"], "limit": 2},
    }  # fmt: skip
    (folder / "suite.yaml").write_text(yaml.safe_dump(values))
    return folder / "suite.yaml"


def test_the_packages_own_tests_pass(package: Path, good: Path) -> None:
    done = call(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", package / "tests", sites=[good])
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_an_installed_method_is_listed(good: Path, bad: Path) -> None:
    """Beside broken ones, which say what is wrong with them."""
    done = call(XLIFT, "ls", "methods", "--json", sites=[good, bad])
    assert done.returncode == 0, done.stderr
    about = {row["method"]: row["about"] for row in json.loads(done.stdout)}
    assert about["two_birds"].startswith("Translation first, instructions after it")
    assert about["broken"].startswith("cannot be used: method 'broken': its plugin bad_plugins:METHOD does not load")
    assert "cross_lingual" in about


def test_an_installed_method_is_trained_and_measured(good: Path, bad: Path, tiny_base: Path, tmp_path: Path) -> None:
    """With broken packages beside it, which break only the runs that ask for them."""
    suite = write_suite(tmp_path, "two_birds", str(tiny_base))
    done = call(XLIFT, "run", suite, "--runs", tmp_path / "runs", sites=[good, bad])
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "outside"
    (prepared,) = (json.loads(path.read_text()) for path in folder.glob("prepare-*/manifest.json"))
    assert prepared["kinds"] == {"en/instructions": 12, "es/translation": 12}
    assert prepared["plan"]["phases"] == [["translation"], ["instructions"]]
    (adapter,) = folder.glob("fit-*/adapter")
    assert (adapter / "adapter_model.safetensors").is_file()
    card = json.loads((adapter / "xlift.json").read_text())
    assert (card["method"], card["options"]["translation"]) == ("two_birds", 0.5)
    assert card["code"] == {key: value for key, value in prepared["inputs"]["code"].items() if key != "translators"}
    assert (card["code"]["plugin"]["version"], len(card["code"]["plugin"]["sha256"])) == ("0.1.0", 64)
    base, adapted = read_records([folder]).records
    assert (base.label, adapted.label, adapted.method) == ("base", "m", "two_birds")
    assert adapted.tasks["xlift_mgsm_direct_es"].items == 2


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("broken", "method 'broken': its plugin bad_plugins:METHOD does not load: ModuleNotFoundError: No module named"),
        ("nothing", "method 'nothing': its plugin json:METHOD does not load"),
        ("no_method", "not a subclass of xlift.harness.plugin.Method"),
        ("cross_lingual", "method 'cross_lingual': an installed plugin (json:loads) has the name of a built-in method"),
        ("tow_birds", "did you mean 'two_birds'?"),
    ],
)
def test_a_bad_plugin_is_named_in_one_line(method: str, says: str, good: Path, bad: Path, tmp_path: Path) -> None:
    done = call(XLIFT, "validate", write_suite(tmp_path, method), sites=[good, bad])
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_bad_plugin_breaks_no_other_suite(good: Path, bad: Path, tmp_path: Path) -> None:
    done = call(XLIFT, "validate", write_suite(tmp_path, "two_birds"), sites=[good, bad])
    assert (done.returncode, done.stderr) == (0, "")
