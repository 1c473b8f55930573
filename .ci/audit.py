#!/usr/bin/env python3
"""Asks for known faults of the locked versions (pip-audit, over PyPI's database), and says in one line what came of it.

Exit code 0: none is known. 1: some are, and are listed. 3: the database could not be asked, for all versions or for some.
"""

import json
import subprocess
import sys
import tempfile

LOCK = "requirements/lock.txt"


def main() -> int:
    """Install pip-audit in an environment of its own and ask; returns the exit code."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        installed = subprocess.run([f"{place}/bin/pip", "install", "--quiet", "pip-audit"], capture_output=True, text=True)
        if installed.returncode:
            print(f"{LOCK}: not looked up, as pip-audit cannot be installed: {find_last_line(installed.stderr)}")
            return 3
        options = ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json", "--requirement", LOCK]
        asked = subprocess.run([f"{place}/bin/pip-audit", *options], capture_output=True, text=True)
    code, lines = explain(asked.stdout, asked.stderr)
    print("\n".join(lines))
    return code


def explain(found: str, said: str) -> tuple[int, list[str]]:
    """The exit code and what is printed for what pip-audit wrote on standard output (JSON) and on standard error."""
    try:
        versions = json.loads(found)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return 3, [f"{LOCK}: not looked up: {find_last_line(said)}"]
    left_out = [one["name"] for one in versions if "skip_reason" in one]
    faults = [(one, fault) for one in versions for fault in one.get("vulns", ())]
    lines = [
        f"{one['name']} {one['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'no version'}"
        for one, fault in faults
    ]
    asked = len(versions) - len(left_out)
    if not asked:
        return 3, [f"{LOCK}: not looked up: no version of it is known there"]
    more = f"; not looked up: {', '.join(left_out)}" if left_out else ""
    lines.append(f"{LOCK}: {len(faults)} known faults of {asked} versions{more}")
    return (1 if faults else 3 if left_out else 0), lines


def find_last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was said")


if __name__ == "__main__":
    sys.exit(main())
