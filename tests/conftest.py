"""Fixtures that more than one test module uses."""

import gzip
import hashlib
import json
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import loopback_hub
import pytest
from commands import Call
from stages import stages_here
from tiny_base import write_tiny

from xlift.harness.cli.main import main
from xlift.harness.config.suite import BaseSettings
from xlift.harness.models.bases import Base, resolve


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests for a GPU or a browser are left out where there is none."""
    browsing = [item for item in items if item.get_closest_marker("browser")]
    if browsing and shutil.which("chromium") is None and not os.environ.get("XLIFT_SKIPS_FAIL"):
        config.hook.pytest_deselected(items=browsing)
        items[:] = [item for item in items if item not in browsing]
        warnings.warn("no chromium: the site is not tested in a browser; get it with: apt-get install chromium", stacklevel=1)
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


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as their columns need, whatever the terminal that the tests were started from."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command that a test calls sends xlift's lines to stderr, where later tests would not find them."""
    loggers = [logging.getLogger(name) for name in ("xlift", "lm_eval")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def unplugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches, no data folder, and a hub that nobody answers for."""
    from huggingface_hub import constants

    from xlift.tasks import fetching

    for name in ("XLIFT_DATA", "XLIFT_SAMPLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("XLIFT_MIRROR", "http://localhost:9")
    fetching._unreachable.cache_clear()


@pytest.fixture
def loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[loopback_hub.State]:
    """A hub on this machine that huggingface_hub talks to, with empty caches and a token that may write to ``me`` and ``lab``."""
    from huggingface_hub import constants

    with loopback_hub.serve() as state:
        monkeypatch.setattr(constants, "ENDPOINT", state.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", state.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # which a test that imported the client first may have switched on
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        for name, value in {"HF_ENDPOINT": state.url, "HF_HUB_CACHE": str(tmp_path / "hub-cache"), "HF_HUB_DISABLE_XET": "1"}.items():
            monkeypatch.setenv(name, value)  # for processes that a test starts
        monkeypatch.setenv("HF_TOKEN", loopback_hub.TOKEN)
        monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
        yield state


@pytest.fixture
def mirror(loopback: loopback_hub.State, monkeypatch: pytest.MonkeyPatch) -> loopback_hub.State:
    """The loopback hub with a small file at every published address; nothing else is known of those files' rows."""
    from published import publish_everything

    from xlift.tasks import corpus_table, data, fetching, likelihood_corpora, listings

    for name in ("XLIFT_DATA", "XLIFT_SAMPLES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XLIFT_MIRROR", loopback.url)
    monkeypatch.setattr(fetching, "_unreachable", lambda host: "")
    monkeypatch.setattr(fetching, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(data, "known_rows", dict)
    publish_everything(loopback)
    sha256 = {path.rpartition("/")[2]: hashlib.sha256(content).hexdigest() for path, content in loopback.mirrored.items()}
    monkeypatch.setitem(listings.FLORES_ARCHIVE, "sha256", sha256["flores200_dataset.tar.gz"])
    monkeypatch.setattr(corpus_table, "MLQA_SHA256", sha256["MLQA_V1.zip"])
    monkeypatch.setattr(likelihood_corpora, "XNLI_SHA256", sha256["XNLI-1.0.zip"])
    languages = corpus_table.CORPORA["xquad"].languages
    monkeypatch.setattr(corpus_table, "XQUAD_FILES", {lang: (0, sha256[f"xquad.{lang}.json"]) for lang in languages})
    return loopback


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


@pytest.fixture(scope="session")
def make_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a random Llama of two layers in float32, or with experts a Qwen3-MoE, with a byte-level tokenizer and a chat template."""

    def make(seed: int = 0, hidden: int = 32, positions: int = 256, experts: int = 0) -> Path:
        return write_tiny(tmp_path_factory.mktemp("base"), seed, hidden, positions, experts)

    return make


@pytest.fixture(scope="session")
def tiny_base(make_base: Callable[..., Path]) -> Path:
    """The tiny model with room for whole benchmark prompts, whose tokens are bytes."""
    return make_base(positions=4096)


@pytest.fixture(scope="session")
def tiny(make_base: Callable[..., Path]) -> Base:
    """The tiny model, resolved."""
    return resolve(BaseSettings(model=str(make_base())))


@pytest.fixture(scope="session")
def smollm() -> Base:
    """The embedded base model, unpacked into the user's cache where it is not there yet."""
    return resolve(BaseSettings())


@pytest.fixture(scope="session")
def make_adapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a LoRA adapter with random weights, ``scale`` that of its B halves; further arguments go to LoraConfig."""

    def make(base: Base, seed: int = 1, scale: float = 0.1, **options: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
        lora = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **options}
        tuned = get_peft_model(model, LoraConfig(**lora))
        with torch.no_grad():
            for name, weight in tuned.named_parameters():
                if "lora_B" in name or "lora_embedding_B" in name:
                    weight.copy_(torch.randn_like(weight) * scale)
        folder = tmp_path_factory.mktemp("adapter")
        tuned.save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def in_process() -> Iterator[None]:
    """Runs start no processes."""
    with stages_here():
        yield


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The xlift command in this process; no output may hold the hub's token."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xlift", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        assert loopback_hub.TOKEN not in out + err
        return code, out, err

    return run
