"""Pushing to and pulling from a hub on this machine: what is sent, what is not sent again, and what every fault leaves behind."""

import threading
from pathlib import Path

import pytest
from loopback_hub import STRANGER, TOKEN, Repository, State
from pushable import write_run

from xlift.harness.core.errors import ServiceError, UserError
from xlift.harness.publishing import hub
from xlift.harness.publishing.hub import Target, pull, push
from xlift.harness.publishing.package import File
from xlift.harness.publishing.push import prepare_package

WEIGHTS = "adapter_model.safetensors"
HERE = Target("lab/mine")


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("hub") / "run")


@pytest.fixture(scope="module")
def files(adapter: Path) -> list[File]:
    return prepare_package(adapter, "lab/mine", None)[1]


def refusal(files: list[File], target: Target = HERE, kind: type[UserError] = UserError) -> str:
    with pytest.raises(kind) as caught:
        push(target, files, "message")
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value) and TOKEN not in str(caught.value)
    return str(caught.value)


def contents(files: list[File]) -> dict[str, bytes]:
    return {file.path: file.read() for file in files}


def test_a_push_makes_the_repository_with_one_commit(loopback: State, files: list[File]) -> None:
    done = push(Target("lab/mine", private=True), files, "message")
    made = loopback.repositories["lab/mine"]
    assert made.private and len(made.commits) == 2, "the hub's own first commit, and ours"
    assert {path: held for path, held in loopback.files("lab/mine").items() if path != ".gitattributes"} == contents(files)
    assert set(done.sent) == set(contents(files)) and not done.unchanged
    assert (done.url, done.commit) == (f"{loopback.url}/lab/mine", made.commits[-1][0])


def test_the_same_push_again_sends_nothing(loopback: State, files: list[File]) -> None:
    push(HERE, files, "message")
    loopback.log.clear()
    again = push(HERE, files, "message")
    assert not again.sent and set(again.unchanged) == set(contents(files))
    assert loopback.count("POST|PUT") == 0


def test_only_what_changed_is_sent(loopback: State, files: list[File]) -> None:
    push(HERE, files, "message")
    loopback.log.clear()
    changed = [File(file.path, file.read() + b"\n") if file.path == "README.md" else file for file in files]
    assert push(HERE, changed, "message").sent == ("README.md",)
    assert loopback.count("PUT") == 0 and loopback.count("commit") == 1
    assert loopback.files("lab/mine")["README.md"].endswith(b"\n\n")


def test_files_of_others_stay(loopback: State, files: list[File]) -> None:
    push(HERE, files, "message")
    made = loopback.repositories["lab/mine"]
    made.add({**made.commits[-1][1], "notes.txt": b"theirs"})
    push(HERE, [File("README.md", b"# Card")], "message")
    assert loopback.files("lab/mine")["notes.txt"] == b"theirs"


def test_a_pull_request_leaves_the_main_branch(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    push(HERE, files, "message")
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    changed = [File("README.md", b"# Better card")]
    assert "403" in refusal(changed) and "--pr" in refusal(changed)
    done = push(Target("lab/mine", request=True), changed, "message")
    assert (done.url, done.revision) == (f"{loopback.url}/lab/mine/discussions/1", "refs/pr/1")
    assert loopback.files("lab/mine")["README.md"] == contents(files)["README.md"]
    assert loopback.repositories["lab/mine"].requests["refs/pr/1"][1]["README.md"] == b"# Better card"
    assert "no such repository" in refusal(changed, Target("lab/none", request=True))


def test_a_pull_request_is_opened_once(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    push(HERE, files, "message")
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    place, made = Target("lab/mine", request=True), loopback.repositories["lab/mine"]
    first = push(place, [File("README.md", b"# Better card")], "message")
    again = push(place, [File("README.md", b"# Better card")], "message")
    assert (again.sent, again.url, again.commit) == ((), first.url, first.commit)
    third = push(place, [File("README.md", b"# Best card"), File("xlift.json", b"{}")], "message")
    assert third.sent == ("README.md", "xlift.json") and third.url == first.url and third.revision == "refs/pr/1"
    assert list(made.requests) == ["refs/pr/1"] and made.requests["refs/pr/1"][1]["README.md"] == b"# Best card"
    assert push(place, [File("README.md", b"# Card")], "another message").revision == "refs/pr/2"
    made.closed.add("refs/pr/1")
    assert push(place, [File("README.md", b"# Best card")], "message").revision == "refs/pr/3", "a closed one is not added to"


def test_a_pull_request_that_was_merged_needs_no_other(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    push(HERE, files, "message")
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    done = push(Target("lab/mine", request=True), files, "message")
    assert not done.sent and done.url.endswith("/lab/mine") and not loopback.repositories["lab/mine"].requests


def test_a_public_repository_is_not_taken_for_a_private_one(loopback: State, files: list[File]) -> None:
    push(HERE, files, "message")
    assert "public on the hub" in refusal(files, Target("lab/mine", private=True))


def test_without_a_token_nobody_is_asked(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "hf auth login" in refusal(files)
    assert not loopback.log


@pytest.mark.parametrize(
    ("token", "repository", "says"),
    [("hf_nobody", "lab/mine", "does not take the token (401"), (STRANGER, "lab/mine", "may not write to lab (403")],
)
def test_wrong_tokens(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch, token: str, repository: str, says: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    said = refusal(files, Target(repository))
    assert says in said and token not in said
    assert not loopback.repositories


CREATE, PREUPLOAD, BATCH, PUT, COMMIT, LOOK, READ = (
    "POST /api/repos/create", "POST .*/preupload", "POST .*/objects/batch", "PUT", "POST .*/commit", "GET /api/models/lab/mine$",
    f"GET /lab/mine/resolve/.*/{WEIGHTS}",
)  # fmt: skip


@pytest.mark.parametrize(
    ("match", "status", "kind", "says"),
    [
        (LOOK, 401, UserError, "does not take the token (401"),
        (CREATE, 403, UserError, "may not write to lab (403"),
        (CREATE, 409, ServiceError, "conflict (409"),
        (CREATE, 500, ServiceError, "the hub failed (500"),
        (PREUPLOAD, 403, UserError, "may not write to lab (403"),
        (PREUPLOAD, 429, ServiceError, "fewer requests (429"),
        (BATCH, 500, ServiceError, "the hub failed (500"),
        (PUT, 403, UserError, "(403"),
        (PUT, 503, ServiceError, "the hub failed (503"),
        (COMMIT, 400, UserError, "the hub refuses (400"),
        (COMMIT, 409, ServiceError, "conflict (409"),
        (COMMIT, 412, ServiceError, "somebody committed to it meanwhile (412"),
        (COMMIT, 429, ServiceError, "fewer requests (429"),
        (COMMIT, 500, ServiceError, "the hub failed (500"),
    ],
)
def test_every_fault_is_one_line_and_the_same_push_heals_it(
    loopback: State, files: list[File], match: str, status: int, kind: type[UserError], says: str
) -> None:
    loopback.fail(match, status, times=99, message=f"it says\nno to {TOKEN}")
    assert says in refusal(files, kind=kind)
    ours = {path for made in loopback.repositories.values() for _, held in made.commits for path in held} - {".gitattributes"}
    assert not ours, "either all files are there, or none"
    loopback.faults.clear()
    push(HERE, files, "message")
    assert {path: held for path, held in loopback.files("lab/mine").items() if path != ".gitattributes"} == contents(files)


@pytest.mark.parametrize("match", [CREATE, PREUPLOAD, BATCH, PUT, COMMIT])
def test_a_cut_connection_is_one_line(loopback: State, files: list[File], match: str) -> None:
    loopback.fail(match, cut=True, times=99)
    assert "connection to the hub failed" in refusal(files, kind=ServiceError)
    loopback.faults.clear()
    push(HERE, files, "message")
    assert loopback.files("lab/mine")[WEIGHTS] == contents(files)[WEIGHTS]


def test_one_cut_upload_is_tried_again_by_itself(loopback: State, files: list[File]) -> None:
    loopback.fail(PUT, cut=True)
    push(HERE, files, "message")
    assert loopback.count(PUT) == 2 and loopback.files("lab/mine")[WEIGHTS] == contents(files)[WEIGHTS]


def test_weights_that_arrived_before_the_fault_are_not_sent_again(loopback: State, files: list[File]) -> None:
    loopback.fail(COMMIT, 500)
    refusal(files, kind=ServiceError)
    loopback.log.clear()
    push(HERE, files, "message")
    assert loopback.count(PUT) == 0 and loopback.count(CREATE) == 0
    assert loopback.files("lab/mine")[WEIGHTS] == contents(files)[WEIGHTS]


def test_a_slow_hub_is_waited_for_and_a_silent_one_is_not(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WAIT", 1.0)
    loopback.fail(COMMIT, wait=2.0)
    assert "connection to the hub failed (ReadTimeout)" in refusal(files, kind=ServiceError)
    loopback.fail(PUT, wait=0.3)
    push(HERE, files, "message")


def test_a_lost_answer_to_the_commit_is_found_out(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "WAIT", 1.0)
    loopback.fail(COMMIT, wait=1.5)  # the commit is made after the client has given up
    refusal(files, kind=ServiceError)
    made = loopback.repositories["lab/mine"]
    for _ in range(100):
        if len(made.commits) == 2:
            break
        threading.Event().wait(0.05)
    assert not push(HERE, files, "message").sent and len(made.commits) == 2


def test_a_moved_parent_changes_nothing(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    push(HERE, files, "message")
    made, look = loopback.repositories["lab/mine"], hub._look

    def look_then_move(api: object, target: Target) -> object:
        found = look(api, target)
        made.add({**made.commits[-1][1], "README.md": b"theirs"})
        return found

    monkeypatch.setattr(hub, "_look", look_then_move)
    assert "A commit has happened since" in refusal([File("README.md", b"ours")], kind=ServiceError)
    assert loopback.files("lab/mine")["README.md"] == b"theirs"


def test_a_card_the_hub_refuses_is_refused_before_anything_is_sent(loopback: State, files: list[File]) -> None:
    bad = [File("README.md", b"---\nbase_model: /models/base\n---\n"), *(file for file in files if file.path != "README.md")]
    said = refusal(bad)
    assert "the hub refuses the card" in said and '"base_model" with value "/models/base" is not valid' in said
    assert not loopback.large and len(loopback.repositories["lab/mine"].commits) == 1


def test_what_comes_back_is_compared(loopback: State, files: list[File], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Repository.add

    def add(self: Repository, held: dict[str, bytes], reference: str | None = None) -> str:
        return whole(self, {path: value[:-1] + b"?" if path == WEIGHTS else value for path, value in held.items()}, reference)

    monkeypatch.setattr(Repository, "add", add)
    assert f"{WEIGHTS} came back from the hub with another content" in refusal(files, kind=ServiceError)


def test_reading_back_that_fails_is_told(loopback: State, files: list[File]) -> None:
    loopback.fail(READ, 500, times=99)
    assert "500" in refusal(files, kind=ServiceError)


def test_a_pull_gives_what_was_pushed(loopback: State, files: list[File], tmp_path: Path) -> None:
    push(HERE, files, "message")
    folder = pull("lab/mine", out=tmp_path / "copy")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents(files)
    with pytest.raises(UserError, match="not empty"):
        pull("lab/mine", out=tmp_path / "copy")
    with pytest.raises(UserError, match="no such repository"):
        pull("lab/none")


def test_a_pull_of_other_weights_is_refused(loopback: State, files: list[File], tmp_path: Path) -> None:
    push(HERE, files, "message")
    made = loopback.repositories["lab/mine"]
    other = write_run(tmp_path / "other", seed=5) / WEIGHTS
    made.add({**made.commits[-1][1], WEIGHTS: other.read_bytes()})
    with pytest.raises(UserError, match="not those that were pushed"):
        pull("lab/mine")


def test_collections_are_made_once(loopback: State, files: list[File]) -> None:
    push(HERE, files, "message")
    for _ in range(2):
        address = hub.collect_on_hub("lab", "xlift: small", {"lab/mine": "m"})
    [made] = loopback.collections.values()
    assert [item["id"] for item in made["items"]] == ["lab/mine"]
    assert address == f"{loopback.url}/collections/{made['slug']}"


def test_a_static_site_goes_to_a_space(loopback: State) -> None:
    site = [File("README.md", b"---\nsdk: static\n---\n"), File("index.html", b"<p>")]
    done = push(Target("lab/board", kind="space"), site, "message")
    assert done.url == f"{loopback.url}/spaces/lab/board" and loopback.repositories["lab/board"].kind == "space"
    assert loopback.files("lab/board")["index.html"] == b"<p>"


@pytest.mark.parametrize("name", ["../esc.json", "a/../../esc.json", "/esc.json"])
def test_a_file_whose_name_leads_out_of_the_repository_is_not_written(
    loopback: State, files: list[File], tmp_path: Path, name: str
) -> None:
    made = loopback.repositories["lab/odd"] = Repository("model", private=False)
    made.add({**contents(files), name: b"{}"})
    with pytest.raises(UserError) as caught:
        pull("lab/odd", out=tmp_path / "copy")
    assert "\n" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("esc.json") if "odd" not in str(path)] and not Path("/esc.json").exists()
