"""One rule from a rendered chat to tokens, for the trainer, the engines and lm-eval's models: 5 tokenizers by 5 templates."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import processors
from transformers import AutoTokenizer

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.types import Example, ask
from xlift.harness.engines.load import load_engine
from xlift.harness.models.bases import Base, load_tokenizer, resolve
from xlift.harness.models.tokens import find_prefix, tokenize, tokenize_pairs
from xlift.harness.training.batching import encode

OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PLAIN = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
TEMPLATES = {
    "chatml": TURNS + OPEN,
    "bos written": "{{ bos_token }}" + TURNS + OPEN,
    "zephyr": TURNS.replace("<|im_start|>", "<|").replace("\n{{ m.content", "|>\n{{ m.content").replace("<|im_end|>", "<|im_end|>")
    + "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    "plain": PLAIN,
    "bos written, plain": "{{ bos_token }}" + PLAIN,
}
BOS, EOS = "<|endoftext|>", "<|im_end|>"
TOKENIZERS = {
    "nothing": None,
    "bos before": f"{BOS} $A",
    "bos before, eos behind": f"{BOS} $A {EOS}",
    "eos behind": f"$A {EOS}",
    "two before": f"{BOS} <|im_start|> $A",
}


@pytest.fixture(scope="module")
def folder(make_base: Callable[..., Path]) -> Path:
    return make_base(positions=512)


def dress(folder: Path, out: Path, template: str, single: str | None) -> Path:
    """The tiny base with another template, and another rule for special tokens."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token, tokenizer.chat_template = BOS, template
    if single:
        signs = [(sign, tokenizer.convert_tokens_to_ids(sign)) for sign in (BOS, "<|im_start|>", EOS)]
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=signs)
    tokenizer.save_pretrained(out)
    for name in ("config.json", "model.safetensors"):
        (out / name).symlink_to(folder / name)
    return out


@pytest.mark.parametrize("single", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_what_is_trained_is_what_is_asked(folder: Path, tmp_path: Path, template: str, single: str | None) -> None:
    base = resolve(BaseSettings(model=str(dress(folder, tmp_path / "base", template, single))))
    tokenizer = load_tokenizer(base)
    (trained,) = encode([Example(ask("¿Qué?"), "Nada.", "es", "1", "k")], tokenizer, 256).sequences
    asked = list(trained.tokens[: trained.prompt])
    with load_engine(base, EngineSettings(backend="hf", dtype="float32", max_length=512)) as engine:
        text = engine.render(ask("¿Qué?"))
        lm = engine.lm()
        assert lm.tok_encode(text) == tokenize(tokenizer, [text])[0] == asked
        assert lm.tok_encode([text]) == [asked], "vLLM's model asks for several at once"
        assert engine.measure_room([text]) == [512 - len(asked)]
    # one beginning, and no end behind the prompt
    start = tokenizer.convert_tokens_to_ids(BOS)
    writes = "bos_token" in template or bool(single and BOS in single)
    assert asked.count(start) == writes and asked[-1] != tokenizer.convert_tokens_to_ids(EOS)


def test_special_tokens_before_a_text(folder: Path, tmp_path: Path) -> None:
    found = AutoTokenizer.from_pretrained(dress(folder, tmp_path / "two", PLAIN, TOKENIZERS["two before"]))
    assert find_prefix(found) == found.convert_tokens_to_ids([BOS, "<|im_start|>"])
    assert tokenize(found, ["a", f"{BOS}<|im_start|>a"])[0] == tokenize(found, [f"{BOS}<|im_start|>a"])[0], "not added twice"
    assert tokenize(found, []) == []


def test_what_follows_a_prompt_gets_its_own_tokens(smollm: Base) -> None:
    tokenizer = load_tokenizer(smollm)
    text = {name: tokenizer(name, add_special_tokens=False)["input_ids"] for name in ("Answer:", " yes", "Answ", "er", "\n", "yes")}
    found = tokenize_pairs(tokenizer, [("Answer:", " yes"), ("Answ", "er"), ("", "yes"), ("\n", "yes")])
    assert found[0] == (text["Answer:"], text[" yes"], False)
    assert found[1] == (text["Answ"], text["er"], True), "no token spans the boundary, though the whole word is one"
    assert found[2] == ([tokenizer.bos_token_id], text["yes"], False) and found[3] == (text["\n"], text["yes"], False)
