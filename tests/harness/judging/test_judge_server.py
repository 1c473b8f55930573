"""A real judge over HTTP: vLLM's OpenAI-compatible server with SmolLM2, in both modes, straight and through a proxy that makes faults."""

import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from judges import FaultProxy, serve

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.engines import openai_api
from xlift.harness.engines.dtypes import choose_arithmetic
from xlift.harness.judging.judges import open_judge
from xlift.harness.judging.replies import Judged, judge_pairs
from xlift.harness.models.bases import Base
from xlift.tasks.judge import MODES, Mode, Pair
from xlift.tasks.judge_probes import list_probes

pytestmark = pytest.mark.slow

PAIRS = [probe.pair for probe in list_probes() if probe.pair.lang == "en"][:4]


@pytest.fixture(scope="module")
def url(smollm: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(smollm.folder), "--served-model-name", "smollm",
        "--host", "127.0.0.1", "--port", str(port), "--max-model-len", "2048", "--max-num-seqs", "8", "--enforce-eager",
        "--dtype", str(choose_arithmetic("bfloat16")).removeprefix("torch."),
    ]  # fmt: skip
    log = tmp_path_factory.mktemp("server") / "log"
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=environment) as server:
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()


def _wait(health: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 800
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"vLLM's server did not start: {log.read_text()[-2000:]}")


def run(url: str, mode: Mode, folder: Path, pairs: list[Pair] = PAIRS) -> Judged:
    opened = open_judge(JudgeSettings(judge=url, model="smollm", concurrency=8))
    try:
        return judge_pairs(opened, mode, pairs, folder)
    finally:
        opened.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_served_model_judges(url: str, mode: Mode, tmp_path: Path) -> None:
    pairs = PAIRS if mode == "weighted" else PAIRS[:1]  # an explanation takes a slow machine a minute
    judged = run(url, mode, tmp_path, pairs)
    assert judged.asked == 2 * len(pairs) and judged.served == "smollm" and judged.tokens > judged.asked * 100
    assert all(judged.replies.values())
    # a model of 135M puts little of its probability on m and M, and its explanations seldom end in a verdict: most cannot be read
    assert all(one is None or 0 <= one <= 1 for verdict in judged.verdicts for one in verdict.preferences)
    again = run(url, mode, tmp_path, pairs)
    assert again.asked == 0 and again.verdicts == judged.verdicts


def test_faults_on_the_way_change_no_verdict(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = run(url, "weighted", tmp_path / "a", PAIRS[:2])
    monkeypatch.setattr(openai_api, "RETRIES", 5)
    proxy = FaultProxy(url)
    proxy.faults = itertools.chain(["429", "500", "cut"], itertools.repeat(""))
    with serve(proxy):
        faulty = run(proxy.url, "weighted", tmp_path / "b", PAIRS[:2])
    assert proxy.tally["429"] == proxy.tally["500"] == proxy.tally["cut"] == 1
    for one, other in zip(straight.verdicts, faulty.verdicts, strict=True):
        assert one.masses == pytest.approx(other.masses, abs=0.05)  # batches move the last bits of bf16


def test_malformed_log_probabilities_are_counted(url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(url)
    proxy.faults = iter(["", "not numbers"])
    with serve(proxy):
        (verdict,) = run(proxy.url, "weighted", tmp_path, PAIRS[:1]).verdicts
    assert proxy.tally["not numbers"] == 1 and verdict.preferences[1] is None
