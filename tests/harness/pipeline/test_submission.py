"""Workers as jobs: the script that Slurm gets, submitit's own local executor, and what is refused."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from shared_runs import TASK, list_stages, suite_of
from stages import stages_here

from xlift.harness.config.suite import read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.pipeline.run import measure_suite
from xlift.harness.pipeline.submission import _read_cause, submit, write_script

XLIFT = Path(sys.executable).parent / "xlift"


def test_the_script_asks_for_an_array_of_workers(tmp_path: Path) -> None:
    asked = {"workers": 3, "minutes": 60, "gpus": 2, "cpus": 6, "memory_gib": 40, "slurm": {"partition": "gpu", "array_parallelism": 2}}
    lines = write_script(read_suite(suite_of(tmp_path, resources=asked), "test"), tmp_path / "runs").splitlines()
    for option in ("array=0-2%2", "time=60", "gpus-per-node=2", "cpus-per-task=6", "mem=40GB", "partition=gpu", "job-name=xlift-shared"):
        assert f"#SBATCH --{option}" in lines
    (command,) = [line for line in lines if line.startswith("srun ")]
    assert command.endswith(f" -m xlift.harness.cli worker {tmp_path / 'runs' / 'shared'} --minutes 57")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "executor", "says"),
    [
        ({}, "slurm", "there is no sbatch on this machine; give the command on a login node"),
        ({}, "slrm", "--executor 'slrm': there is none; did you mean 'slurm'"),
        ({"slurm": {"partitn": "gpu"}}, "slurm", "resources.slurm: submitit has no option 'partitn'; did you mean 'partition'"),
        ({"workers": 10_000}, "local", "resources.workers 10000: too many for this machine, which --executor local starts them on"),
        ({"slurm": {"time": 5}}, "local", "resources.slurm: submitit has no option 'time'"),
    ],
)
def test_what_cannot_be_submitted_is_one_line(
    changes: dict[str, Any], executor: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=says) as caught:
        submit(read_suite(suite_of(tmp_path, resources=changes), "test"), tmp_path, executor)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("Job failed during processing with trace:\n---\nTraceback:\n  File x\nxlift.core.errors.UserError: m: no corpus: qa\n---\n"
         "You can check full logs at paths:\n  - /logs/1.out", "m: no corpus: qa"),
        ("Job 1 has not produced any output (state: FAILED)\n  - /logs/1.out", "Job 1 has not produced any output (state: FAILED)"),
        ("", "RuntimeError"),
    ],
)  # fmt: skip
def test_why_a_worker_failed_is_one_line(said: str, cause: str) -> None:
    assert _read_cause(RuntimeError(said)) == cause


@pytest.mark.slow
def test_two_local_jobs_make_what_one_command_makes(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    resources = {"workers": 2, "minutes": 10, "gpus": 0}
    suite = suite_of(tiny_base, methods={"m": {"method": "cross_lingual"}}, seeds=[0], resources=resources)
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}  # another number takes sums in another order
    command = [str(XLIFT), "run", "suite.yaml", "--runs", "shared-runs", "--executor", "local", "--wait"]
    shared = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert shared.returncode == 0, shared.stderr
    assert "2 workers: " in shared.stderr and TASK in shared.stdout
    with stages_here():
        alone = measure_suite(read_suite(suite, "test"), tmp_path / "runs")
    root = tmp_path / "shared-runs" / "shared"
    assert list_stages(root) == list_stages(alone)
    assert list((root / "logs").glob("fit-m-seed0-*.log")) and not list(root.glob("*.part"))
    ours = re.compile(r"\[\d\d:\d\d:\d\d\] |2 workers: |results: ")
    said = [shared.stderr, *(path.read_text() for path in (root / "logs").glob("*-*.log"))]
    assert [line for text in said for line in text.splitlines() if not ours.match(line)] == [], "no line of a library's own"
