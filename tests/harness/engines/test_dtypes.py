"""Products are computed in bf16 only where that was seen to be faster than fp32."""

import pytest
import torch

from xlift.harness.engines.dtypes import choose_arithmetic


@pytest.mark.parametrize(
    ("known", "chosen"),
    [
        ({}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": False}, torch.float32),
        ({"avx512_bf16": True, "amx_bf16": True}, torch.bfloat16),
        ({"bf16": True}, torch.bfloat16),
    ],
)
def test_bf16_on_a_cpu_needs_the_instructions_that_make_it_faster(
    known: dict[str, bool], chosen: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_arithmetic("bfloat16") == chosen
    assert choose_arithmetic("float32") == torch.float32


def test_a_gpu_computes_in_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_arithmetic("bfloat16") == torch.bfloat16
