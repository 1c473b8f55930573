"""How long the command takes to say anything: help and a config error, against lm_eval --help, in one run."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
COMMANDS = {
    "xlift --help": [BIN / "xlift", "--help"],
    "xlift run demo --set trin.epochs=1": [BIN / "xlift", "run", "demo", "--set", "trin.epochs=1"],
    "lm_eval --help": [BIN / "lm_eval", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}
ROUNDS = 7


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([str(part) for part in command], capture_output=True, check=False)
            seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name:40} {median:6.2f} s   {medians['lm_eval --help'] / median:5.1f} times as fast as lm_eval --help")


if __name__ == "__main__":
    main()
