"""Many adapters on many tasks: base + 8 adapters x 4 benchmarks x 5 languages, 32 items each, against lm_eval.

    python benchmarks/sweep.py                                          all of it: hours on two cores
    python benchmarks/sweep.py --adapters 2 --languages es,sw --limit 4 minutes
    python benchmarks/sweep.py --measured 1                             each peer on the base and one adapter, the rest extrapolated

Then a task is added to all models, which xlift measures alone, and the first command is given again in another run folder, which finds
the answers of the first. A peer that would measure more models than ``--measured`` adapters is extrapolated: its base once, and the mean
of the adapters that it measured for each of them; the line says so. Peers are those of evaluation.py. Without XLIFT_DATA the bundled
samples serve.
"""

import argparse
import tempfile
import time
from pathlib import Path

from evaluation import PEERS, lm_eval, make_adapters, merge_all, name_model, run_xlift

from xlift.harness.config.suite import BaseSettings
from xlift.harness.core.languages import find
from xlift.harness.models import bases

LANGUAGES = ("es", "de", "sw", "th", "zh")
ADDED = "xlift_flores_bpb_eng_Latn_spa_Latn"


def list_tasks(languages: list[str]) -> list[str]:
    """MGSM, XQuAD, FLORES and X-AlpacaEval; a benchmark that has not a language goes without it."""
    from xlift.tasks import index

    patterns = ("xlift_mgsm_direct_{lang}", "xlift_xquad_{lang}", "xlift_flores_eng_Latn_{flores}", "xlift_x_alpaca_eval_{lang}")
    wanted = [pattern.format(lang=code, flores=find(code).flores) for code in languages for pattern in patterns]
    return [task for task in wanted if index.exists(task)]


def run_timed(made: dict[str, Path], limit: int, out: Path, tasks: list[str]) -> float:
    started = time.perf_counter()
    run_xlift(made, limit, out, tasks)
    return time.perf_counter() - started


def time_peer(peer: str, base: bases.Base, merged: dict[str, Path], made: dict[str, Path], tasks: list[str], options: argparse.Namespace,
              out: Path) -> tuple[float, int]:  # fmt: skip
    """Seconds for all models, and how many of the adapters were measured."""
    chosen = list(made)[: options.measured or len(made)]
    seconds = {}
    for name in ["base", *chosen]:
        started = time.perf_counter()
        lm_eval(name_model(peer, base, merged[name], made.get(name)), options.limit, out / peer / name, tasks)
        seconds[name] = time.perf_counter() - started
    mean = sum(seconds[name] for name in chosen) / len(chosen)
    return seconds["base"] + mean * len(made), len(chosen)


def main(options: argparse.Namespace) -> None:
    base, tasks = bases.resolve(BaseSettings()), list_tasks(options.languages.split(","))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        made = make_adapters(base, work, options.adapters)
        ours = run_timed(made, options.limit, work / "xlift", tasks)
        print(f"xlift, base + {len(made)} adapters on {len(tasks)} tasks, {options.limit} items of each: {ours:.1f} s", flush=True)
        added = run_timed(made, options.limit, work / "xlift", [*tasks, ADDED])
        print(f"xlift, one task more: {added:.1f} s, {added / ours:.1%} of measuring all", flush=True)
        (work / "xlift" / "evaluate").rename(work / "first")
        again = run_timed(made, options.limit, work / "xlift", tasks)
        print(f"xlift, all of it again for another suite of the folder: {again:.1f} s, {again / ours:.1%}", flush=True)
        merged = merge_all(made, base, work)
        for peer in options.peers:
            taken, measured = time_peer(peer, base, merged, made, tasks, options, work)
            how = "" if measured == len(made) else f" (extrapolated from the base and {measured} of {len(made)} adapters)"
            print(f"lm_eval {peer:7} {taken:7.1f} s{how}   xlift is {taken / ours:.2f} times as fast", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", default=PEERS, help=", ".join(PEERS))
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--measured", type=int, default=0, help="adapters that each peer measures; 0 is all of them")
    main(parser.parse_args())
