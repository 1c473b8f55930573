"""Statistics of 50 runs x 20 tasks x 1,000 items, made-up scores: every table of a leaderboard, and the same intervals by a plain loop.

python benchmarks/comparisons.py [--runs 50] [--languages 10] [--items 1000] [--loops 49]
The mark is 10 s at most on 2 cores. The peer is scipy.stats.bootstrap (2,000 resamples, percentile) over --loops of the comparisons of
one table, times as many as there are; ours does all of them, with tests, corrections, averages and ranks.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from xlift.leaderboard.analysis.comparisons import tabulate_lifts, tabulate_tasks
from xlift.leaderboard.analysis.rankings import rank_overall, tabulate_ranks
from xlift.leaderboard.analysis.statistics import RESAMPLES
from xlift.leaderboard.loading.scores import Columns, Documents

LANGUAGES = ("en", "es", "de", "zh", "th", "ru", "bn", "sw", "te", "ja")
TRAINED = ("es", "de", "sw")


def make_documents(runs: int, languages: int, items: int) -> Iterator[Documents]:
    """Two benchmarks, one scored 0 or 1 and one between, with documents that are hard for all models."""
    rng = np.random.default_rng(0)
    ids = np.arange(items)
    for benchmark, metric in (("xlift_mgsm_direct", "accuracy"), ("xlift_xquad", "f1")):
        for code in LANGUAGES[:languages]:
            task = f"{benchmark}_{code}"
            hardness = rng.normal(0, 1, items)
            for number in range(runs):
                skill = hardness + rng.normal(number / runs / 4, 0.7, items)
                values = (skill > 0).astype(float) if metric == "accuracy" else 1 / (1 + np.exp(-skill))
                columns = Columns(ids, np.array([f"h{one}" for one in ids]), values)
                label, seed = ("base", None) if number == 0 else (f"m{number:02}", 0)
                yield Documents("s", label, seed, TRAINED if number else (), "en", task, benchmark, code, metric, f"{task}-k", columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--languages", type=int, default=10)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--loops", type=int, default=49)
    options = parser.parse_args()
    documents = list(make_documents(options.runs, options.languages, options.items))
    tasks = len({one.task for one in documents})
    print(f"{options.runs} runs x {tasks} tasks x {options.items} items")
    by_run: dict[str, list[Documents]] = {}
    for one in documents:
        by_run.setdefault(one.label, []).append(one)
    tables: dict[str, Callable[[], object]] = {
        "lift, retention, transfer": lambda: tabulate_lifts(documents),
        "differences by task": lambda: tabulate_tasks(documents),
        "ranks by task": lambda: tabulate_ranks(documents),
        "ranks by benchmark": lambda: tabulate_ranks(documents, average=True),
        "ranks overall": lambda: rank_overall(by_run),
    }
    spent = np.zeros(2)
    for name, make in tables.items():
        seconds = measure(make)
        spent += seconds
        print(f"{name:28} {seconds[0]:6.2f} s, {seconds[1]:6.2f} s of CPU")
    print(f"{'all':28} {spent[0]:6.2f} s, {spent[1]:6.2f} s of CPU (mark: 10 s)")
    peer = measure(lambda: loop_over(documents, options.loops))[1]
    pairs = (options.runs - 1) * tasks
    whole = peer * pairs / options.loops
    print(f"scipy.stats.bootstrap: {peer:.2f} s of CPU for {options.loops} intervals, so {whole:.1f} s for the {pairs} by task")
    print(f"all our tables take {whole / spent[1]:.1f} times less CPU than its intervals by task alone")


def measure(work: Callable[[], object]) -> np.ndarray:
    """Seconds by the clock, and of CPU in all threads: on a machine with other work the second is the one to compare."""
    wall, busy = time.perf_counter(), time.process_time()
    work()
    return np.array([time.perf_counter() - wall, time.process_time() - busy])


def loop_over(documents: list[Documents], loops: int) -> None:
    """The intervals of the first comparisons, one after the other."""
    base = {one.task: one.columns.values for one in documents if one.label == "base"}
    for one in [one for one in documents if one.label != "base"][:loops]:
        differences = one.columns.values - base[one.task]
        stats.bootstrap((differences,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0))


if __name__ == "__main__":
    main()
