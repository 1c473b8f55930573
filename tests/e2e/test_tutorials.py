"""The tutorials, walked from the first command to the last: on a tiny random model, with a tiny budget and the bundled samples."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml
from documents import ROOT, list_blocks, list_commands

from xlift.harness.config.suite import merge

pytestmark = pytest.mark.slow

SMALL = {
    "data": {"samples": "always"},
    "rows": 8,
    "seeds": [0],
    "train": {"tokens": 2_000, "batch_tokens": 768, "micro_batch_tokens": 768, "max_length": 384, "learning_rate": 1.0e-2,
              "dtype": "float32", "lora": {"r": 4, "target_modules": "all-linear"}},
    "engine": {"backend": "hf", "dtype": "float32", "max_length": 2048},
    "evaluate": {"limit": 2, "limits": {}},
}  # fmt: skip
"""What a suite of a page gets in place of a reader's budget."""
TRANSLATOR = """
import json, sys, zlib
rows = [json.loads(line)[sys.argv[1]] for line in open(sys.argv[2], encoding="utf-8")]
for line in sys.stdin:
    text = rows[zlib.crc32(line.encode()) % len(rows)]
    print(" ".join([text] * (1 + len(line) // len(text)))[: max(len(line), 20)] if line.strip() else "", flush=True)
"""
"""In place of a reader's translator: sentences of about the same length in the right language."""


@pytest.fixture
def walk(
    tiny_base: Path, tmp_path: Path, call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, in_process: None
) -> Callable[..., Mapping[str, str]]:
    """Run a page's commands in an empty folder, each of which must succeed; gives what each printed."""
    monkeypatch.chdir(tmp_path)
    Path("translate.py").write_text(TRANSLATOR, encoding="utf-8")
    command = f"{sys.executable} {tmp_path / 'translate.py'} %s {ROOT / 'tasks' / 'samples' / 'parallel.jsonl'}"

    def run(page: str, left_out: tuple[str, ...] = ()) -> Mapping[str, str]:
        for block in list_blocks(page, "yaml"):
            suite = merge(yaml.safe_load(block), {**SMALL, "base": {"model": str(tiny_base), "revision": None, "hub_id": "org/base"}})
            suite["translators"] = {f"en-{lang}": {"kind": "command", "command": command % lang} for lang in suite["languages"]["train"]}
            Path(f"{suite['name']}.yaml").write_text(yaml.safe_dump(suite), encoding="utf-8")
        printed = {}
        for words in list_commands(page, "xlift"):
            shown = " ".join(words)
            if not any(part in shown for part in left_out):
                code, out, err = call(*(_fill(word, tiny_base) for word in words))
                assert code == 0, f"xlift {shown}: {err}"
                printed[shown] = out
        return printed

    return run


def _fill(word: str, base: Path) -> str:
    """A word of a command with what stands for a reader's own model, names and hashes."""
    name, sign, path = word.rpartition("=")
    if "HASH" in path:
        (folder,) = Path(path.partition("HASH")[0]).parent.glob(Path(path.partition("HASH")[0]).name + "*")
        return name + sign + str(folder) + path.partition("HASH")[2]
    return word.replace("ORG/MODEL", str(base)).replace("ORG/NAME", "lab/mine")


def test_compare_methods_and_publish(walk: Callable[..., Mapping[str, str]], mirror: object, tmp_path: Path) -> None:
    printed = walk("docs/compare-methods.md")
    assert all(label in printed["report runs/my-suite"] for label in ("base", "x-llama", "plug", "control", "xlt"))
    assert "xlift_mgsm_cot_es" in printed["report runs/my-suite"]
    assert (tmp_path / "site" / "index.html").is_file()
    walk("docs/publish.md", left_out=("--serve",))
    assert json.loads((tmp_path / "my-record" / "record.json").read_text(encoding="utf-8"))
    assert {path.name for path in (tmp_path / "rows").iterdir()} == {"x-llama", "plug", "control", "xlt"}


def test_adapt_a_language(walk: Callable[..., Mapping[str, str]], mirror: object) -> None:
    printed = walk("docs/adapt-a-language.md")
    assert {"xlift_flores_text_bpb_en", "xlift_flores_text_bpb_sw"} <= set(printed["report runs/swahili"].split())
