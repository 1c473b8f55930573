"""What this machine computes with: its speed, the bytes of a number, and its memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

import psutil
import torch

from xlift.harness.engines.dtypes import choose_arithmetic, measure_products

_SIZE, _TURNS = 4096, 10
_TRIES, _CPU_TURNS = 3, 25


@dataclass(frozen=True)
class Device:
    """The first GPU, or the processors."""

    name: str
    speed: float
    """The operations per second of one matrix product."""
    free: int
    """The bytes of memory that are free now."""
    width: int
    """The bytes of a number in computations."""
    is_gpu: bool


def has_gpu() -> bool:
    """Whether this machine has a GPU."""
    found: bool = torch.cuda.is_available()
    return found


def read_device() -> Device:
    """Measure this machine as it is now, by the best of several short products. It takes about two seconds."""
    dtype = choose_arithmetic("bfloat16")
    if torch.cuda.is_available():
        return Device(torch.cuda.get_device_name(), _time_gpu(), torch.cuda.mem_get_info()[0], 2, is_gpu=True)
    found = measure_products(turns=_CPU_TURNS)  # not what is remembered: threads differ from run to run
    fp32 = max(found.fp32, found.onednn if found.fp32_is_onednn else 0)
    speed = 1e9 * (found.bf16 if dtype == torch.bfloat16 else fp32)
    return Device("this CPU", speed, psutil.virtual_memory().available, dtype.itemsize, is_gpu=False)


def _time_gpu() -> float:
    """The best of several tries, because another process may be working during one of them."""
    square = torch.ones(_SIZE, _SIZE, dtype=torch.bfloat16, device="cuda")
    square @ square
    torch.cuda.synchronize()
    return max(_time_products(square) for _ in range(_TRIES))


def _time_products(square: torch.Tensor) -> float:
    started = time.perf_counter()
    for _ in range(_TURNS):
        square @ square
    torch.cuda.synchronize()
    return 2 * _SIZE**3 * _TURNS / (time.perf_counter() - started)
