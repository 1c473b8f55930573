"""What matrix products are computed in on this machine: measured once, not guessed from the processor's flags.

Flags mislead: with ``avx512_bf16`` a Xeon computes bf16 products at 0.6 times the speed of fp32, an AMD Zen 5 at four times. So the
products are timed, less than a second of work whose outcome is kept in the cache by processor and version of torch. docs/performance.md
has figures.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import torch

from xlift.harness.core.hashing import digest
from xlift.harness.core.kept_lines import UNREADABLE
from xlift.harness.core.paths import cache_folder, write_whole

ROWS, INNER, COLUMNS = 256, 576, 1536
"""The shape of the product that is timed: the tokens of a pass, and the widths of a small model's layer."""
BF16_MARGIN, ONEDNN_MARGIN = 1.3, 1.2
"""How many times as fast as fp32 bf16 must be, and oneDNN's fp32 as torch's own, to be chosen. A smaller difference may be noise, and noise
must not change the numbers of a second run."""
ACCURACY = 1e-5
"""The largest error, relative to the largest value, of a product that counts as fp32. With AMX, oneDNN's is really bf16 and has about
4e-3."""
_SECONDS, _TURNS = 0.04, 5


@dataclass(frozen=True)
class Products:
    """The speeds of one matrix product, in GFLOP/s."""

    bf16: float
    fp32: float
    """The speed of the product as torch computes it by itself."""
    onednn: float
    """The speed of fp32 by oneDNN."""
    onednn_error: float
    """The largest error of oneDNN's product, relative to the largest value."""

    @property
    def fp32_is_onednn(self) -> bool:
        """Whether fp32 products go through oneDNN, because it is faster and as accurate."""
        return self.onednn_error <= ACCURACY and self.onednn >= ONEDNN_MARGIN * self.fp32

    @property
    def is_bf16_faster(self) -> bool:
        """Whether bf16 products are faster than the fp32 ones that would be used, by more than noise."""
        return self.bf16 >= BF16_MARGIN * (self.onednn if self.fp32_is_onednn else self.fp32)


def choose_arithmetic(dtype: str) -> torch.dtype:
    """``dtype``, but fp32 in place of bf16 on a CPU whose bf16 products were not found to be faster. An ``engine.dtype`` that is given is
    kept."""
    if dtype == "bfloat16" and not torch.cuda.is_available() and not read_products().is_bf16_faster:
        return torch.float32
    found: torch.dtype = getattr(torch, dtype)
    return found


def route_products(dtype: torch.dtype) -> str:
    """Compute this process's fp32 products on a CPU with the fastest library. Returns the library that computes those of ``dtype``."""
    if torch.cuda.is_available():
        return "cuda"
    if dtype != torch.float32:
        return "onednn"
    if read_products().fp32_is_onednn:
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        return "onednn"
    return "torch"


@cache
def read_products() -> Products:
    """The speeds on this machine, from the cache if they were measured before."""
    place = cache_folder() / f"products-{digest([_name_processor(), torch.__version__])}.json"
    try:
        kept = json.loads(place.read_text(encoding="utf-8"))
        return Products(**{name: float(value) for name, value in kept.items()})
    except (OSError, *UNREADABLE):  # not there, or damaged: it takes a second to make
        found = measure_products()
    write_whole(place, json.dumps(asdict(found)).encode())
    return found


def measure_products(turns: int = _TURNS) -> Products:
    """Time the products, in turn, so that a busy moment affects all. The fastest product of each kind counts."""
    left, right = torch.randn(ROWS, INNER), torch.randn(INNER, COLUMNS)
    wide = left.double() @ right.double()
    best = dict.fromkeys(("bf16", "fp32", "onednn"), 0.0)
    matmul, before = torch.backends.mkldnn.matmul, torch.backends.mkldnn.matmul.fp32_precision
    try:
        for turn in range(turns):
            for name in best:
                if turn and best[name] < best["fp32"] / 2:
                    continue  # a product of seconds, where bf16 is computed without instructions for it
                matmul.fp32_precision = "bf16" if name == "onednn" else "none"
                dtype = torch.bfloat16 if name == "bf16" else torch.float32
                best[name] = max(best[name], _time(left.to(dtype), right.to(dtype)))
        matmul.fp32_precision = "bf16"
        error = float((left @ right - wide).abs().max() / wide.abs().max())
    finally:
        matmul.fp32_precision = before
    return Products(**{name: round(rate, 1) for name, rate in best.items()}, onednn_error=error)


def _time(left: torch.Tensor, right: torch.Tensor) -> float:
    """The GFLOP/s of the fastest of several products, each timed by itself. Other work on the machine slows most of them, and seldom
    all."""
    fastest, started = float("inf"), time.perf_counter()
    while fastest == float("inf") or time.perf_counter() - started < _SECONDS:
        begun = time.perf_counter()
        left @ right
        fastest = min(fastest, time.perf_counter() - begun)
    return 2 * ROWS * INNER * COLUMNS / fastest / 1e9


def _name_processor() -> str:
    """The processor as Linux names it, with its flags: equal processors run the same code at the same speed."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return " ".join(dict.fromkeys(line for line in lines if line.startswith(("model", "flags", "Features", "CPU part"))))
