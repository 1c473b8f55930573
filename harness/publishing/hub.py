"""Adapters to the hub and back: a push is one commit, files that are there already stay, and what arrived is read back and compared."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xlift.harness.core.errors import ServiceError, UserError
from xlift.harness.core.paths import cache_folder
from xlift.harness.core.store import read_object
from xlift.harness.models.adapters import CARD, FULL, MASK, hash_weights, merge, resolve
from xlift.harness.models.download import download
from xlift.harness.publishing.package import README, File

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo, Discussion, HfApi, ModelInfo, SpaceInfo
    from huggingface_hub.hf_api import RepoFile, RepoFolder
    from peft import PeftModel
    from transformers import PreTrainedModel

    from xlift.harness.models.bases import Base

logger = logging.getLogger(__name__)

WAIT = 120.0
"""The seconds for a connection, or for the next bytes, after which the hub counts as not answering. The client itself has no limit."""

PULLED = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.md", ".eval_results/*")


@dataclass(frozen=True)
class Target:
    """The place of the files, and how they are put there."""

    repository: str
    private: bool = False
    """For a repository that is made. One that exists keeps its visibility."""
    request: bool = False
    """Whether a pull request is opened in place of a commit."""
    kind: str = "model"
    """``model``, or ``space`` for a static site."""


@dataclass(frozen=True)
class Pushed:
    """What a push did."""

    repository: str
    url: str
    """The address of the repository, or of the pull request."""
    commit: str
    revision: str
    """The revision that has the files: the commit, or the reference of a pull request."""
    sent: tuple[str, ...]
    unchanged: tuple[str, ...]
    largest_logit_difference: float | None = None
    """The largest difference of logits between the local adapter and the hub's copy, if they were compared."""


@dataclass(frozen=True)
class PlannedFile:
    """One file of a push."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class PushPlan:
    """What a push would send."""

    repository: str
    visibility: Literal["public", "private"]
    """The visibility of a repository that does not exist yet."""
    pull_request: bool
    files: tuple[PlannedFile, ...]
    card_known: bool
    """Whether the card was pushed from, or pulled to, this machine before."""
    card_diff: tuple[str, ...]
    """The lines that have changed in the card since then."""
    base_model: str | None = None
    """For an adapter: its base on the hub."""
    restrictions: tuple[str, ...] = ()
    """Training data with restricted use, which must be accepted."""


def plan(target: Target, files: Sequence[File]) -> PushPlan:
    """What a push would send. No server is asked: the card is compared with the one that was last pushed from or pulled to this machine."""
    known = _remembered_card(target.repository)
    card = next((file.read().decode() for file in files if file.path == README), "")
    before = known.read_text(encoding="utf-8", errors="replace") if known.is_file() else ""
    diff = list(unified_diff(before.splitlines(), card.splitlines(), "card on the hub, as last seen from here", "card", lineterm=""))
    return PushPlan(
        repository=target.repository,
        visibility="private" if target.private else "public",
        pull_request=target.request,
        files=tuple(PlannedFile(file.path, file.size, file.sha256) for file in files),
        card_known=known.is_file(),
        card_diff=tuple(diff),
    )


def push(target: Target, files: Sequence[File], message: str, owns: Callable[[str], bool] | None = None) -> Pushed:
    """Make the repository if it is missing, commit the files that differ, and compare what arrived.

    Files that the hub has and ``files`` lacks stay, except those whose path ``owns``, which are deleted: pages that a site no longer has.

    The commit names its parent: if somebody else committed meanwhile, nothing is changed. Large files that an interrupted push sent are not
    sent again. If a pull request of the same title is still open, the commit is added to it. Raises UserError for what the user can
    correct, and ServiceError if the hub fails.
    """
    with _speaking(target) as api:
        tip, reference = _find_or_make(api, target), None
        url = f"{api.endpoint}/{'spaces/' if target.kind == 'space' else ''}{target.repository}"
        changes = _compare(api, target, tip, files, owns)
        if changes.sent and target.request and (opened := _find_request(api, target, message)):
            reference, url = opened.git_reference, opened.url
            tip = api.repo_info(target.repository, repo_type=target.kind, revision=reference).sha
            changes = _compare(api, target, tip, files, owns)
        if not changes.sent and not changes.gone:
            return Pushed(target.repository, url, tip, reference or tip, (), changes.unchanged)
        made = _commit(api, target, changes, message, tip, reference)
        revision = str(reference or made.pr_revision or made.oid)
        _verify(api, target, revision, files)
    if not target.request:
        remember_card(target.repository, files)
    sent = tuple(file.path for file in changes.sent)
    return Pushed(target.repository, str(made.pr_url or url), made.oid, revision, sent, changes.unchanged)


@dataclass(frozen=True)
class _Changes:
    """What a commit must change so that the hub holds the files."""

    sent: tuple[File, ...]
    gone: tuple[str, ...]
    unchanged: tuple[str, ...]


def _find_or_make(api: HfApi, target: Target) -> str:
    """The newest commit of a repository, which is made if it is missing. Raises UserError for a repository that is not as it was asked
    for."""
    found = _look(api, target)
    if found is None:
        if target.request:
            raise UserError(f"{target.repository}: no such repository to open a pull request on; leave --pr out to make it")
        extra = {"space_sdk": "static"} if target.kind == "space" else {}
        api.create_repo(target.repository, repo_type=target.kind, private=target.private, **extra)
        found = api.repo_info(target.repository, repo_type=target.kind)
    elif target.private and not found.private:
        raise UserError(f"{target.repository}: public on the hub, --private would not hide it; change its visibility there first")
    return str(found.sha)


def _compare(api: HfApi, target: Target, revision: str, files: Sequence[File], owns: Callable[[str], bool] | None) -> _Changes:
    held = _list_files(api, target, revision)
    sent = tuple(file for file in files if not _is_held(file, held.get(file.path)))
    left = held.keys() - {file.path for file in files} if owns else set()
    gone = sorted(path for path in left if owns and owns(path) and hasattr(held[path], "blob_id"))  # folders have no blob
    return _Changes(sent, tuple(gone), tuple(file.path for file in files if file not in sent))


def _commit(api: HfApi, target: Target, changes: _Changes, message: str, parent: str, reference: str | None) -> CommitInfo:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    few = ", ".join(file.path for file in changes.sent) if len(changes.sent) <= 12 else f"{len(changes.sent)} files"
    logger.info("%s: sending %s", target.repository, few)
    added = [CommitOperationAdd(file.path, file.content) for file in changes.sent]
    deleted = [CommitOperationDelete(path) for path in changes.gone]
    return api.create_commit(
        target.repository,
        [*added, *deleted],
        commit_message=message,
        repo_type=target.kind,
        revision=reference,
        parent_commit=parent,
        create_pr=target.request and not reference,
    )


def pull(repository: str, revision: str | None = None, out: Path | None = None) -> Path:
    """Download an adapter with its card. Returns its folder. Raises UserError if its weights are not those that were pushed."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: {'not empty' if out.is_dir() else 'not a folder'}; name another one with --out")
    folder = download(repository, revision, "adapter", PULLED)
    check_weights(folder, repository)
    remember_card(repository, [File(README, folder / README)] if (folder / README).is_file() and revision is None else [])
    if out is None:
        return folder
    shutil.copytree(folder, out, dirs_exist_ok=True)
    return out


def check_weights(folder: Path, name: str) -> None:
    """Raise UserError for weights with another sha256 than ``xlift.json`` says, or an adapter that is not complete."""
    resolve(folder)
    if (folder / CARD).is_file() and (found := hash_weights(folder)):
        said = read_object(folder / CARD).get("weights_sha256")
        if said and said != found:
            raise UserError(f"{name}: the weights are not those that were pushed with {CARD} (sha256 differs); ask its author")


def fetch(target: Target, revision: str, folder: Path) -> Path:
    """The repository as the hub gives it, without any cache."""
    from huggingface_hub import snapshot_download

    with _speaking(target):
        return Path(snapshot_download(target.repository, revision=revision, repo_type=target.kind, cache_dir=folder))


def collect_on_hub(owner: str, title: str, repositories: Mapping[str, str], *, private: bool = False) -> str:
    """A collection of repositories (name to note), which is made if it is missing. Returns its address."""
    with _speaking(Target(f"{owner}/{title}")) as api:
        made = api.create_collection(title[:59], namespace=owner, private=private, exists_ok=True)
        there = {item.item_id for item in made.items}
        for repository, note in repositories.items():
            if repository not in there:
                api.add_collection_item(made.slug, repository, "model", note=note[:500], exists_ok=True)
        return str(made.url)


def compare_logits(base: Base, ours: Path, theirs: Path) -> float:
    """The largest difference of any logit between two copies of an adapter on one prompt in each of a few languages, in fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from xlift.harness.models.bases import load_tokenizer

    if not resolve(ours).has_weights:
        if resolve(ours).sha256 != resolve(theirs).sha256:
            raise UserError(f"{theirs}: its profile, or what it moves, is not the local one")
        return 0.0
    ids = load_tokenizer(base)(["What is 2 + 3? ¿Cuánto es? কত হয়?"], return_tensors="pt").input_ids
    if resolve(ours).peft_type in (FULL, MASK):
        with torch.no_grad():
            one, other = (merge(resolve(folder), base, "float32")(input_ids=ids).logits for folder in (ours, theirs))
        return float((one - other).abs().max())
    model: PreTrainedModel | PeftModel = AutoModelForCausalLM.from_pretrained(base.folder, use_safetensors=True, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, str(ours), adapter_name="ours")
    model.load_adapter(str(theirs), adapter_name="theirs")
    found = []
    for name in ("ours", "theirs"):
        model.set_adapter(name)
        with torch.no_grad():
            found.append(model(input_ids=ids).logits)
    return float((found[0] - found[1]).abs().max())


def remember_card(repository: str, files: Sequence[File]) -> None:
    """Keep the card as the hub has it, for the next dry run."""
    for file in files:
        if file.path == README:
            path = _remembered_card(repository)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read())


def _remembered_card(repository: str) -> Path:
    return cache_folder() / "cards" / f"{repository.replace('/', '--')}.md"


def _look(api: HfApi, target: Target) -> ModelInfo | SpaceInfo | None:
    """The repository; None if there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.repo_info(target.repository, repo_type=target.kind)
    except RepositoryNotFoundError as error:
        if error.response.status_code == 404:
            return None
        raise


def _list_files(api: HfApi, target: Target, revision: str) -> dict[str, RepoFile | RepoFolder]:
    return {entry.path: entry for entry in api.list_repo_tree(target.repository, recursive=True, revision=revision, repo_type=target.kind)}


def _find_request(api: HfApi, target: Target, title: str) -> Discussion | None:
    """The newest open pull request of the token's user with this title; None if there is none."""
    found = api.get_repo_discussions(
        target.repository,
        repo_type=target.kind,
        author=api.whoami()["name"],
        discussion_type="pull_request",
        discussion_status="open",
    )
    return max((one for one in found if one.title == title), key=lambda one: one.num, default=None)


def _is_held(file: File, entry: RepoFile | RepoFolder | None) -> bool:
    if entry is None or getattr(entry, "size", None) != file.size:
        return False
    if entry.lfs:
        return bool(entry.lfs.sha256 == file.sha256)
    content = file.read()
    # The name git gives to a file's content.
    return bool(entry.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest())


def _verify(api: HfApi, target: Target, revision: str, files: Sequence[File]) -> None:
    from huggingface_hub import snapshot_download

    with tempfile.TemporaryDirectory(prefix="xlift-") as empty:
        names = [file.path for file in files]
        folder = Path(snapshot_download(target.repository, revision=revision, repo_type=target.kind, cache_dir=empty, allow_patterns=names))
        for file in files:
            if not (folder / file.path).is_file() or File(file.path, folder / file.path).sha256 != file.sha256:
                raise ServiceError(f"{target.repository}: {file.path} came back from the hub with another content; push again")


@contextmanager
def _speaking(target: Target) -> Iterator[HfApi]:
    """The hub's client with a token, without output, and with its errors as one line each. The token is in no message."""
    from huggingface_hub import HfApi, get_token
    from huggingface_hub import logging as client_logging
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, get_session

    if not get_token():
        raise UserError("no token for the hub: run `hf auth login`, or set HF_TOKEN")
    level, shown = client_logging.get_verbosity(), not are_progress_bars_disabled()
    client_logging.set_verbosity_error()
    disable_progress_bars()
    session = get_session()
    limits, session.timeout = session.timeout, WAIT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield HfApi(library_name="xlift")
    except UserError:
        raise
    except Exception as error:
        told = _explain(error, target)
        if told is None:
            raise
        raise told from None
    finally:
        session.timeout = limits
        client_logging.set_verbosity(level)
        if shown:
            enable_progress_bars()


def _explain(error: BaseException, target: Target) -> UserError | None:
    """The meaning of a client's failure for a user; None for a defect."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    where, cause = target.repository, error.__cause__
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error.response.status_code, _clean(error.server_message or ""), target)
    if isinstance(error, OfflineModeIsEnabled):
        return UserError(f"{where}: HF_HUB_OFFLINE is set; unset it to reach the hub")
    if isinstance(error, HTTPError | ConnectionError | TimeoutError):
        return ServiceError(
            f"{where}: the connection to the hub failed ({type(error).__name__}); nothing was committed, push again to go on"
        )
    if isinstance(error, ValueError) and "README.md" in str(error):
        return UserError(f"{where}: the hub refuses the card: {_clean(str(error).partition('README.md.')[2])}")
    if isinstance(cause, HTTPError | OSError):  # the client wraps what goes wrong with a large file, or with a file to fetch
        return _explain(cause, target)
    if isinstance(error, FileNotFoundError | ValueError):
        return ServiceError(f"{where}: {_clean(str(error))}")
    return None


def _explain_status(status: int, said: str, target: Target) -> UserError:
    where, owner = target.repository, target.repository.partition("/")[0]
    because = f"{status}{': ' + said if said else ''}"
    if status == 401:
        return UserError(f"{where}: the hub does not take the token ({because}); run `hf auth login` again, or set HF_TOKEN")
    if status == 403:
        return UserError(f"{where}: the token may not write to {owner} ({because}); take one that may, or propose the files with --pr")
    if status == 404:
        return UserError(f"{where}: not on the hub, or hidden from this token ({because})")
    if status == 412:
        return ServiceError(f"{where}: somebody committed to it meanwhile ({because}); nothing was changed, look at it and push again")
    if status == 409:
        return ServiceError(f"{where}: the hub reports a conflict ({because}); nothing was changed, push again")
    if status == 429:
        return ServiceError(f"{where}: the hub asks for fewer requests ({because}); nothing was committed, push again later to go on")
    if status >= 500:
        return ServiceError(f"{where}: the hub failed ({because}); nothing was committed, push again to go on")
    return UserError(f"{where}: the hub refuses ({because})")


def _clean(text: str) -> str:
    """One line without the token, 300 characters at most."""
    from huggingface_hub import get_token

    folded = " ".join(text.split())
    secret = get_token()
    return (folded.replace(secret, "[token]") if secret else folded)[:300]
