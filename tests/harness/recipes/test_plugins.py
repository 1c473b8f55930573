"""Which code an installed plugin is: every change of its files counts, wherever they lie."""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from xlift.harness.recipes import registry
from xlift.harness.recipes.contract import RECIPES_VERSION
from xlift.harness.recipes.plugins import Code, Plugin, identify_plugin

METHOD = """
from xlift.harness.plugin import Method, Options, Plan
class Birds(Method[Options]):
    version = 3
    Options = Options
    def prepare(self, ctx):
        return Plan(())
METHOD = Birds
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages with two birds in it: a package with a helper and a table, and a single module with a helper."""
    files = {
        "birds/__init__.py": "",
        "birds/method.py": METHOD,
        "birds/deep/helper.py": "SIZE = 1\n",
        "birds/words.tsv": "bird\tpájaro\n",
        "bird_method.py": METHOD,
        "bird_method.yaml": "{}\n",
        "bird_helper.py": "SIZE = 1\n",
        "two_birds-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: two-birds\nVersion: 1.5\n",
        "two_birds-1.5.dist-info/top_level.txt": "bird_method\nbird_helper\n",
        "two_birds-1.5.dist-info/entry_points.txt": "[xlift.methods]\nbirds = birds.method:METHOD\nbird = bird_method:METHOD\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    registry._installed.cache_clear()
    yield tmp_path
    registry._installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("birds", "bird_method")]:
        del sys.modules[name]


def point_of(name: str) -> EntryPoint:
    (point,) = entry_points(group="xlift.methods", name=name)
    return point


def test_a_built_in_method_goes_by_versions_alone() -> None:
    assert registry.identify("cross_lingual") == Code(registry.find_method("cross_lingual").version, RECIPES_VERSION, None)


def test_a_plugin_goes_by_its_distribution_and_its_files_too(site: Path) -> None:
    found = registry.identify("birds")
    assert (found.version, found.recipes) == (3, RECIPES_VERSION)
    assert found.plugin == identify_plugin(point_of("birds"))
    assert (found.plugin.distribution, found.plugin.version, len(found.plugin.sha256)) == ("two-birds", "1.5", 64)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("birds", "birds/method.py"), ("birds", "birds/deep/helper.py"), ("birds", "birds/words.tsv"), ("bird", "bird_method.py"),
        ("bird", "bird_method.yaml"), ("bird", "bird_helper.py"),
    ],
)  # fmt: skip
def test_every_file_of_a_plugin_counts(name: str, changed: str, site: Path) -> None:
    before = identify_plugin(point_of(name))
    assert identify_plugin(point_of(name)) == before
    (site / changed).write_text((site / changed).read_text() + "\n")
    assert identify_plugin(point_of(name)).sha256 != before.sha256


def test_what_is_not_the_plugins_does_not_count(site: Path) -> None:
    before = identify_plugin(point_of("bird"))
    (site / "another.py").write_text("")
    (site / "birds/__pycache__").mkdir()
    (site / "birds/__pycache__/method.cpython-311.pyc").write_bytes(b"\0")
    assert identify_plugin(point_of("bird")) == before
    assert isinstance(before, Plugin)
