"""Damage each file that xlift wrote, in four ways, and run every command that reads: each must end with its result or in one line.

python benchmarks/damage.py [--seed 0] [--every 1]

A run of the suite of benchmarks/attacks.py, its caches, a site and a published record are made once. Then each file is cut in half,
emptied, filled with NUL and filled with random bytes, in a copy, and a process forked from this one runs the commands over it. Told are
commands that end in a traceback, and runs that end well with other rows, adapters, scores or win rates than before. --every 5 takes each
fifth file; of the notes of hashes, which are all alike, two are taken.
"""

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # forked processes cannot use the threads of their parent
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from attacks import compare, summarise_run, write_suite
from stages import stages_here

import xlift.harness.engines.hf
import xlift.harness.evaluation.evaluate
import xlift.harness.training.trainer  # noqa: F401
from xlift.harness.cli.main import main as command
from xlift.leaderboard.loading.record import STATE as RECORD
from xlift.leaderboard.site.builder import STATE

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "NUL": lambda data: bytes(len(data)),
    "random": lambda data: random.randbytes(len(data)),
}
READERS = (
    ["report", "{run}"], ["report", "{run}", "--json"], ["fidelity", "{run}"], ["signal", "{run}"], ["site", "{run}", "--out", "{site}"],
    ["show", "{run}", "xlift_mgsm_direct_es", "--diff", "base"], ["record", "{run}", "--out", "{record}"],
    ["push", "{adapter}", "org/name", "--dry-run"],
)  # fmt: skip
MAKERS = (["run", "{suite}", "--runs", "{runs}"],)


def call(place: Path, arguments: list[str]) -> tuple[int, str]:
    """The exit code of one command in this process, and what it said on standard error."""
    adapter = next((place / "runs" / "attacks").glob("fit-sft-*/adapter"), place)  # none before the first run
    names = {"run": place / "runs" / "attacks", "runs": place / "runs", "site": place / "site", "record": place / "record"}
    names |= {"suite": place / "suite.yaml", "adapter": adapter}
    sys.argv = ["xlift", *(argument.format(**names) for argument in arguments)]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            command()
        except SystemExit as end:
            return (end.code if isinstance(end.code, int) else 1), said.getvalue()
        except BaseException as error:  # what a user would see as a traceback
            return 1, f"Traceback: {type(error).__name__}: {error}"
    return 0, said.getvalue()


def attempt(place: Path, commands: tuple[list[str], ...]) -> list[tuple[str, int, str]]:
    """Run commands in a forked process, which knows nothing of what earlier ones read."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        found = [(arguments[0], *call(place, arguments)) for arguments in commands]
        with os.fdopen(writing, "w") as pipe:
            json.dump(found, pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return [(str(name), int(code), str(said)) for name, code, said in json.loads(text)] if text else [("?", -1, "the process died")]


def list_files(place: Path) -> Iterator[Path]:
    """All that xlift wrote and reads again: runs with judges' replies, its cache, and the lists of a site and a record."""
    hashes = sorted((place / "cache" / "sha256").iterdir())[2:]
    for folder in ("runs", "cache"):
        for path in sorted((place / folder).rglob("*")):
            if path.is_file() and not path.name.startswith(".lock") and path not in hashes:
                yield path.relative_to(place)
    yield from (Path("site") / STATE, Path("record") / RECORD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, stages_here():
        whole, place = Path(folder) / "whole", Path(folder) / "xlift"
        place.mkdir()
        write_suite(place)
        os.environ["XLIFT_CACHE"] = str(place / "cache")
        for name, code, said in attempt(place, (*MAKERS, *READERS)):
            if code:
                sys.exit(f"undamaged, and yet {name} ends with {code}: {said[-500:]}")
        before = summarise_run(place / "runs" / "attacks")
        place.rename(whole)
        files = list(list_files(whole))[:: options.every]
        for number, path in enumerate(files):
            for kind, damage in DAMAGES.items():
                for commands in (READERS, MAKERS):
                    shutil.copytree(whole, place, symlinks=True)
                    (place / path).write_bytes(damage((place / path).read_bytes()))
                    for name, code, said in attempt(place, commands):
                        held = code in (0, 2, 3) and "Traceback" not in said
                        tally[f"{name}: {'broken' if not held else 'done' if code == 0 else 'refused'}"] += 1
                        if not held:
                            print(f"BROKEN {path} {kind}: {name} ends with {code}: {said[-300:]}", flush=True)
                        elif name == "run" and code == 0 and (other := compare(before, summarise_run(place / "runs" / "attacks"))):
                            tally["run: OTHER RESULTS"] += 1
                            print(f"OTHER {path} {kind}: {'; '.join(other)}", flush=True)
                    shutil.rmtree(place)
            print(f"{number + 1} of {len(files)}: {path}", file=sys.stderr, flush=True)
    print(f"{len(files)} files, each damaged in {len(DAMAGES)} ways")
    for what, count in sorted(tally.items()):
        print(f"{count:6} {what}")
    sys.exit(1 if any("broken" in what or "OTHER" in what for what in tally) else 0)


if __name__ == "__main__":
    main()
