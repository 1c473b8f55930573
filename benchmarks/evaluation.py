"""Base + 3 adapters on 4 tasks, 32 items each: one `xlift evaluate` against four lm_eval processes, in one run.

    python benchmarks/evaluation.py                 all three peers
    python benchmarks/evaluation.py merged hf       some of them
    python benchmarks/evaluation.py lora --limit 4  fewer items, where a peer would take hours

Peers: `merged` is lm_eval --model vllm on merged folders, `lora` is lm_eval --model vllm with lora_local_path, `hf` is lm_eval --model hf
with peft= at batch 32. All compute in the dtype that xlift chooses for this machine. Without XLIFT_DATA the bundled samples serve (24
items each).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from xlift.harness.config.suite import BaseSettings
from xlift.harness.engines.dtypes import choose_arithmetic
from xlift.harness.evaluation.records import read_records
from xlift.harness.models import adapters, bases
from xlift.tasks import index
from xlift.tasks.benchmarks import headline

BIN = Path(sys.executable).parent
TASKS = ["xlift_mgsm_direct_es", "xlift_xquad_es", "xlift_mlqa_es", "xlift_flores_eng_Latn_spa_Latn"]
DTYPE = str(choose_arithmetic("bfloat16")).removeprefix("torch.")
PEERS = ["merged", "lora", "hf"]
VLLM = f"dtype={DTYPE},max_model_len=2048,enforce_eager=True"
ENVIRONMENT = {
    **os.environ,
    "XLIFT_SAMPLES": "missing",
    "VLLM_CPU_KVCACHE_SPACE": "2",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def make_adapters(base: bases.Base, out: Path, count: int = 3) -> dict[str, Path]:
    """LoRA adapters (rank 16, all linear layers) with small random weights: the answers stay language, but differ."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    options = LoraConfig(r=16, target_modules="all-linear")
    made = {}
    for seed in range(1, count + 1):
        torch.manual_seed(seed)
        model = get_peft_model(AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32), options)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.003)
        made[f"adapter{seed}"] = out / f"adapter{seed}"
        model.save_pretrained(made[f"adapter{seed}"])
    return made


def merge_all(made: dict[str, Path], base: bases.Base, work: Path) -> dict[str, Path]:
    """Folders of merged models beside the base's, as a user of lm_eval would make them."""
    merged = {"base": base.folder}
    for name, path in made.items():
        merged[name] = work / f"merged-{name}"
        adapters.merge(adapters.resolve(path), base, DTYPE).save_pretrained(merged[name])
        bases.load_tokenizer(base).save_pretrained(merged[name])
    return merged


def name_model(peer: str, base: bases.Base, merged: Path, adapter: Path | None) -> list[str]:
    """lm_eval's arguments for one model in the way of a peer."""
    if peer == "merged":
        return ["--model", "vllm", "--model_args", f"pretrained={merged},{VLLM}", "--batch_size", "auto"]
    if peer == "lora":
        extra = f",enable_lora=True,max_lora_rank=16,lora_local_path={adapter}" if adapter else ""
        return ["--model", "vllm", "--model_args", f"pretrained={base.folder},{VLLM}{extra}", "--batch_size", "auto"]
    extra = f",peft={adapter}" if adapter else ""
    return ["--model", "hf", "--model_args", f"pretrained={base.folder},dtype={DTYPE}{extra}", "--batch_size", "32"]


def lm_eval(arguments: list[str], limit: int, out: Path, tasks: list[str]) -> dict[str, float]:
    chosen = ["--include_path", index.folder(), "--tasks", ",".join(tasks), "--limit", str(limit), "--apply_chat_template"]
    command = [BIN / "lm_eval", "run", *chosen, "--output_path", out / "results.json", "--log_samples", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise SystemExit(f"lm_eval failed:\n{done.stderr[-3000:]}")
    found = json.loads(max(out.glob("results_*.json")).read_text())["results"]
    return {task: next(value for key, value in found[task].items() if key.split(",")[0] == headline(task)) for task in tasks}


def run_xlift(made: dict[str, Path], limit: int, out: Path, tasks: list[str]) -> dict[str, dict[str, float]]:
    chosen = ["--tasks", ",".join(tasks), "--limit", str(limit), "--languages", "es", "--set", "data.samples=missing"]
    command = [BIN / "xlift", "evaluate", *chosen, "--runs", out, "--backend", "vllm"]
    for name, folder in made.items():
        command += ["--adapter", f"{name}={folder}"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise SystemExit(f"xlift failed:\n{done.stderr[-3000:]}")
    records = read_records([out / "evaluate"]).records
    return {record.label: {task: record.tasks[task].metrics[str(headline(task))].value for task in tasks} for record in records}


def time_peer(
    arguments: Callable[[str], list[str]], names: list[str], limit: int, out: Path
) -> tuple[float, dict[str, dict[str, float]]]:  # fmt: skip
    started, scores = time.perf_counter(), {}
    for name in names:
        scores[name] = lm_eval(arguments(name), limit, out / name, TASKS)
    return time.perf_counter() - started, scores


def main(chosen: list[str], limit: int) -> None:
    base = bases.resolve(BaseSettings())
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        made = make_adapters(base, work)
        merged, names = merge_all(made, base, work), ["base", *made]
        started = time.perf_counter()
        ours = run_xlift(made, limit, work / "xlift", TASKS)
        seconds = time.perf_counter() - started
        print(f"xlift evaluate, base + 3 adapters on {len(TASKS)} tasks, limit {limit}, {DTYPE}: {seconds:.1f} s", flush=True)
        for peer in chosen:
            taken, theirs = time_peer(
                lambda name, peer=peer: name_model(peer, base, merged[name], made.get(name)), names, limit, work / peer
            )
            equal = sum(abs(theirs[name][task] - ours[name][task]) < 1e-9 for name in names for task in TASKS)
            ratio, of = f"xlift is {taken / seconds:.2f} times as fast", len(names) * len(TASKS)
            print(f"lm_eval {peer:7} {taken:7.1f} s   {ratio}   {equal} of {of} scores equal", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", default=PEERS, help=", ".join(PEERS))
    parser.add_argument("--limit", type=int, default=32)
    options = parser.parse_args()
    if odd := set(options.peers) - set(PEERS):
        parser.error(f"unknown peer {min(odd)}; known: {', '.join(PEERS)}")
    main(options.peers, options.limit)
