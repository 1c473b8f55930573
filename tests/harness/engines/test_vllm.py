"""vLLM on this machine: SmolLM2 answers, an adapter swapped in answers differently, the base swapped back answers as before."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from xlift.harness.config.suite import EngineSettings
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.base import Engine
from xlift.harness.engines.load import load_engine
from xlift.harness.models.adapters import merge, resolve, tensor_shapes
from xlift.harness.models.bases import Base
from xlift.harness.plugin import Mix
from xlift.harness.training.mixing import write_mix

QUESTIONS = [
    "What is the capital of France?", "Name three colours.", "What is 12 + 30?", "Who wrote Hamlet?", "Say hello in Spanish.",
    "What do bees make?", "Name a planet.", "What is the opposite of hot?", "How many days has a week?", "What is ice made of?",
    "Name an animal that flies.", "What colour is grass?", "Where do fish live?", "What is a book?", "Name a fruit.", "What is a cow?",
]  # fmt: skip
GREEDY = Sampling(max_tokens=16)
# In fp32 no near tie between two tokens is decided by how many are computed together.
SETTINGS: dict[str, Any] = {"backend": "vllm", "max_length": 512, "kv_cache_gib": 1, "dtype": "float32"}

pytestmark = pytest.mark.slow


def texts(running: Engine) -> list[str]:
    return [answer.text for answer in running.generate([ask(question) for question in QUESTIONS], GREEDY)]


@pytest.fixture(scope="module")
def adapter(smollm: Base, make_adapter: Callable[..., Path]) -> Any:
    return resolve(make_adapter(smollm, r=8, scale=0.1))


@pytest.fixture(scope="module")
def running(smollm: Base) -> Iterator[Engine]:
    with load_engine(smollm, EngineSettings(**SETTINGS)) as engine:
        yield engine


@pytest.fixture(scope="module")
def before(running: Engine) -> list[str]:
    return texts(running)


def test_the_base_answers_simple_english(before: list[str]) -> None:
    assert "Paris" in before[0] and "Shakespeare" in before[3]


def test_an_adapter_swapped_in_answers_differently_and_the_base_as_before(running: Engine, before: list[str], adapter: Any) -> None:
    running.swap(adapter)
    swapped = texts(running)
    running.swap(None)
    assert sum(one != other for one, other in zip(before, swapped, strict=True)) > 8
    assert texts(running) == before


def test_the_kernel_for_norms_computes_what_vllm_does(running: Engine) -> None:
    from vllm import ir

    from xlift.harness.engines import vllm_cpu

    numbers = torch.Generator().manual_seed(0)
    x, residual, weight = (torch.randn(*shape, generator=numbers) for shape in ((7, 576), (7, 576), (576,)))
    op = ir.ops.fused_add_rms_norm
    wanted = op.impls["native"].impl_fn(x.clone(), residual.clone(), weight, 1e-5)
    torch.testing.assert_close(op.impls[vllm_cpu.KERNEL].impl_fn(x.clone(), residual.clone(), weight, 1e-5), wanted)
    assert op.get_priority()[0] == vllm_cpu.KERNEL
    assert not vllm_cpu.fits_kernel(x.T, residual.T, weight, 1e-5)
    assert not vllm_cpu.fits_kernel(x, residual, weight.bfloat16(), 1e-5)
    assert not vllm_cpu.fits_kernel(x, residual, weight, 1e-5, variance_size=64)


def test_merged_weights_reach_vllm_by_the_names_of_the_checkpoint(smollm: Base, adapter: Any) -> None:
    from xlift.harness.engines.vllm import _name_as_stored

    named = dict(_name_as_stored(merge(adapter, smollm, "float32")))
    assert {name: tuple(tensor.shape) for name, tensor in named.items()} == tensor_shapes(smollm.folder / "model.safetensors")


def test_stop_strings_lengths_and_sampling(running: Engine) -> None:
    whole, short, warm = (
        running.generate([ask("Count from one to ten.")] * 2, sampling)
        for sampling in (Sampling(max_tokens=12), Sampling(max_tokens=12, stop=(" ",)), Sampling(max_tokens=12, temperature=1.5))
    )
    assert whole[0].tokens == 12 and not whole[0].finished
    assert short[0].text == whole[0].text.split(" ")[0] and short[0].finished
    assert warm[0].text != warm[1].text


def test_answers_that_repeat_themselves_are_those_of_one_token_a_step(running: Engine, smollm: Base) -> None:
    chats = [ask("Write the word apple a hundred times."), ask("Count from one to fifty.")]
    asked = [Sampling(max_tokens=40), Sampling(max_tokens=40, repetition_penalty=1.3)]
    guessed, penalised = ([answer.text for answer in running.generate(chats, sampling)] for sampling in asked)
    with load_engine(smollm, EngineSettings(**{**SETTINGS, "backend": "hf"})) as plain:
        assert [guessed, penalised] == [[answer.text for answer in plain.generate(chats, sampling)] for sampling in asked]
    assert guessed != penalised


def test_sampling_is_repeatable(running: Engine) -> None:
    warm = Sampling(max_tokens=48, temperature=1.0, top_p=0.9, seed=3)
    chats = [ask("Write the word apple a hundred times.")] * 3
    first, again = running.generate(chats, warm), running.generate(chats, warm)
    assert first == again and len({answer.text for answer in first}) == 3


def test_seeded_answers_to_prompts_of_several_steps(running: Engine) -> None:
    """The third prompt is read in two steps of 512 tokens; the answer to it is the one it gets where all of it is read in one."""
    chats = [ask(f"{word} " * 200) for word in ("apple", "tree", "house", "moon")]
    warm = Sampling(max_tokens=12, temperature=1.0, seed=1)
    first, again, other = (running.generate(chats, sampling) for sampling in (warm, warm, replace(warm, seed=2)))
    assert first == again
    assert all(one.text != two.text for one, two in zip(first, other, strict=True))
    assert running.generate([ask("Hi."), ask("Hello."), chats[2]], warm)[2] == first[2]


def test_lm_eval_scores_and_generates(running: Engine) -> None:
    from lm_eval.api.instance import Instance

    lm = running.lm()
    prompt = lm.apply_chat_template([{"role": "user", "content": QUESTIONS[0]}])
    asked = Instance("generate_until", {}, (prompt, {"until": [], "max_gen_toks": 16}), 0)
    assert "Paris" in lm.generate_until([asked])[0]
    pairs = [Instance("loglikelihood", {}, ("The capital of France is", f" {city}"), 0) for city in ("Paris", "Oslo")]
    paris, oslo = lm.loglikelihood(pairs)
    assert paris[0] > oslo[0]
    assert running.describe()["versions"]["vllm"].startswith("0.")


def test_nothing_is_written_to_standard_output(tmp_path: Path) -> None:
    code = f"""
from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines.load import load_engine
from xlift.harness.models.bases import resolve
if __name__ == "__main__":
    with load_engine(resolve(BaseSettings()), EngineSettings(**{SETTINGS!r})) as engine:
        print(engine.generate([ask("What is the capital of France?")], Sampling(max_tokens=16))[0].text)
"""
    (tmp_path / "script.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True, timeout=600)
    assert done.stdout.splitlines() == [done.stdout.strip()] and "Paris" in done.stdout


def test_a_killed_process_leaves_nothing_behind(tmp_path: Path) -> None:
    code = f"""
import time
from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.engines.load import load_engine
from xlift.harness.models.bases import resolve
if __name__ == "__main__":
    with load_engine(resolve(BaseSettings()), EngineSettings(**{SETTINGS!r})):
        print("loaded", flush=True)
        time.sleep(600)
"""
    (tmp_path / "script.py").write_text(code)
    with subprocess.Popen([sys.executable, tmp_path / "script.py"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "loaded\n"
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    for child in alive:
        child.kill()
    assert not alive


@pytest.fixture(scope="module")
def mix(smollm: Base, adapter: Any, make_adapter: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two adapters put together: the first layers are those of one, the others half of each."""
    other = resolve(make_adapter(smollm, seed=2, r=8, scale=0.1))
    out = tmp_path_factory.mktemp("mix")
    write_mix({"one": adapter, "other": other}, Mix({"one": 0.5, "other": 0.5}, {place: {"one": 1.0} for place in range(9)}), smollm, out)
    return resolve(out)


def test_adapters_put_together_are_as_likely_to_answer_as_on_hf(running: Engine, smollm: Base, mix: Any) -> None:
    pairs = [(question, " It is made of water.") for question in QUESTIONS[:6]]
    base = running.score(pairs)
    running.swap(mix)
    found = running.score(pairs)
    running.swap(None)
    with load_engine(smollm, EngineSettings(**{**SETTINGS, "backend": "hf"})) as plain:
        plain.swap(mix)
        assert [one.nats for one in found] == pytest.approx([one.nats for one in plain.score(pairs)], abs=1e-3)
    assert [one.nats for one in found] != pytest.approx([one.nats for one in base], abs=0.1)


def test_lora_beside_the_base_answers_as_merged_weights_do(running: Engine, smollm: Base, adapter: Any, mix: Any) -> None:
    """In a process that loaded vLLM before: its guesses import llvmlite, over which the second load stumbled.

    It stands last because the end of one engine takes vLLM's process groups from the other.
    """
    chats, first = [ask(question) for question in QUESTIONS[:8]], Sampling(max_tokens=8)
    with load_engine(smollm, EngineSettings(**SETTINGS, adapter_form="lora")) as beside:
        merged, lora = ([], [])
        for start in (adapter, mix, None):
            for engine, found in ((running, merged), (beside, lora)):
                engine.swap(start)
                found.append([answer.text for answer in engine.generate(chats, first)])
    assert lora == merged
    assert lora[0] != lora[1] != lora[2] != lora[0]
