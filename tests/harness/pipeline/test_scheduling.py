"""Models are shared out among engines: as asked, or by cores, memory and what finishes first."""

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from xlift.harness.config.suite import BaseSettings, Suite, read_suite
from xlift.harness.models import bases
from xlift.harness.pipeline import scheduling

GIB = 2**30


@pytest.fixture
def base(tiny_base: Path) -> bases.Base:
    return bases.resolve(BaseSettings(model=str(tiny_base)))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine whose cores, free memory and vLLM can be chosen."""
    chosen = SimpleNamespace(cores=4, free=100 * GIB, vllm="0.32.0+cpu")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(chosen.cores)))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=chosen.free))
    monkeypatch.setattr(scheduling, "version", lambda _: chosen.vllm)
    return chosen


def suite_of(backend: str = "vllm", engines: int | None = None) -> Suite:
    said = {
        "name": "shared",
        "languages": {"evaluate": ["es"]},
        "engine": {"backend": backend},
        "evaluate": {"tasks": ["xlift_xquad_es"], "engines": engines},
    }
    return read_suite(said, "test")


def test_as_many_engines_as_asked_but_none_without_a_model(base: bases.Base) -> None:
    assert scheduling.share_out([1, 2, 3, 4, 5], suite_of("hf", 2), base) == [[1, 3, 5], [2, 4]]
    assert scheduling.share_out([1, 2], suite_of("hf", 8), base) == [[1], [2]]


@pytest.mark.parametrize(
    ("models", "cores", "free", "engines"),
    [(4, 2, 100, 2), (3, 2, 100, 1), (9, 2, 100, 2), (6, 4, 100, 3), (7, 8, 100, 7), (1, 8, 100, 1), (6, 4, 9, 2), (6, 4, 3, 1)],
)
def test_the_count_goes_by_cores_memory_and_what_finishes_first(
    models: int, cores: int, free: int, engines: int, machine: SimpleNamespace, base: bases.Base
) -> None:
    """Engines of a tiny base take 2 GiB each for libraries, and a cache of 1 GiB: 9 GiB hold two and no third, 3 GiB are risked on one.

    Of 9 models two engines have 5 at most, which take 5 * 2 ** 0.77 = 8.5 times as long as one model on all cores; of 3 they have 2: 3.4.
    """
    machine.cores, machine.free = cores, free * GIB
    out = scheduling.share_out(range(models), suite_of(), base)
    assert len(out) == engines
    assert max(len(share) for share in out) == -(-models // engines)


@pytest.mark.parametrize(("whole", "engines", "each"), [(2, 1, 2), (2, 2, 1), (2, 4, 1), (8, 4, 2), (0.5, 1, 1)])
def test_engines_share_the_cache_but_none_has_less_than_one_gib_of_it(whole: float, engines: int, each: float) -> None:
    suite = suite_of()
    chosen = suite.model_copy(update={"engine": suite.engine.model_copy(update={"kv_cache_gib": whole})})
    assert scheduling.share_cache(chosen, engines) == each


def test_it_is_one_engine_where_it_was_not_seen_to_help(machine: SimpleNamespace, base: bases.Base) -> None:
    assert scheduling.share_out([1, 2], suite_of("hf"), base) == [[1, 2]]
    machine.vllm = "0.32.0"
    assert scheduling.share_out([1, 2], suite_of(), base) == [[1, 2]]


def test_engines_move_no_stage(base: bases.Base, tmp_path: Path) -> None:
    from xlift.harness.pipeline.stages import Measured, Run, evaluate_stage

    found = [evaluate_stage(Run(suite_of(engines=count), tmp_path, (), (), base), Measured("base", None, None)) for count in (1, 2)]
    assert found[0] == found[1]
