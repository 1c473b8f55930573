"""Matrix products per second in bf16 against fp32 on this machine: what `engine.dtype: auto` and the trainer choose by."""

import time

import torch

SHAPES = ((1024, 576, 1536), (2048, 2048, 2048))


def measure(dtype: torch.dtype, rows: int, inner: int, columns: int, seconds: float = 2.0) -> float:
    """GFLOP/s of one product, repeated."""
    left, right = torch.randn(rows, inner, dtype=dtype), torch.randn(inner, columns, dtype=dtype)
    left @ right
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        left @ right
        count += 1
    return 2 * rows * inner * columns * count / (time.perf_counter() - started) / 1e9


def main() -> None:
    for shape in SHAPES:
        bf16, fp32 = measure(torch.bfloat16, *shape), measure(torch.float32, *shape)
        print(f"{shape}: bf16 {bf16:.0f} GFLOP/s, fp32 {fp32:.0f} GFLOP/s, fp32 is {fp32 / bf16:.1f} times as fast")


if __name__ == "__main__":
    main()
