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
    shares: int = Field(1, ge=1, le=10_000)
    """In how many shares, by ranges of the items of each task, one model is asked where several engines are at work, so that a large model
    does not keep the others waiting. Each share takes a few seconds more."""
    workers: int = Field(4, ge=1, le=10_000)
    """Workers that ``--executor slurm`` or ``local`` starts; each takes what is ready, one stage at a time. Ray has as many as there is
    room for."""
    minutes: int = Field(240, ge=5)
    """Time of each worker. What is under way then is ended three minutes before, and another worker goes on with it."""
    gpus: int = Field(1, ge=0)
    """The number of GPUs of each worker. On Ray a training has one for each of ``train.processes`` and an engine as many as it is split
    over, or none if this is 0."""
    cpus: int = Field(8, ge=1)
    """The number of processor cores of each worker, and on Ray of each training and each engine. The memory is counted in the same way."""
    memory_gib: int | None = Field(None, ge=1)
    """The memory of each worker in GiB; if not given, what the partition gives."""
    slurm: dict[str, Any] = Field(default_factory=dict)
    """Further options of sbatch by submitit's names, such as ``partition``, ``account``, ``qos``, ``constraint``, ``array_parallelism``."""
