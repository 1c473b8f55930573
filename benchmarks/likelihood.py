"""Likelihoods of one set of items on the hf engine and on lm-eval's own hf model at its best batch size, in one run and one process.

    python benchmarks/likelihood.py                                   the tasks of TIMED, 40 items each
    python benchmarks/likelihood.py --limit 8 --batch-sizes 8 32 --tasks xlift_xquad_bpb_es
    python benchmarks/likelihood.py --check                           the tasks of CHECKED, 20 items each, and no timing

With --check both engines are compared with a plain loop over transformers in float32, which reads each answer behind its prompt by
itself, without a batch, a cache or padding; the exit code is 1 where a value differs by more than 1e-4 bits per byte.

Without it, both score the same requests in the same dtype. Items are drawn as a limited evaluation draws them, or with --first they are
the first ones, which have passages in common. With --cpu seconds are those of the processor, which others on the machine disturb less.
Without XLIFT_DATA the bundled samples serve (24 items each).
"""

import argparse
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("XLIFT_SAMPLES", "missing")
os.environ.setdefault("TQDM_DISABLE", "1")

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoModelForCausalLM

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.engines.load import load_engine
from xlift.harness.evaluation.items import draw_items
from xlift.harness.models.bases import Base, resolve
from xlift.tasks import index

TIMED = ("xlift_flores_bpb_eng_Latn_spa_Latn", "xlift_xquad_bpb_es", "xlift_ntrex_text_bpb_de", "xlift_belebele_likelihood_de")
CHECKED = (
    "xlift_flores_bpb_eng_Latn_spa_Latn", "xlift_flores_bpb_eng_Latn_zho_Hans", "xlift_ntrex_text_bpb_hi", "xlift_flores_text_bpb_sw",
    "xlift_xquad_bpb_es", "xlift_mgsm_bpb_sentence_es", "xlift_mgsm_bpb_sentence_sw", "xlift_belebele_likelihood_en", "xlift_xcopa_sw",
    "xlift_pawsx_de",
)  # fmt: skip
MOST = 1e-4
"""Bits per byte that two ways to one likelihood may differ by."""


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
    return spent, count_bits(requests, [nats for nats, _ in found])


def count_bits(requests: Sequence[Any], nats: Sequence[float]) -> list[float]:
    """Bits for each byte of the answers."""
    return [-each / math.log(2) / len(one.args[1].encode()) for one, each in zip(requests, nats, strict=True)]


@torch.inference_mode()
def read_alone(model: Any, tokenizer: Any, prompt: str, answer: str) -> float:
    """The natural logarithm of an answer's probability behind its prompt: one sequence, all logits."""
    before = tokenizer(prompt, add_special_tokens=False).input_ids or [tokenizer.bos_token_id]
    ids = [*before, *tokenizer(answer, add_special_tokens=False).input_ids]
    together = tokenizer(prompt + answer, add_special_tokens=False).input_ids
    if prompt and together[: len(before)] == before:
        ids = together
    logs = model(torch.tensor([ids])).logits[0, len(before) - 1 : -1].double().log_softmax(-1)
    return sum(float(row[token]) for row, token in zip(logs, ids[len(before) :], strict=True))


def check(base: Base, tasks: Sequence[str], limit: int) -> bool:
    """Print how far each engine is from a plain loop, by task; whether all values are within ``MOST``."""
    requests: dict[str, list[Any]] = {}
    expected: dict[str, list[float]] = {}
    agree = True
    for backend in ("hf", "vllm"):
        with load_engine(base, EngineSettings(backend=backend, dtype="float32", kv_cache_gib=1)) as engine:
            if not requests:
                requests = build_requests(tasks, limit, False, engine.lm())
                model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32).eval()
                for name, asked in requests.items():
                    nats = [read_alone(model, engine.tokenizer, *one.args[:2]) for one in asked]
                    expected[name] = count_bits(asked, nats)
            for name, asked in requests.items():
                found = count_bits(asked, [nats for nats, _ in engine.lm().loglikelihood(asked)])
                worst = max(abs(one - other) for one, other in zip(found, expected[name], strict=True))
                agree &= worst <= MOST
                items = len({one.doc_id for one in asked})
                print(f"{backend}, {name}: {items} items, {len(asked)} answers, largest difference {worst:.1e} bits per byte", flush=True)
    return agree


def compare_speed(base: Base, options: argparse.Namespace) -> None:
    """Print the seconds of both, the ratio, and the largest difference of their values."""
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


def main(options: argparse.Namespace) -> int:
    logging.disable(logging.WARNING)
    base = resolve(BaseSettings())
    if options.check:
        return 0 if check(base, options.tasks or CHECKED, options.limit or 20) else 1
    options.tasks, options.limit = options.tasks or TIMED, options.limit or 40
    compare_speed(base, options)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--tasks", nargs="+")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--dtype", default="float32")
    sys.exit(main(parser.parse_args()))
