"""Kill -9 at random moments, and two at once: a run and a site must end as undisturbed ones do, byte for byte where they are files.

python benchmarks/attacks.py [SUITE] [--kills 24] [--set KEY=VALUE ...] [--seed 0] [--parts two site workers run]

SUITE is any suite; where none is named it is one of a random model of two layers that generates rows, trains pairs in two rounds, and has a
judge, so that all stages are hit. A run is killed again and again in one folder, each time after a random part of the time that the
undisturbed run took, until it was killed --kills times or is done. Of three workers in one folder one after the other is killed, and a new
one takes its place; ``xlift run`` then does what only it does, the judging. What tests can hold in seconds stands in tests/: hostile suites
and methods, odd replies. benchmarks/damage.py damages files.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from tiny_base import write_tiny

XLIFT = [sys.executable, "-m", "xlift.harness.cli"]
PARTS = ("two", "site", "workers", "run")


def write_suite(folder: Path) -> Path:
    """A suite that goes through every kind of stage in seconds, with its base beside it. A third of all tokens end an answer."""
    base = write_tiny(folder / "base", positions=4096, endings=range(3, 90))
    turned = {pair: {"kind": "command", "command": "tr a-z b-za"} for pair in ("en-es", "es-en")}
    asked = {"prompt_corpus": "alpaca", "prompts": 4, "max_tokens": 24, "rounds": 2, "spare": 4.0}
    suite: dict[str, Any] = {
        "name": "attacks", "base": {"model": str(base), "hub_id": "org/base"}, "data": {"samples": "always"}, "rows": 16,
        "languages": {"train": ["es"], "evaluate": ["en", "es"]},
        "methods": {
            "lidr": {"method": "dpo_self_improvement", "options": asked, "translators": turned},
            "sft": {"method": "cross_lingual"}, "xlt": {"method": "xlt_prompt"},
        },
        "train": {
            "tokens": 6000, "batch_tokens": 768, "micro_batch_tokens": 768, "max_length": 384, "learning_rate": 1.0e-2,
            "dtype": "float32", "checkpoint_steps": 2, "lora": {"r": 4, "target_modules": "all-linear"},
        },
        "engine": {"backend": "hf", "dtype": "float32", "max_length": 2048},
        "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}", "xlift_x_alpaca_eval_{lang}"], "limit": 3},
        "judge": {"judge": f"engine:{base}", "against": "base", "calibrate": True},
    }  # fmt: skip
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    return path


def start(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen([*XLIFT, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(*arguments: object) -> float:
    """Seconds that a command takes to its end."""
    started = time.perf_counter()
    process = start(*arguments)
    _, said = process.communicate()
    if process.returncode:
        sys.exit(f"undisturbed, and yet {' '.join(map(str, arguments))} ends with {process.returncode}: {said[-500:]}")
    return time.perf_counter() - started


def kill_often(arguments: list[object], seconds: float, kills: int) -> tuple[int, list[str]]:
    """Kill a command up to ``kills`` times and let it end; how often it was killed, and what is wrong with what it said meanwhile."""
    wrong, done = [], 0
    while True:
        process = start(*arguments)
        try:
            _, said = process.communicate(timeout=random.uniform(0, seconds) if done < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            done += 1
            continue
        if "Traceback" in said:
            wrong.append(said[-500:])
        if process.returncode or done >= kills:
            if process.returncode:
                wrong.append(f"ends with {process.returncode}: {said[-500:]}")
            return done, wrong
        kills = done  # it came to its end before its time: the next call finds nothing to do


def kill_workers(suite: object, settings: list[str], runs: Path, seconds: float, kills: int) -> tuple[int, list[str]]:
    """Kill one of three workers of a run ``kills`` times or until the run is finished; returns the same as ``kill_often``."""
    command: list[object] = ["worker", suite, *settings, "--runs", runs]
    wrong, done, running = [], 0, [start(*command) for _ in range(3)]
    while done < kills and any(one.poll() is None for one in running):
        time.sleep(random.uniform(0, seconds / 4))
        victim = random.choice(running)
        running.remove(victim)
        if victim.poll() is None:
            victim.kill()
            done += 1
        said = victim.communicate()[1]
        if "Traceback" in said or victim.returncode not in (0, -9):
            wrong.append(f"a worker ends with {victim.returncode}: {said[-500:]}")
        running.append(start(*command))
    for one in running:
        said = one.communicate()[1]
        if "Traceback" in said or one.returncode:
            wrong.append(f"a worker ends with {one.returncode}: {said[-500:]}")
    return done, wrong


def find_leftovers(folder: Path) -> list[str]:
    return [f"{path.name} is left" for path in sorted(folder.glob("*.part"))]


def summarise_run(folder: Path) -> dict[str, object]:
    """What each stage made, by its name: rows, adapters and scores."""
    found: dict[str, object] = {}
    for path in sorted(folder.glob("*/manifest.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        tasks = (manifest.get("record") or {}).get("tasks") or {}
        found[path.parent.name] = {
            "rows": (manifest.get("plan") or {}).get("rows_sha256"), "adapter": manifest.get("adapter_sha256"),
            "scores": {task: result["metrics"] for task, result in tasks.items()},
        }  # fmt: skip
    for path in sorted(folder.glob("judge-*/judgements.json")):
        found[path.parent.name] = [(one["label"], one["task"], one["win_rate"]) for one in json.loads(path.read_text())["results"]]
    return found


def summarise_site(folder: Path) -> dict[str, object]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def tell(what: str, done: int, wrong: list[str]) -> bool:
    print(f"{what}: {done} kills: {'held' if not wrong else 'BROKEN: ' + '; '.join(wrong)}", flush=True)
    return not wrong


def compare(before: dict[str, object], after: dict[str, object]) -> list[str]:
    return [f"{name} differs" for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]


def run_two(arguments: list[object]) -> list[str]:
    """Two runs in one folder at once: one does the work, the other names it."""
    both = [start(*arguments) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    codes = sorted(process.returncode for process in both)
    if codes != [0, 2] or not any("works in it" in one for one in said):
        return [f"exit codes {codes}: {said[0][-200:]} | {said[1][-200:]}"]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", nargs="?")
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    random.seed(options.seed)
    settings = [part for one in options.settings for part in ("--set", one)]
    held: list[bool] = []
    with tempfile.TemporaryDirectory() as place:
        folders = {name: Path(place) / name for name in ("quiet", "killed", "workers", "two", "site", "killed-site")}
        suite = options.suite or write_suite(Path(place))

        def run_in(name: str) -> list[object]:
            return ["run", suite, *settings, "--runs", folders[name]]

        def look_at(name: str) -> list[str]:
            """What differs in a folder from the undisturbed one, or is left over there."""
            folder = folders[name] / quiet.name
            return [*compare(summarise_run(quiet), summarise_run(folder)), *find_leftovers(folder)]

        undisturbed = finish(*run_in("quiet"))
        (quiet,) = (path.parent for path in folders["quiet"].glob("*/suite.resolved.json"))
        print(f"undisturbed: {undisturbed:.1f} s", flush=True)
        if "two" in options.parts:
            held.append(tell("two runs in one folder", 0, run_two(run_in("two"))))
        if "site" in options.parts:
            seconds = finish("site", quiet, "--out", folders["site"])
            done, wrong = kill_often(["site", quiet, "--out", folders["killed-site"]], seconds, options.kills)
            held.append(tell("site", done, [*wrong, *compare(summarise_site(folders["site"]), summarise_site(folders["killed-site"]))]))
        if "workers" in options.parts:
            done, wrong = kill_workers(suite, settings, folders["workers"], undisturbed, options.kills)
            finish(*run_in("workers"))
            held.append(tell("three workers", done, [*wrong, *look_at("workers")]))
        if "run" in options.parts:
            done, wrong = kill_often(run_in("killed"), undisturbed, options.kills)
            held.append(tell("run", done, [*wrong, *look_at("killed")]))
    sys.exit(0 if all(held) else 1)


if __name__ == "__main__":
    main()
