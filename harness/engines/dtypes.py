"""What matrix products are computed in on this machine."""

from __future__ import annotations

import torch


def choose_arithmetic(dtype: str) -> torch.dtype:
    """``dtype``, but fp32 for bf16 on a CPU without ``amx_bf16`` or, on Arm, ``bf16``.

    Measured on two Xeons (benchmarks/arithmetic.py): without bf16 instructions bf16 products take three to four times as long, with
    ``avx512_bf16`` alone still 1.6 to 1.9 times. AMD's ``avx512_bf16`` was not measured; an ``engine.dtype`` that is given is kept.
    """
    if dtype == "bfloat16" and not torch.cuda.is_available():
        known = torch.cpu.get_capabilities()
        if not any(known.get(name) for name in ("amx_bf16", "bf16")):
            return torch.float32
    found: torch.dtype = getattr(torch, dtype)
    return found
