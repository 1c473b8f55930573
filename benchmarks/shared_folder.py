"""What a run folder costs as it grows: leases, looks for work and the reading of earlier results, against the number of stages in it.

    python benchmarks/shared_folder.py              100, 400 and 1,600 measured models
    python benchmarks/shared_folder.py --stages 50

No model is loaded: the stages are folders with manifests like those of a run with two tasks. Times are of this disk; on a network's
disk each opened file takes a round trip or two more.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xlift.harness.core.leases import claim, find_owners
from xlift.harness.core.store import LEASES, Stage, Store, read_manifest

TASKS = ("xlift_mgsm_cot_es", "xlift_xquad_es")
RESULT = {"version": 1, "items": 250, "metrics": {"accuracy": {"value": 0.5, "stderr": 0.03}}, "comparability": "0" * 16}


def write_stage(store: Store, number: int) -> None:
    inputs = {"adapter": f"{number:064d}", "tasks": {task: {"version": "1", "data": "0" * 64} for task in TASKS}}
    store.write(Stage("evaluate", f"m-seed{number}", inputs), lambda folder: {"record": {"tasks": dict.fromkeys(TASKS, RESULT)}})


def clock(work: Callable[[], Any], turns: int = 5) -> float:
    """Milliseconds of one call, the best of some."""
    best = float("inf")
    for _ in range(turns):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return round(1000 * best, 2)


def take(folder: Path) -> None:
    with claim(folder / LEASES, "work"):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, nargs="*", default=[100, 400, 1600])
    with tempfile.TemporaryDirectory() as temporary:
        store, made = Store(Path(temporary)), 0
        for count in parser.parse_args().stages:
            begun, before = time.perf_counter(), made
            for number in range(made, count):
                write_stage(store, number)
            made = max(made, count)
            folders = sorted(store.root.glob("evaluate-*"))
            said = {
                "stages": len(folders),
                "write_ms": round(1000 * (time.perf_counter() - begun) / max(1, made - before), 2),
                "claim_ms": clock(lambda: take(store.root)),
                "owners_ms": clock(lambda: find_owners(store.root / LEASES)),
                "read_all_manifests_ms": clock(lambda folders=folders: [read_manifest(folder) for folder in folders]),
            }
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
