"""Likelihoods of one set of items on the hf engine and on lm-eval's own hf model at its best batch size, in one run and one process.

    python benchmarks/likelihood.py                                   the tasks below, 40 items each
    python benchmarks/likelihood.py --limit 8 --batch-sizes 8 32 --tasks xlift_xquad_bpb_es

Both score the same requests in the same dtype. Items are drawn as a limited evaluation draws them, or with --first they are the first ones,
which have passages in common. With --cpu seconds are those of the processor, which others on the machine disturb less. Without
XLIFT_DATA the bundled samples serve (24 items each).
"""

import argparse
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("XLIFT_SAMPLES", "missing")

from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.engines.load import load_engine
from xlift.harness.evaluation.items import draw_items
from xlift.harness.models.bases import resolve
from xlift.tasks import index

TASKS = ("xlift_flores_bpb_eng_Latn_spa_Latn", "xlift_xquad_bpb_es", "xlift_ntrex_text_bpb_de", "xlift_belebele_likelihood_de")


def build_requests(tasks: Sequence[str], limit: int, first: bool, model: Any) -> dict[str, list[Any]]:
    """lm-eval's requests by task, behind the chat template of ``model``."""
    manager = TaskManager(include_path=str(index.folder()), include_defaults=False)
    found = {}
    for name, task in manager.load(list(tasks))["tasks"].items():
        chosen = list(range(limit)) if first else draw_items(list(task.eval_docs), limit)
        task.build_all_requests(samples=chosen, apply_chat_template=True, chat_template=model.apply_chat_template)
        found[name] = task.instances
    return found


def clock(
    score: Callable[[list[Any]], list[tuple[float, bool]]], requests: list[Any], timer: Callable[[], float]
) -> tuple[float, list[float]]:
    """Seconds, and the bits for each byte of the answers."""
    started = timer()
    found = score(requests)
    spent = timer() - started
    return spent, [-nats / math.log(2) / len(one.args[1].encode()) for one, (nats, _) in zip(requests, found, strict=True)]


def main(options: argparse.Namespace) -> None:
    logging.disable(logging.WARNING)
    base = resolve(BaseSettings())
    with load_engine(base, EngineSettings(backend="hf", dtype=options.dtype)) as engine:
        ours = engine.lm()
        requests = build_requests(options.tasks, options.limit, options.first, ours)
        timer = time.process_time if options.cpu else time.perf_counter
        clock(ours.loglikelihood, requests[options.tasks[0]][:2], timer)  # the first pass is slower than all others
        loaded = AutoModelForCausalLM.from_pretrained(base.folder, dtype=engine.describe()["dtype"]).eval()
        worst, totals = 0.0, dict.fromkeys(("xlift", *options.batch_sizes), 0.0)
        for name, asked in requests.items():
            seconds: dict[str | int, float] = {}
            seconds["xlift"], mine = clock(ours.loglikelihood, asked, timer)
            for size in options.batch_sizes:
                theirs = HFLM(pretrained=loaded, tokenizer=engine.tokenizer, batch_size=size, max_length=engine.max_length)
                seconds[size], others = clock(lambda asked, lm=theirs: lm.loglikelihood(asked, disable_tqdm=True), asked, timer)
                worst = max(worst, *(abs(one - other) for one, other in zip(mine, others, strict=True)))
            totals = {key: totals[key] + spent for key, spent in seconds.items()}
            print(f"{name}, {len(asked)} answers: " + ", ".join(f"{key} {spent:.2f} s" for key, spent in seconds.items()))
    best = min(options.batch_sizes, key=totals.__getitem__)
    print(f"together: xlift {totals['xlift']:.2f} s, lm-eval {totals[best]:.2f} s at its best batch size {best}")
    print(f"ratio {totals[best] / totals['xlift']:.2f}, largest difference {worst:.1e} bits per byte")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--dtype", default="float32")
    main(parser.parse_args())
