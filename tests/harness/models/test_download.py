"""What lies in the hub's cache is the hub's: links that lead out of it are refused."""

from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

from xlift.harness.core.errors import UserError
from xlift.harness.models.download import download


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in a cache, its file a link to a blob, as the hub's client leaves it."""
    repository = tmp_path / "cache" / "models--org--name"
    folder = repository / "snapshots" / "abc"
    folder.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "1").write_text("{}")
    (folder / "config.json").symlink_to("../../blobs/1")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(folder))
    return folder


def test_links_into_the_cache_are_the_hubs_own(snapshot: Path) -> None:
    assert download("org/name", None, "adapter") == snapshot


@pytest.mark.parametrize(
    "plant",
    [
        lambda folder, secret: (folder / "adapter_config.json").symlink_to(secret),
        lambda folder, secret: (folder / "README.md").symlink_to("../../../../secret/key"),
        lambda folder, secret: (folder / "inner").symlink_to(secret.parent),
    ],
    ids=["a file", "a relative link", "a folder"],
)
def test_a_link_out_of_the_cache_is_refused(snapshot: Path, tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    secret = tmp_path / "secret" / "key"
    secret.parent.mkdir()
    secret.write_text("secret")
    plant(snapshot, secret)
    with pytest.raises(UserError, match=r"^adapter 'org/name': .* is a link out of the hub's cache, to .*secret.*; delete ") as caught:
        download("org/name", None, "adapter")
    assert "\n" not in str(caught.value)
