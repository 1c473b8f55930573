"""Products are computed in what was seen to be fastest on this machine, by a margin that noise does not reach."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from xlift.harness.engines import dtypes
from xlift.harness.engines.dtypes import Products, choose_arithmetic, measure_products, read_products, route_products

XEON = Products(bf16=127.0, fp32=243.0, onednn=230.0, onednn_error=4e-7)
ZEN5 = Products(bf16=446.0, fp32=105.0, onednn=231.0, onednn_error=4e-7)
AMX = Products(bf16=2000.0, fp32=250.0, onednn=1500.0, onednn_error=4e-3)
CLOSE = Products(bf16=120.0, fp32=100.0, onednn=115.0, onednn_error=4e-7)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = "none"  # which a test that trained in this process may have left otherwise
    read_products.cache_clear()
    yield
    read_products.cache_clear()
    torch.backends.mkldnn.matmul.fp32_precision = before


@pytest.mark.parametrize(
    ("speeds", "arithmetic", "library"),
    [
        (XEON, torch.float32, "torch"),
        (ZEN5, torch.bfloat16, "onednn"),
        (AMX, torch.bfloat16, "torch"),  # oneDNN's would be bf16 under the name of fp32
        (CLOSE, torch.float32, "torch"),  # 1.2 and 1.15 times may be noise
    ],
)
def test_speeds_decide_by_a_margin(speeds: Products, arithmetic: torch.dtype, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dtypes, "read_products", lambda: speeds)
    assert choose_arithmetic("bfloat16") == arithmetic
    assert choose_arithmetic("float32") == torch.float32
    assert route_products(torch.float32) == library
    assert torch.backends.mkldnn.matmul.fp32_precision == ("bf16" if library == "onednn" else "none")


def test_a_gpu_computes_in_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(dtypes, "read_products", lambda: pytest.fail("a CPU was measured"))
    assert choose_arithmetic("bfloat16") == torch.bfloat16 and route_products(torch.float32) == "cuda"


def test_speeds_are_measured_once_for_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path))
    monkeypatch.setattr(dtypes, "measure_products", lambda: ZEN5)
    assert read_products() == ZEN5
    read_products.cache_clear()
    monkeypatch.setattr(dtypes, "measure_products", lambda: pytest.fail("measured again"))
    assert read_products() == ZEN5
    [kept] = tmp_path.glob("products-*.json")
    assert json.loads(kept.read_text()) == asdict(ZEN5)
    kept.write_text("{")
    read_products.cache_clear()
    monkeypatch.setattr(dtypes, "measure_products", lambda: XEON)
    assert read_products() == XEON, "a damaged file is made anew"


def test_a_measurement_leaves_the_setting_as_it_was() -> None:
    torch.backends.mkldnn.matmul.fp32_precision = "none"
    found = measure_products()
    assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    assert min(found.bf16, found.fp32, found.onednn) > 0 and 0 < found.onednn_error < 0.1


def test_other_work_on_the_machine_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three products of 30, 2 and 18 ms: the one that nothing held up has 2 x 256 x 576 x 1536 operations in 2 ms."""
    ticks = iter([0.0, 0.0, 0.030, 0.030, 0.030, 0.032, 0.032, 0.032, 0.050, 0.050])
    monkeypatch.setattr(dtypes.time, "perf_counter", lambda: next(ticks))
    assert dtypes._time(torch.ones(2, 2), torch.ones(2, 2)) == pytest.approx(226.5, abs=0.1)
