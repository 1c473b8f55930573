"""Fixtures that more than one test module uses."""

import gzip
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for a GPU are left out where there is none."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if wanting:
        import torch

        if not torch.cuda.is_available():
            config.hook.pytest_deselected(items=wanting)
            items[:] = [item for item in items if item not in wanting]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """With XLIFT_SKIPS_FAIL a skipped test is a failed one: it has not shown what it is there to show."""
    report = yield
    if report.skipped and os.environ.get("XLIFT_SKIPS_FAIL"):
        report.outcome, report.longrepr = "failed", f"skipped, which counts as failed here: {report.longrepr[-1]}"
    return report


@pytest.fixture
def unplugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, no data folder, and a hub that nobody answers for."""
    from huggingface_hub import constants

    from xlift.tasks import sources

    for name in ("XLIFT_DATA", "XLIFT_SAMPLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(sources, "GITHUB", "http://127.0.0.1:9")
    sources._unreachable.cache_clear()


@pytest.fixture
def fill_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a data folder with its manifest, and name it in XLIFT_DATA."""

    def write(**contents: str) -> Path:
        root = tmp_path / "data"
        entries = []
        for name, text in contents.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
            entries.append({"file": name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
        (root / "manifest.json").write_text(json.dumps(entries), encoding="utf-8")
        monkeypatch.setenv("XLIFT_DATA", str(root))
        return root

    return write
