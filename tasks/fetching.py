"""Getting published files: from the hub through its own client, from GitHub and the web by downloads that can be resumed. Each file is
checked before it is kept.

Files of the hub are kept in its own cache, others below XLIFT_CACHE. HF_ENDPOINT, HF_HUB_OFFLINE, a token and proxies work for the hub as
in every program. XLIFT_MIRROR names a mirror of everything that does not come from the hub.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import digest, file_sha256, is_as_noted, write_noted
from xlift.harness.core.paths import cache_folder, write_whole
from xlift.harness.core.store import DISK
from xlift.tasks.corpora import File, Remote
from xlift.tasks.sources import UNREADABLE, Found, require_growth

logger = logging.getLogger(__name__)

PROBE_SECONDS = 5.0
SILENCE_SECONDS = 60.0
ATTEMPTS, PAUSE_SECONDS = 4, 1.0
"""How often a download is tried, and the first pause between two tries, which grows. Each try goes on where the one before stopped."""
MOST_BYTES = 2 * 2**30
"""More bytes than any file of the table has."""
IDENTITY = {"Accept-Encoding": "identity"}
"""Asks for no compression: a compressed answer would differ in length from the file, and could not be resumed."""


class Absent(Exception):
    """A file that its published address does not give. The text says why."""


def fetch(file: File) -> Found:
    """The file from its published addresses, kept for later. Raises Absent, and UserError for a file that is not the published one."""
    if not file.remotes:
        raise Absent(f"{file.folder} has no published address")
    paths = tuple(fetch_remote(remote) for remote in file.remotes)
    return Found(file, paths, join_digests([file_sha256(path) for path in paths]), "hub")


def fetch_remote(remote: Remote) -> Path:
    """One published file, or the file within its archive, on this machine. Raises as ``fetch`` does.

    A kept file that is damaged is fetched again.
    """
    kept = find_kept(remote)
    if kept and find_change(remote):
        logger.warning("%s: not the file that was fetched, by its sha256; it is fetched again", kept)
        kept.resolve().unlink()  # the hub's cache holds links
        kept.unlink(missing_ok=True)
    whole = _from_hub(remote) if remote.host == "hub" else _from_web(remote)
    return _take_member(remote, whole) if remote.member else whole


def find_kept(remote: Remote) -> Path | None:
    """The published file as an earlier ``fetch_remote`` left it, an archive as a whole; None if there is none."""
    if remote.host != "hub":
        path = _place(remote)
        return path if path.is_file() else None
    from huggingface_hub import try_to_load_from_cache

    kept = try_to_load_from_cache(**_on_hub(remote))
    return Path(kept) if isinstance(kept, str) else None


def find_hindrance(remote: Remote) -> str:
    """Why a file cannot be fetched now, as far as that can be seen without asking for it; empty if it can."""
    try:
        _require_connection(_endpoint(remote))
    except Absent as absent:
        return str(absent)
    return ""


def measure(remote: Remote) -> int | None:
    """The size of a published file in bytes, from the table or else from its server; None if neither says. Raises Absent if it is not
    there."""
    if remote.size:
        return remote.size
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HTTPError

    _require_connection(_endpoint(remote))
    try:
        if remote.host == "hub":
            size = get_hf_file_metadata(hf_hub_url(**_on_hub(remote))).size
            return None if size is None else int(size)
        response = _session().head(_route(remote.url), headers=IDENTITY, timeout=SILENCE_SECONDS, follow_redirects=True)
    except (OSError, HTTPError) as error:
        raise Absent(f"{name_address(remote)} does not answer ({one_line(error)})") from None
    if response.status_code >= 400:
        raise Absent(f"{name_address(remote)} does not answer ({response.status_code})")
    length = response.headers.get("content-length")
    return None if length is None else int(length)


def find_change(remote: Remote) -> str:
    """What is wrong with a file that was fetched, by its hash; empty if it is right, or was not fetched."""
    kept = find_kept(remote)
    wanted = remote.sha256 or _read_first_seen(remote)
    if kept is None or not wanted or (actual := file_sha256(kept)) == wanted:
        return ""
    return f"{kept}: sha256 is {actual}, not {wanted}; delete it, and it is fetched again"


def name_address(remote: Remote) -> str:
    """The address of a file, for people."""
    return f"{remote.repo}@{remote.revision[:12]}, {remote.path}" if remote.host == "hub" else remote.url


def join_digests(digests: list[str]) -> str:
    """One hash for several files; the hash of the file itself if there is only one."""
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def forget(remote: Remote) -> None:
    """Delete what was fetched of a file, so that it is fetched again. A file whose sha256 is known was right, and stays."""
    if remote.sha256 or (kept := find_kept(remote)) is None:
        return
    for place in {kept.resolve(), kept, _first_seen(remote)}:  # the hub's cache has links to its files
        place.unlink(missing_ok=True)
    shutil.rmtree(_members(remote), ignore_errors=True)


def _on_hub(remote: Remote) -> dict[str, str]:
    return {"repo_id": remote.repo, "filename": remote.path, "revision": remote.revision, "repo_type": "dataset"}


def _from_hub(remote: Remote) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HTTPError

    if kept := find_kept(remote):
        return kept
    _require_connection(_endpoint(remote))
    try:
        path = _ask_hub(remote)
    except GatedRepoError:
        raise Absent(f"{remote.repo} is gated: accept its terms on the hub, then run 'hf auth login'") from None
    except (OSError, HTTPError) as error:
        if isinstance(error, OSError) and error.errno in DISK:
            place = constants.HF_HUB_CACHE
            raise UserError(f"the hub's cache {place} cannot be written ({error.strerror}): set HF_HOME to a folder with room") from None
        raise Absent(f"{remote.repo}@{remote.revision[:12]} does not give {remote.path} ({one_line(error)})") from None
    _check(remote, path)
    return path


def _ask_hub(remote: Remote) -> Path:
    """Ask the hub's client again after an error of the server that may pass, because the client itself does not when it asks for a file's
    facts."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HTTPError

    for attempt in range(1, ATTEMPTS):
        try:
            return Path(hf_hub_download(**_on_hub(remote)))
        except (OSError, HTTPError) as error:
            answers = [getattr(one, "response", None) for one in (error, error.__cause__)]
            if not any(answer is not None and _may_pass(answer.status_code) for answer in answers):
                raise
        time.sleep(PAUSE_SECONDS * attempt)
    return Path(hf_hub_download(**_on_hub(remote)))


def _place(remote: Remote) -> Path:
    return cache_folder() / "downloads" / digest(remote.url, 16) / Path(remote.path).name


def _from_web(remote: Remote) -> Path:
    from huggingface_hub.utils import WeakFileLock

    target = _place(remote)
    if target.is_file():
        return target
    _require_connection(_endpoint(remote))
    part = target.with_name(f"{target.name}.part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(part.with_name(f"{target.name}.lock")):
            if not target.is_file():  # another process may have fetched it meanwhile
                _download(remote, part)
                _check(remote, part)
                part.replace(target)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise UserError(f"the cache {cache_folder()} cannot be written ({reason}): set XLIFT_CACHE to a folder with room") from None
    return target


class _Again(Exception):
    """A failed answer that may succeed the next time. The text says what was wrong."""


def _download(remote: Remote, part: Path) -> None:
    """Load the whole file into ``part``, from where an earlier download left it."""
    from huggingface_hub.errors import HTTPError

    for attempt in range(1, ATTEMPTS + 1):
        try:
            _append(remote, part)
            return
        except (HTTPError, _Again) as error:
            if attempt == ATTEMPTS:
                raise Absent(f"{remote.url} failed {ATTEMPTS} times ({one_line(error)}); the same command goes on with it") from None
        time.sleep(PAUSE_SECONDS * attempt)


def _append(remote: Remote, part: Path) -> None:
    from huggingface_hub.utils import tqdm

    done = part.stat().st_size if part.is_file() else 0
    headers = {**IDENTITY, **({"Range": f"bytes={done}-"} if done else {})}
    with _session().stream("GET", _route(remote.url), headers=headers, timeout=SILENCE_SECONDS, follow_redirects=True) as response:
        _require_answer(remote, response)
        packed = response.headers.get("content-encoding", "identity") != "identity"  # can be read, but not gone on with
        goes_on = response.headers.get("content-range", "").startswith(f"bytes {done}-") and not packed
        if response.status_code == 416 or (response.status_code == 206 and not goes_on):
            part.unlink(missing_ok=True)  # as long as the file, or longer, or of another one: it is not known to be right
            raise _Again("the server does not go on with what was kept")
        resumed = done if response.status_code == 206 else 0
        length = 0 if packed else resumed + int(response.headers.get("content-length") or 0)
        _require_bound(remote, length, part)
        _require_room(length - resumed)
        bar = tqdm(total=length or None, initial=resumed, unit="B", unit_scale=True, desc=part.stem, disable=None)
        with bar, part.open("ab" if resumed else "wb") as stream:
            for chunk in response.iter_bytes():
                stream.write(chunk)
                bar.update(len(chunk))
                _require_bound(remote, stream.tell(), part)


def _require_answer(remote: Remote, response: Any) -> None:
    """Raise Absent for an answer that is not the file, or ``_Again`` if the next answer may be."""
    status = response.status_code
    if _may_pass(status):
        raise _Again(f"the server answers {status} {response.reason_phrase}")
    if status >= 400 and status != 416:
        raise Absent(f"{remote.url} does not answer ({status} {response.reason_phrase})")
    if response.headers.get("content-type", "").startswith("text/html"):
        raise Absent(f"{remote.url} gives a web page in place of the file: the network may ask for a sign-in, or a mirror show an error")


def _may_pass(status: int) -> bool:
    return status in (408, 429) or status >= 500


def _require_bound(remote: Remote, size: int, part: Path) -> None:
    """Raise Absent, and delete what there is, if an answer is longer than the file."""
    most = remote.size or MOST_BYTES
    if size > most:
        part.unlink(missing_ok=True)
        raise Absent(f"{remote.url} gives more than {most:,} bytes, the most that the file may have")


def _require_room(size: int) -> None:
    if size > (free := shutil.disk_usage(cache_folder()).free):
        raise OSError(errno.ENOSPC, f"{size:,} bytes are to come, and {free:,} are free")


def _check(remote: Remote, path: Path) -> None:
    """Raise UserError, and delete the file, if it is not the published one, or not the one that this address gave before."""
    actual = file_sha256(path)
    note, before = _first_seen(remote), _read_first_seen(remote)
    wanted = remote.sha256 or before
    if wanted and actual != wanted:
        size = path.stat().st_size
        for place in {path.resolve(), path}:  # the hub's cache has links to its files
            place.unlink()
        whose = "of the published file" if remote.sha256 else f"that it gave first ({note} remembers it)"
        raise UserError(
            f"{name_address(remote)}: {size:,} bytes with sha256 {actual}, not {wanted}, {whose}; nothing was kept: the file has "
            "changed, or a mirror or the network gives another one; try again, or without XLIFT_MIRROR and HF_ENDPOINT"
        )
    if not before:
        write_whole(note, actual.encode())


def _first_seen(remote: Remote) -> Path:
    """The place of the sha256 that an address gave the first time."""
    return cache_folder() / "first-seen" / digest([remote.repo, remote.revision, remote.path], 32)


def _members(remote: Remote) -> Path:
    """The folder for what was taken out of an archive."""
    return cache_folder() / "downloads" / digest([remote.repo, remote.revision, remote.path], 16) / "members"


def _read_first_seen(remote: Remote) -> str:
    """The content of ``_first_seen``; empty if the file is missing or cannot be read."""
    note = _first_seen(remote)
    found = note.read_bytes() if note.is_file() else b""
    return found.decode() if re.fullmatch(rb"[0-9a-f]{64}", found) else ""


def _take_member(remote: Remote, archive: Path) -> Path:
    """Take the file out of the archive and put it beside it. Raises Absent for an archive that lacks it or cannot be read."""
    target = _members(remote) / remote.member
    if is_as_noted(target):
        return target
    try:
        content = _read_member(archive, remote.member)
    except UNREADABLE as error:
        forget(remote)
        raise Absent(
            f"{name_address(remote)}: {remote.member} cannot be read from it ({type(error).__name__}: {one_line(error)})"
        ) from None
    write_noted(target, content)
    return target


def _read_member(archive: Path, member: str) -> bytes:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as opened:
            one = next((one for one in opened.infolist() if _is(one.filename, member)), None)
            if one is None:
                raise LookupError("it is not in it")
            require_growth(one.file_size, archive)
            return opened.read(one)
    with tarfile.open(archive) as packed:
        entry = next((entry for entry in packed if entry.isfile() and _is(entry.name, member)), None)
        if entry is None:
            raise LookupError("it is not in it")
        require_growth(entry.size, archive)
        found: Any = packed.extractfile(entry)
        content: bytes = found.read()
        return content


def _is(name: str, member: str) -> bool:
    return name == member or name.endswith(f"/{member}")


def _endpoint(remote: Remote) -> str:
    """What must be reachable to get a file."""
    from huggingface_hub import constants

    if remote.host == "hub":
        return str(constants.ENDPOINT)
    return "/".join(_route(remote.url).split("/")[:3])


def _route(url: str) -> str:
    """The address by way of XLIFT_MIRROR: it replaces ``{url}`` there, or else its host and path follow the mirror's address."""
    mirror = os.environ.get("XLIFT_MIRROR", "").rstrip("/")
    if not mirror:
        return url
    if not _is_address(mirror):
        raise UserError(f"XLIFT_MIRROR is {mirror!r}: write an address with http:// or https://, such as https://mirror.example/{{url}}")
    return mirror.replace("{url}", url) if "{url}" in mirror else f"{mirror}/{url.removeprefix('https://')}"


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _require_connection(host: str) -> None:
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        raise Absent("HF_HUB_OFFLINE is set")
    if not _is_address(host):
        raise UserError(f"HF_ENDPOINT is {host!r}: write an address with http:// or https://, such as https://huggingface.co")
    if reason := _unreachable(host):
        way = "HF_ENDPOINT can name a mirror of the hub" if _is_hub(host) else "XLIFT_MIRROR can name a mirror of such files"
        proxy = f"the proxy that {_name_proxies()} names was asked" if _name_proxies() else "HTTPS_PROXY can name a proxy"
        raise Absent(f"no connection to {host} ({reason}); {way}, {proxy}")


@contextmanager
def without_network() -> Iterator[None]:
    """While this lasts, the hub's client and ``datasets`` return what is on this machine and fail for everything else, as with
    HF_HUB_OFFLINE.

    ``datasets`` draws no progress bars meanwhile, because there is nothing to wait for.
    """
    import datasets
    from huggingface_hub import constants

    before, drawn = (constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE), datasets.is_progress_bar_enabled()
    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before
        if drawn:
            datasets.enable_progress_bars()


def _is_hub(host: str) -> bool:
    from huggingface_hub import constants

    return bool(host == constants.ENDPOINT)


@cache
def _unreachable(host: str) -> str:
    """Why a host cannot be reached; empty if it can. It is asked once, because the hub's client retries for 24 s before it gives up."""
    from huggingface_hub.errors import HTTPError

    try:
        _session().head(host, timeout=PROBE_SECONDS)
    except (OSError, HTTPError) as error:
        return one_line(error)
    return ""


def _session() -> Any:
    """The hub's HTTP client, which uses the proxies that the environment names."""
    from huggingface_hub.utils import get_session

    try:
        return get_session()
    except Exception as error:  # ValueError, ImportError or the client's own, by what is wrong with a proxy
        named = _name_proxies() or "the system"
        raise UserError(f"the proxy that {named} names cannot be used ({one_line(error)}): correct it, or unset it") from None


def _name_proxies() -> str:
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    return " or ".join(name for name in names if os.environ.get(name) or os.environ.get(name.lower()))
