"""Workers as jobs of a scheduler, through submitit: Slurm's, or processes of this machine to try it out; or a Ray cluster's nodes."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError, name_nearest, one_line
from xlift.harness.core.logs import show_progress
from xlift.harness.core.shared_folder import write_token
from xlift.harness.pipeline.pieces import LOGS
from xlift.harness.pipeline.ray_cluster import run_on_ray
from xlift.harness.pipeline.worker import join_run, share_run, work

if TYPE_CHECKING:
    from submitit import AutoExecutor

logger = logging.getLogger(__name__)

EXECUTORS = ("slurm", "local", "ray")
LOCAL_WORKERS = 4
"""The most workers for each core of this machine."""
SPARE = 3
"""The minutes between the end of a worker's own time and that of its job, which the scheduler kills."""
OURS = ("job_name", "time", "folder", "command", "map_count", "nodes", "ntasks_per_node")
"""Options of sbatch that xlift sets itself."""


@dataclass(frozen=True)
class Submission:
    """Workers that were given to a scheduler."""

    root: Path
    """The run folder."""
    jobs: tuple[str, ...]
    """The numbers of the jobs at the scheduler. There are none on Ray, where everything has ended."""


def submit(suite: Suite, runs: Path, executor: str = "slurm", *, wait: bool = False, address: str | None = None) -> Submission:
    """Open a run, fetch what it needs, and start its workers, which continue when this process ends. With ``wait``, wait for their end.

    ``ray`` does the run on the cluster of that ``address``, and always waits. Raises UserError if the scheduler is missing or refuses, for
    everything that ``open_run`` raises, and with ``wait`` if a worker failed.
    """
    _require_executor(executor, address)
    if executor == "ray":
        return Submission(run_on_ray(suite, runs, address), ())
    _require_submitit(executor)
    _read_options(suite)
    if executor == "slurm" and shutil.which("sbatch") is None:
        raise UserError(
            "--executor slurm: there is no sbatch on this machine; give the command on a login node of the cluster, or print the script "
            "with --dry-run"
        )
    if executor == "local" and suite.resources.workers > (most := LOCAL_WORKERS * len(os.sched_getaffinity(0))):
        here = "too many for this machine, which --executor local starts them on"
        raise UserError(f"resources.workers {suite.resources.workers}: {here}; {most} at most")
    run = share_run(suite, runs)
    token, root, asked = write_token(run.root), run.root.absolute(), suite.resources
    count, minutes = asked.workers, asked.minutes - SPARE
    try:
        scheduler = _open_executor(root, executor, suite)
        jobs = scheduler.map_array(work_in, [root] * count, [minutes] * count, [token] * count)
    except Exception as error:  # submitit raises what the scheduler said as its own kinds of errors
        raise UserError(f"--executor {executor}: the scheduler refuses: {one_line(error)}") from error
    submitted = Submission(run.root, tuple(job.job_id for job in jobs))
    if wait:
        logger.info("%s: waiting for %d workers", run.root, count)
        failed = [found for found in (job.exception() for job in jobs) if found is not None]
        if failed:
            raise UserError(
                f"{len(failed)} of {count} workers failed, such as: {_read_cause(failed[0])}; their logs are in {run.root / LOGS}"
            )
    return submitted


def write_script(suite: Suite, runs: Path, executor: str = "slurm") -> str:
    """The sbatch script of an array of workers, as it would be submitted. Nothing is written, and no scheduler is needed.

    Raises UserError if submitit is missing, or does not take an option of ``resources.slurm``.
    """
    _require_executor(executor, None)
    if executor != "slurm":
        raise UserError(f"--executor {executor}: only slurm takes a script; leave --dry-run out")
    _require_submitit(executor)
    from submitit.slurm.slurm import _make_sbatch_string

    root, asked = (runs / suite.name).absolute(), suite.resources
    command = shlex.join([sys.executable, "-m", "xlift.harness.cli", "worker", str(root), "--minutes", str(asked.minutes - SPARE)])
    found: str = _make_sbatch_string(
        command=command, folder=root / LOGS, map_count=asked.workers, job_name=_name_job(suite), time=asked.minutes, nodes=1,
        ntasks_per_node=1, **_read_options(suite),
    )  # fmt: skip
    return found


def work_in(root: Path, minutes: float, token: str) -> bool:
    """What a job runs."""
    show_progress()
    return work(join_run(root, token), minutes)


def _read_options(suite: Suite) -> dict[str, Any]:
    """What each worker has, and further options of sbatch. Raises UserError for one that submitit does not know."""
    from submitit.slurm.slurm import _make_sbatch_string

    asked = suite.resources
    known = [name for name in signature(_make_sbatch_string).parameters if name not in OURS]
    for name in asked.slurm:
        if name not in known:
            raise UserError(f"resources.slurm: submitit has no option {name!r}{name_nearest(name, known)}")
    own: dict[str, Any] = {"cpus_per_task": asked.cpus}
    if asked.gpus:
        own["gpus_per_node"] = asked.gpus
    if asked.memory_gib:
        own["mem"] = f"{asked.memory_gib}GB"
    return {**own, **asked.slurm}


def _open_executor(root: Path, executor: str, suite: Suite) -> AutoExecutor:
    from submitit import AutoExecutor

    asked = suite.resources
    found = AutoExecutor(folder=root / LOGS, cluster=executor)
    found.update_parameters(
        name=_name_job(suite), timeout_min=asked.minutes, nodes=1, tasks_per_node=1, cpus_per_task=asked.cpus, gpus_per_node=asked.gpus,
        mem_gb=asked.memory_gib, **{f"slurm_{name}": value for name, value in asked.slurm.items()},
    )  # fmt: skip
    return found


def _name_job(suite: Suite) -> str:
    return f"xlift-{suite.name}"


def _require_executor(executor: str, address: str | None) -> None:
    if executor not in EXECUTORS:
        raise UserError(f"--executor {executor!r}: there is none{name_nearest(executor, EXECUTORS)}")
    if address is not None and executor != "ray":
        raise UserError(f"--address {address}: a Ray cluster's, and the executor is {executor}; leave it out, or give --executor ray")


def _require_submitit(executor: str) -> None:
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError(f"--executor {executor}: submitit is not installed; `pip install xlift[slurm]`") from None


def _read_cause(error: BaseException) -> str:
    """The error that a job raised. submitit puts its traceback into the middle of a text of its own."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    raised = [line.partition(": ")[2] for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    return (raised or lines or [type(error).__name__])[-1 if raised else 0]
