"""Finding source files: in the folder of XLIFT_DATA, else at their published addresses; each is known by its sha256.

The folder's layout and manifest.json are described in docs/data.md.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.paths import cache_folder, write_whole
from xlift.tasks.corpora import File, Remote, Row

GITHUB = "https://raw.githubusercontent.com"
PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class Found:
    """A source file on this machine."""

    file: File
    path: Path
    sha256: str
    origin: str
    """``folder``, ``hub`` (any published address) or ``samples``."""


class Absent(Exception):
    """A file that its published address does not give; the text says why."""


def data_folder() -> Path | None:
    """The folder that XLIFT_DATA names, None where it is not set. Raises UserError where it, or its manifest, does not exist."""
    named = os.environ.get("XLIFT_DATA")
    if not named:
        return None
    folder = Path(named).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"XLIFT_DATA names {folder}, which is not a folder: correct the path, or unset XLIFT_DATA to use the hub")
    if not (folder / "manifest.json").is_file():
        raise UserError(f"XLIFT_DATA names {folder}, which has no manifest.json: name the top of the data folder (docs/data.md)")
    return folder


def find_in_folder(file: File) -> Found | None:
    """The file below XLIFT_DATA, None where the folder's manifest does not list it.

    Raises UserError where the manifest cannot be read, or lists a file that is missing or has another checksum.
    """
    folder = data_folder()
    if folder is None or file.folder is None:
        return None
    listed = _checksums(folder / "manifest.json").get(file.folder)
    if listed is None:
        return None
    path = folder / file.folder
    if not path.is_file():
        raise UserError(f"{path}: listed in manifest.json, but missing: copy the file again, or take its entry out of the manifest")
    if (actual := file_sha256(path)) != listed:
        raise UserError(f"{path}: sha256 is {actual[:12]}..., manifest.json says {listed[:12]}...: the file has changed, copy it again")
    return Found(file, path, listed, "folder")


def fetch(file: File) -> Found:
    """The file from its published address, kept for later. Raises Absent."""
    if file.remote is None:
        raise Absent("not on the hub")
    path = _from_github(file.remote) if file.remote.host == "github" else _from_hub(file.remote)
    return Found(file, path, file_sha256(path), "hub")


def records(path: Path, columns: Sequence[str]) -> list[Row]:
    """The records of one file, in its order; the end of its name tells the format (.jsonl, .json, .csv, .tsv, .parquet, else lines)."""
    stem = path.name.removesuffix(".gz")
    if stem.endswith(".parquet"):
        import pyarrow.parquet

        table: list[Row] = pyarrow.parquet.read_table(path, columns=list(columns) or None).to_pylist()
        return table
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8")
    if stem.endswith(".json"):
        return list(json.loads(text))
    if stem.endswith(".csv"):
        try:
            return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            raise ValueError(f"no CSV: {error}") from None
    # Not splitlines: sentences may hold U+2028 and other marks that it takes for line ends.
    lines = text.removesuffix("\n").split("\n")
    if stem.endswith(".jsonl"):
        return [json.loads(line) for line in lines]
    header = columns or lines.pop(0).split("\t")
    return [dict(zip(header, line.rstrip("\r").split("\t"), strict=True)) for line in lines]


def _checksums(manifest: Path) -> Mapping[str, str]:
    try:
        return _parse_manifest(manifest, manifest.stat().st_mtime_ns)
    except OSError as error:
        raise UserError(f"{manifest}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{manifest}: not a JSON list of entries with file and sha256 (docs/data.md)") from None


@cache
def _parse_manifest(manifest: Path, changed: int) -> Mapping[str, str]:
    entries: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return {str(entry["file"]): str(entry["sha256"]) for entry in entries}


def _from_hub(remote: Remote) -> Path:
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HTTPError

    where = {"repo_id": remote.repo, "filename": remote.path, "revision": remote.revision, "repo_type": "dataset"}
    kept = try_to_load_from_cache(**where)
    if isinstance(kept, str):
        return Path(kept)
    _require_connection(constants.ENDPOINT)
    try:
        return Path(hf_hub_download(**where))
    except GatedRepoError:
        raise Absent(f"{remote.repo} is gated: accept its terms on the hub, then run 'hf auth login'") from None
    except (OSError, EntryNotFoundError, HTTPError) as error:
        raise Absent(f"{remote.repo}@{remote.revision[:12]} does not give {remote.path} ({one_line(error)})") from None


def _from_github(remote: Remote) -> Path:
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_session

    url = f"{GITHUB}/{remote.repo}/{remote.revision}/{remote.path}"
    target = cache_folder() / "downloads" / hashlib.sha256(url.encode()).hexdigest()[:16] / Path(remote.path).name
    if target.is_file():
        return target
    _require_connection(GITHUB)
    try:
        response = get_session().get(url, timeout=60, follow_redirects=True)
        response.raise_for_status()
    except (OSError, HTTPError) as error:
        raise Absent(f"{url} does not answer ({one_line(error)})") from None
    write_whole(target, response.content)
    return target


def _require_connection(host: str) -> None:
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        raise Absent("HF_HUB_OFFLINE is set")
    if reason := _unreachable(host):
        raise Absent(f"no connection to {host} ({reason})")


@cache
def _unreachable(host: str) -> str:
    """Why a host cannot be reached, empty where it can: asked once, since the hub's client retries for 24 s before it gives up."""
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import get_session

    try:
        get_session().head(host, timeout=PROBE_SECONDS)
    except (OSError, HTTPError) as error:
        return one_line(error)
    return ""
