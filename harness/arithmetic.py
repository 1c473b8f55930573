"""What matrix products are computed in on this machine."""

from __future__ import annotations

import torch


def choose_arithmetic(dtype: str) -> torch.dtype:
    """``dtype``, but fp32 for bf16 on a CPU that has no bf16 instructions.

    There bf16 products were measured to take three to four times as long (benchmarks/arithmetic.py).
    """
    if dtype == "bfloat16" and not torch.cuda.is_available():
        known = torch.cpu.get_capabilities()
        if not any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")):
            return torch.float32
    found: torch.dtype = getattr(torch, dtype)
    return found
