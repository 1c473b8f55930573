"""An installed method that does what it must not: a run goes on, or ends in one line, and leaves no process behind."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

XLIFT = Path(sys.executable).parent / "xlift"
CODE = '''
"""A method that misbehaves as its option says."""
import os, signal, subprocess, sys, time
from xlift.harness.plugin import Method, Options, Plan, Example, ask

class HostileOptions(Options):
    does: str = ""

class Hostile(Method[HostileOptions]):
    Options = HostileOptions

    def prepare(self, ctx):
        does = self.options.does
        if does == "raises":
            raise KeyError("no such\\nthing")
        if does == "exits":
            sys.exit(0)
        if does == "prints":
            print("printed")
            os.write(1, b"written")
            subprocess.run(["echo", "said"])
        if does == "changes folder":
            os.chdir("/")
        if does == "forks":
            os.fork()
        if does == "leaves a program":
            subprocess.Popen(["sleep", "600"])
        if does == "hangs":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            subprocess.Popen(["sleep", "600"])
            print("hanging", flush=True)
            while True:
                time.sleep(1)
        return Plan(tuple(Example(ask(f"Hola {n}"), "Hola.", "es", f"r-{n}", "greeting") for n in range(8)))

METHOD = Hostile
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH, as pip leaves it."""
    site = tmp_path_factory.mktemp("site")
    (site / "hostile.py").write_text(CODE)
    about = site / "hostile-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[xlift.methods]\nhostile = hostile:METHOD\n")
    (about / "top_level.txt").write_text("hostile\n")
    return site


def heed_interrupts() -> None:
    """A program whose tests run in the background of a script would ignore Ctrl-C, as it inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(site: Path, folder: Path, base: Path, does: str, *arguments: str) -> "subprocess.Popen[str]":
    suite = {
        "name": "outside", "base": {"model": str(base)}, "data": {"samples": "always"}, "languages": {"train": ["es"], "evaluate": ["es"]},
        "rows": 8, "methods": {"m": {"method": "hostile", "options": {"does": does}}}, "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"]},
        "train": {"tokens": 6000, "max_length": 384},
    }  # fmt: skip
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "MARK": str(folder)}
    return subprocess.Popen(
        [XLIFT, *arguments, "suite.yaml"],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    )


def find_left(folder: Path) -> list[int]:
    """Processes that have the folder's mark in their environment, but for those that ended."""
    mark = f"MARK={folder}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("does", ["", "prints", "changes folder", "forks", "leaves a program"])
def test_rows_are_made_and_nothing_is_left(site: Path, tiny_base: Path, tmp_path: Path, does: str) -> None:
    process = start(site, tmp_path, tiny_base, does, "prepare", "--json")
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert [row["label"] for row in json.loads(out)] == ["m"], "results alone stand in standard output"
    (manifest,) = tmp_path.glob("runs/outside/prepare-m-*/manifest.json")
    assert json.loads(manifest.read_text())["rows"] == 8
    assert (tmp_path / "rows" / "m").is_dir()
    assert not list(tmp_path.glob("runs/outside/*.part"))
    assert find_left(tmp_path) == []


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("raises", r"methods.m: hostile: KeyError: 'no such\nthing'; line 15 of "),
        ("exits", "methods.m: hostile: it ends the program (exit 0; line 17 of "),
    ],
)
def test_what_a_method_must_not_do_is_one_line(site: Path, tiny_base: Path, tmp_path: Path, does: str, says: str) -> None:
    process = start(site, tmp_path, tiny_base, does, "prepare")
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("xlift: ")]
    assert says in line and "Traceback" not in err
    (trace,) = tmp_path.glob("runs/outside/prepare-*.part/traceback.txt")
    assert str(trace) in line and "hostile.py" in trace.read_text()
    rehearsed = start(site, tmp_path, tiny_base, does, "run", "--dry-run")
    out, err = rehearsed.communicate(timeout=200)
    assert (rehearsed.returncode, out) == (2, "") and says in err and "Traceback" not in err


def test_a_method_that_hangs_ends_with_ctrl_c(site: Path, tiny_base: Path, tmp_path: Path) -> None:
    process = start(site, tmp_path, tiny_base, "hangs", "prepare")
    assert process.stderr is not None
    while "hanging" not in (line := process.stderr.readline()):
        assert line, "it ended before it hung"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "") and "Traceback" not in err
    assert find_left(tmp_path) == []
