"""Where a suite runs: the workers that a scheduler starts, and what each of them has."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from xlift.harness.core.settings import Section


class ResourceSettings(Section):
    """Nothing of it moves a result, and nothing of it is published with one: partitions and accounts are a cluster's own."""

    devices: tuple[str, ...] = ()
    """GPUs of this machine that ``xlift run`` uses at once, as CUDA_VISIBLE_DEVICES names them, each with its memory in GiB behind a colon
    where trainings are to be checked against it (``0:24``). All that can be seen where not given."""
    workers: int = Field(4, ge=1, le=10_000)
    """Workers that ``--executor`` starts; each takes what is ready, one stage at a time."""
    minutes: int = Field(240, ge=5)
    """Time of each worker. What is under way then is ended three minutes before, and another worker goes on with it."""
    gpus: int = Field(1, ge=0)
    """The number of GPUs of each worker."""
    cpus: int = Field(8, ge=1)
    """The number of processor cores of each worker."""
    memory_gib: int | None = Field(None, ge=1)
    """The memory of each worker in GiB; if not given, what the partition gives."""
    slurm: dict[str, Any] = Field(default_factory=dict)
    """Further options of sbatch by submitit's names, such as ``partition``, ``account``, ``qos``, ``constraint``, ``array_parallelism``."""
