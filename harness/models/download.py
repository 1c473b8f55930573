"""Files of a hub repository, with each of the hub's refusals as one line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xlift.harness.core.errors import UserError, one_line

FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer*", "*.txt", "*.model")


def download(repository: str, revision: str | None, what: str, patterns: Sequence[str] = FILES) -> Path:
    """The matching files of a hub repository, in a folder named by its commit. Raises UserError with the remedy if they cannot be
    fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except HFValidationError as error:
        raise UserError(f"{what} {repository!r}: not a hub name ORG/NAME ({one_line(error)})") from None
    except GatedRepoError:
        raise UserError(f"{what} {repository!r}: gated; accept its licence on the hub, then `hf auth login`") from None
    except RevisionNotFoundError:
        raise UserError(f"{what} {repository!r}: no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise UserError(f"{what} {repository!r}: no such repository on the hub, or it is private; `hf auth login` if it is yours") from None
    except ValueError as error:  # a file of the repository whose name leads out of the folder
        raise UserError(f"{what} {repository!r}: cannot be downloaded ({one_line(error)})") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, ConnectionError, OSError) as error:
        at = f" --revision {revision}" if revision else ""
        raise UserError(
            f"{what} {repository!r}: the hub cannot be reached and no copy is cached ({type(error).__name__}); "
            f"run `hf download {repository}{at}` where there is a network, or name a local folder"
        ) from error
    if strangers := find_strangers(folder):
        raise UserError(
            f"{what} {repository!r}: {strangers[0]} is a link out of the hub's cache, to {strangers[0].resolve()}, which the hub does not "
            f"make; delete {folder.parents[1]} and run again"
        )
    return folder


def find_strangers(folder: Path) -> list[Path]:
    """The links in a snapshot of the hub's cache that lead out of the cache. Their targets would be taken for files of the repository."""
    cache = folder.parents[2].resolve()
    return [path for path in sorted(folder.rglob("*")) if path.is_symlink() and not path.resolve().is_relative_to(cache)]


def find_download(repository: str, revision: str | None) -> Path | None:
    """The folder in the cache with the files of a hub repository that were downloaded so far; None if there are none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None
