"""Tokens per second of answers on the hf engine, against transformers' own ``generate`` on the same prompts, in one run.

    python benchmarks/decoding.py                              24 prompts in Spanish, greedy answers of at most 384 tokens
    python benchmarks/decoding.py --prompts 8 --tokens 64      a smaller run

Both write with the same weights, in one process and on one thread. ``generate`` gets the batches that the budget of tokens allows, the
widest first, and goes on with a batch until its last answer is done; tokens behind an answer's end do not count. Told are seconds of the
processor, so that other work on the machine matters less, and how many answers are the same in both.
"""

import argparse
import time
from itertools import islice

import torch

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.types import Sampling
from xlift.harness.engines.batches import cut_batches
from xlift.harness.engines.hf import HfEngine
from xlift.harness.models.bases import resolve
from xlift.harness.models.tokens import tokenize
from xlift.tasks import data


def run_peer(engine: HfEngine, prompts: list[list[int]], most: int) -> list[list[int]]:
    """The answers' tokens by ``generate``, each with the end that it wrote."""
    found: list[list[int]] = [[] for _ in prompts]
    end = engine.tokenizer.eos_token_id
    for batch in cut_batches([len(prompt) + most for prompt in prompts], engine.settings.batch_tokens):
        some = {"input_ids": [prompts[place] for place in batch]}
        padded = engine.tokenizer.pad(some, padding_side="left", return_tensors="pt")
        with torch.inference_mode():
            out = engine.model.generate(**padded, max_new_tokens=most, do_sample=False, eos_token_id=end)
        for place, row in zip(batch, out[:, padded["input_ids"].shape[1] :].tolist(), strict=True):
            found[place] = row[: row.index(end) + 1] if end in row else row
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=384)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = islice(data.read_training("alpagasus", "es"), options.prompts)
    chats = [({"role": "user", "content": str(row["instruction"])},) for row in rows]
    engine = HfEngine(resolve(BaseSettings()), EngineSettings(backend="hf"))
    prompts = tokenize(engine.tokenizer, [engine.render(chat) for chat in chats])
    engine.generate(chats[:1], Sampling(max_tokens=4))
    speeds = []
    before = time.process_time()
    answers = engine.generate(chats, Sampling(max_tokens=options.tokens))
    speeds.append(sum(answer.tokens for answer in answers) / (time.process_time() - before))
    before = time.process_time()
    peers = run_peer(engine, prompts, options.tokens)
    speeds.append(sum(map(len, peers)) / (time.process_time() - before))
    same = sum(answer.text == engine.tokenizer.decode(peer, skip_special_tokens=True) for answer, peer in zip(answers, peers, strict=True))
    print(f"xlift {speeds[0]:.1f} tokens/s, generate {speeds[1]:.1f} tokens/s of the processor: {speeds[0] / speeds[1]:.2f} times")
    print(f"{same} of {len(peers)} answers are the same; {sum(map(len, peers))} tokens")
    engine.close()


if __name__ == "__main__":
    main()
