"""Tokens per second of data generation, against vLLM's own throughput benchmark on the same prompts, in one run.

    python benchmarks/generation.py                    128 prompts in Spanish, answers of at most 128 tokens
    python benchmarks/generation.py --prompts 32       fewer of them

xlift answers first, by sampling at temperature 1, as methods do that let the base answer. Then `vllm.benchmarks.throughput` is given the
same prompts and generates, for each, as many tokens as xlift's answer has (it takes no end of an answer for an end). Each is a process
of its own, and neither's loading is counted. Both compute in the dtype that xlift chooses for this machine. Without XLIFT_DATA the
bundled samples serve, which repeat: they are fewer.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("XLIFT_SAMPLES", "missing")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

LENGTH = 2048


def run_xlift(work: Path, count: int, tokens: int) -> None:
    """Answer the prompts and write what the peer needs, and the seconds."""
    from xlift.harness.config.suite import BaseSettings, EngineSettings
    from xlift.harness.core.types import Sampling
    from xlift.harness.engines.load import load_engine
    from xlift.harness.models.bases import resolve
    from xlift.harness.models.tokens import tokenize
    from xlift.tasks import data

    rows = data.read_training("alpagasus", "es", samples="missing")
    chats = [({"role": "user", "content": str(row["instruction"])},) for row in islice(cycle(rows), count)]
    settings = EngineSettings(backend="vllm")
    with load_engine(resolve(BaseSettings()), settings) as engine:
        engine.generate(chats[:2], Sampling(max_tokens=4, temperature=1.0))
        started = time.perf_counter()
        answers = engine.generate(chats, Sampling(max_tokens=tokens, temperature=1.0))
        seconds = time.perf_counter() - started
        prompts = tokenize(engine.tokenizer, [engine.render(chat) for chat in chats])
        dtype = engine.describe()["dtype"].removeprefix("torch.")
        asked = [{"prompt": prompt, "tokens": answer.tokens} for prompt, answer in zip(prompts, answers, strict=True)]
    found = {"model": str(engine.base.folder), "dtype": dtype, "seconds": seconds, "asked": asked}
    (work / "xlift.json").write_text(json.dumps(found), encoding="utf-8")


def run_peer(work: Path) -> None:
    """Generate as many tokens for each prompt by vLLM's benchmark, and write the seconds."""
    from vllm.benchmarks.datasets import SampleRequest
    from vllm.benchmarks.throughput import run_vllm
    from vllm.engine.arg_utils import EngineArgs

    given = json.loads((work / "xlift.json").read_text(encoding="utf-8"))
    requests = [
        SampleRequest(
            prompt={"prompt_token_ids": one["prompt"]},
            prompt_len=len(one["prompt"]),
            expected_output_len=one["tokens"],
        )
        for one in given["asked"]
    ]
    options = EngineArgs(model=given["model"], dtype=given["dtype"], max_model_len=LENGTH, enforce_eager=True, seed=0)
    seconds, _ = run_vllm(requests, 1, options, do_profile=False, warmup_requests=requests[:2])
    (work / "peer.json").write_text(json.dumps({"seconds": seconds}), encoding="utf-8")


def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for who in ("xlift", "peer"):
            command = [sys.executable, __file__, "--as", who, "--work", folder, *sys.argv[1:]]
            subprocess.run(command, check=True)
        ours = json.loads(Path(folder, "xlift.json").read_text(encoding="utf-8"))
        theirs = json.loads(Path(folder, "peer.json").read_text(encoding="utf-8"))
    made = sum(one["tokens"] for one in ours["asked"])
    print(f"{len(ours['asked'])} prompts, {made} tokens of answers, {ours['dtype']}")
    print(f"xlift                       {made / ours['seconds']:8.1f} tokens/s")
    share = theirs["seconds"] / ours["seconds"]
    print(f"vLLM's throughput benchmark {made / theirs['seconds']:8.1f} tokens/s   xlift reaches {share:.1%} of it")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128, help="the most tokens of an answer")
    parser.add_argument("--as", dest="role", choices=["xlift", "peer"], help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.role == "xlift":
        run_xlift(chosen.work, chosen.prompts, chosen.tokens)
    elif chosen.role == "peer":
        run_peer(chosen.work)
    else:
        main(chosen)
