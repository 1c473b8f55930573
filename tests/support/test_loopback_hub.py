"""The hub of the tests, seen through the real client: it takes what the real one takes and refuses what that refuses."""

import hashlib
from pathlib import Path

import pytest
from hub_rules import find_faults
from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from loopback_hub import STRANGER, TOKEN, State


def add(**files: bytes) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name.replace("_", "."), content) for name, content in files.items()]


def test_what_is_sent_comes_back(loopback: State, tmp_path: Path) -> None:
    api = HfApi(endpoint=loopback.url, token=TOKEN)
    api.create_repo("lab/one", private=True)
    first = api.create_commit("lab/one", add(a_safetensors=b"weights", b_json=b"{}"), commit_message="first")
    assert api.model_info("lab/one").sha == first.oid
    folder = Path(snapshot_download("lab/one", endpoint=loopback.url, token=TOKEN, cache_dir=tmp_path))
    assert {path.name: path.read_bytes() for path in folder.glob("[ab].*")} == {"a.safetensors": b"weights", "b.json": b"{}"}
    assert loopback.large == {hashlib.sha256(b"weights").hexdigest(): b"weights"}
    api.create_commit("lab/one", add(a_safetensors=b"weights"), commit_message="the same again")
    assert len(loopback.repositories["lab/one"].commits) == 2, "one when it was created, one with the files"


def test_what_it_refuses(loopback: State) -> None:
    mine, theirs = HfApi(endpoint=loopback.url, token=TOKEN), HfApi(endpoint=loopback.url, token=STRANGER)
    made = mine.create_repo("lab/one")
    assert made.repo_id == "lab/one"

    def status(act: object) -> int:
        with pytest.raises(HfHubHTTPError) as caught:
            act()  # type: ignore[operator]
        return int(caught.value.response.status_code)

    assert status(lambda: mine.create_repo("lab/one")) == 409
    assert status(lambda: theirs.create_repo("lab/two")) == 403
    assert status(lambda: HfApi(endpoint=loopback.url, token="hf_wrong").whoami()) == 401
    assert status(lambda: theirs.create_commit("lab/one", add(b_json=b"{}"), commit_message="m")) == 403
    tip = mine.model_info("lab/one").sha
    mine.create_commit("lab/one", add(b_json=b"{}"), commit_message="m")
    assert status(lambda: mine.create_commit("lab/one", add(b_json=b"[]"), commit_message="m", parent_commit=tip)) == 412
    with pytest.raises(RepositoryNotFoundError):
        mine.model_info("lab/none")
    with pytest.raises(ValueError, match="not valid"):
        mine.create_commit("lab/one", add(README_md=b"---\nbase_model: /home/me/model\n---\n"), commit_message="m")


@pytest.mark.parametrize(
    ("front", "fault"),
    [
        ("base_model: org/name", ""),
        ("base_model: smollm2", "base_model"),
        ("base_model: /tmp/model", "base_model"),
        ("license: apache", "license"),
        ("license: other", "license_name"),
        ("language: [de, 3]", "language"),
        ("a: [", "not YAML"),
    ],
)
def test_cards_it_refuses(front: str, fault: str) -> None:
    faults = find_faults(f"---\n{front}\n---\n# Model\n")
    assert (fault in faults[0]) if fault else not faults
