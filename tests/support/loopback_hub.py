"""A hub on 127.0.0.1 that the real ``huggingface_hub`` client talks to: it refuses what the real one refuses, and fails on command.

It knows repositories with commits and pull requests, gated ones, large files by their sha256, and collections; as a mirror (XLIFT_MIRROR)
it serves files of other hosts, and goes on with a download that broke off. What it does not imitate: Xet storage (set
HF_HUB_DISABLE_XET=1), multipart uploads, rate limits of its own.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_rules import NAME, describe, find_faults, git_hash

TOKEN = "hf_" + "LoopbackTokenOfTheTests" * 2
STRANGER = "hf_" + "TokenOfSomebodyElse" * 2
OWNERS = {TOKEN: ("me", "lab"), STRANGER: ("stranger",)}


@dataclass
class Fault:
    """What happens instead of an answer, to the next ``times`` requests whose method and path match."""

    match: str
    status: int = 0
    message: str = ""
    times: int = 1
    wait: float = 0.0
    """Seconds before the answer, the usual one where ``status`` is 0."""
    cut: bool = False
    """The connection closes without an answer."""
    cut_after: int | None = None
    """The connection closes after so many bytes of the usual answer."""
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer with ``status``; Content-Length may be wrong."""
    body: bytes = b""
    """Of that answer, in place of ``message``."""


@dataclass
class Repository:
    kind: str
    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    requests: dict[str, tuple[str, dict[str, bytes]]] = field(default_factory=dict)
    """Pull requests: the reference, and its commit."""
    titles: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Their authors and titles, by reference."""
    closed: set[str] = field(default_factory=set)
    gated: bool = False

    def add(self, files: dict[str, bytes], reference: str | None = None) -> str:
        oid = hashlib.sha1(repr((len(self.commits), len(self.requests), sorted(files))).encode() + b"".join(files.values())).hexdigest()
        if reference:
            self.requests[reference] = (oid, files)
        else:
            self.commits.append((oid, files))
        return oid

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision == "main":
            return self.commits[-1]
        known = [*self.commits, *self.requests.values()]
        return self.requests.get(revision) or next((one for one in known if one[0] == revision), None)


@dataclass
class State:
    """All that the hub holds; a test looks into it and changes it."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    collections: dict[str, dict[str, Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    mirrored: dict[str, bytes] = field(default_factory=dict)
    """Files of other hosts, by host and path."""
    log: list[str] = field(default_factory=list)
    """Method and path of each request."""
    sent: list[bytes] = field(default_factory=list)
    """Bodies of uploads and commits."""

    def fail(self, match: str, status: int = 0, **more: Any) -> None:
        self.faults.append(Fault(match, status, **more))

    def files(self, name: str) -> dict[str, bytes]:
        return self.repositories[name].commits[-1][1]

    def count(self, match: str) -> int:
        return sum(bool(re.search(match, line)) for line in self.log)


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None, **body: Any) -> None:
        self.status, self.message, self.code, self.body = status, message, code, {"error": message, **body}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, state: State, *values: Any) -> None:
        self.state = state
        super().__init__(*values)

    def log_message(self, format: str, *values: Any) -> None:
        return

    def do_GET(self) -> None:
        self.handle_one()

    do_HEAD = do_POST = do_PUT = do_GET

    def handle_one(self) -> None:
        parts = urlsplit(self.path)
        self.place, self.query = unquote(parts.path), parse_qs(parts.query)
        line = f"{self.command} {self.place}"
        self.state.log.append(line)
        fault = next((one for one in self.state.faults if one.times and re.search(one.match, line)), None)
        if fault:
            fault.times -= 1
            threading.Event().wait(fault.wait)
        if fault and fault.cut:
            self.close_connection = True
            return
        self.cut_after = fault.cut_after if fault else None
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if fault and fault.status:
            self.answer(fault.status, fault.body or {"error": fault.message}, fault.headers)
            return
        try:
            self.route()
        except Refusal as refusal:
            self.answer(refusal.status, refusal.body, {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code or ""})

    def answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        said = {"Content-Length": str(len(data)), **(headers or {})}
        for key, text in said.items():
            if text:
                self.send_header(key, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: self.cut_after])
        if self.cut_after is not None or said["Content-Length"] != str(len(data)):
            self.close_connection = True

    def answer_from(self, held: bytes, headers: dict[str, str]) -> None:
        """The file, or what of it was asked for with ``Range: bytes=FIRST-``."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(asked[1]) if asked else 0
        if asked and first >= len(held):
            self.answer(416, b"")
            return
        place = {"Content-Range": f"bytes {first}-{len(held) - 1}/{len(held)}"} if asked else {}
        self.answer(206 if asked else 200, held[first:], {**headers, **place, "Accept-Ranges": "bytes"})

    def route(self) -> None:
        for pattern, method in ROUTES:
            if found := re.fullmatch(pattern, f"{self.command} {self.place}"):
                getattr(self, method)(*found.groups())
                return
        raise Refusal(404, f"no endpoint {self.place}")

    # --- who may do what ---

    @property
    def token(self) -> str:
        return str(self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def require_token(self) -> None:
        if self.token not in OWNERS:
            raise Refusal(401, "Invalid credentials in Authorization header" if self.token else "Invalid username or password.")

    def require_write(self, name: str) -> None:
        self.require_token()
        if name.split("/")[0] not in OWNERS[self.token]:
            raise Refusal(403, f'You don\'t have the rights to write under the namespace "{name.split("/")[0]}"')

    def find(self, name: str) -> Repository:
        found = self.state.repositories.get(name)
        hidden = found and found.private and name.split("/")[0] not in OWNERS.get(self.token, ())
        if found is None or hidden:
            raise Refusal(404 if self.token in OWNERS else 401, "Repository not found", "RepoNotFound")
        return found

    def find_commit(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        found = self.find(name).find(revision)
        if found is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found

    # --- endpoints ---

    def whoami(self) -> None:
        self.require_token()
        self.answer(200, {"name": OWNERS[self.token][0], "type": "user", "orgs": [{"name": name} for name in OWNERS[self.token][1:]]})

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or OWNERS.get(self.token, ('',))[0]}/{asked['name']}"
        self.require_write(name)
        if not NAME.fullmatch(name):
            raise Refusal(400, f"Invalid repository name {name}")
        url = f"{self.state.url}/{name}"
        if name in self.state.repositories:
            raise Refusal(409, "You already created this model repo", url=url)
        made = Repository(asked.get("type") or "model", asked.get("visibility") == "private")
        made.add({".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"})
        self.state.repositories[name] = made
        self.answer(200, {"url": url, "name": name})

    def validate(self) -> None:
        errors = find_faults(json.loads(self.body)["content"])
        self.answer(400 if errors else 200, {"errors": [{"message": text} for text in errors], "warnings": []})

    def preupload(self, _: str, name: str, revision: str) -> None:
        self.require_token()
        _, files = self.find_commit(name, revision)
        answers = []
        for asked in json.loads(self.body)["files"]:
            held = files.get(asked["path"])
            large = asked["path"].endswith(".safetensors")
            oid = None if held is None else hashlib.sha256(held).hexdigest() if large else git_hash(held)
            answers.append({"path": asked["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
        self.answer(200, {"files": answers})

    def batch(self, _: str | None, name: str) -> None:
        self.require_token()
        self.find(name)
        found = []
        for one in json.loads(self.body)["objects"]:
            upload = {"actions": {"upload": {"href": f"{self.state.url}/storage/{one['oid']}"}}}
            found.append({**one, **({} if one["oid"] in self.state.large else upload)})
        self.answer(200, {"objects": found, "transfer": "basic"})

    def store(self, oid: str) -> None:
        if self.token:
            raise Refusal(400, "storage takes no token: only one authentication mechanism allowed")
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refusal(400, "the content does not have this sha256")
        self.state.sent.append(self.body)
        self.state.large[oid] = self.body
        self.answer(200, b"")

    def commit(self, _: str, name: str, revision: str) -> None:
        request = self.query.get("create_pr") == ["1"]
        self.require_token()
        owned = not request and self.find(name).titles.get(revision, ("",))[0] == OWNERS[self.token][0]
        if not request and not owned:
            self.require_write(name)
        self.state.sent.append(self.body)
        repository, (tip, files) = self.find(name), self.find_commit(name, revision)
        changed = dict(files)
        for entry in (json.loads(line) for line in self.body.splitlines()):
            value = entry["value"]
            if entry["key"] == "header" and value.get("parentCommit") not in (None, tip):
                raise Refusal(412, "A commit has happened since. Please refresh and try again.")
            if entry["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                if value["oid"] not in self.state.large:
                    raise Refusal(400, f"lfs object {value['oid']} was not uploaded")
                changed[value["path"]] = self.state.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                changed.pop(value["path"])
        if faults := find_faults(changed.get("README.md", b"---\n{}\n---\n").decode()):
            raise Refusal(400, "; ".join(faults))
        reference = f"refs/pr/{len(repository.requests) + 1}" if request else revision if revision.startswith("refs/pr/") else None
        if request and reference:
            header = json.loads(self.body.splitlines()[0])["value"]
            repository.titles[reference] = OWNERS[self.token][0], header["summary"]
        oid, url = repository.add(changed, reference), f"{self.state.url}/{name}"
        number = reference and reference.rpartition("/")[2]
        self.answer(200, {"commitOid": oid, "commitUrl": f"{url}/commit/{oid}", "pullRequestUrl": number and f"{url}/discussions/{number}"})

    def info(self, kind: str, name: str, revision: str | None = None) -> None:
        repository, (oid, files) = self.find(name), self.find_commit(name, revision or "main")
        siblings = [{"rfilename": path} for path in files]
        self.answer(200, {"id": name, "_id": "0" * 24, "sha": oid, "private": repository.private, "siblings": siblings, "tags": []})

    def discussions(self, kind: str, name: str) -> None:
        wanted = {key: self.query[key][0] for key in ("author", "type", "status") if key in self.query}
        found = []
        for reference, (author, title) in self.find(name).titles.items():
            status = "closed" if reference in self.find(name).closed else "open"
            if wanted.get("author", author) == author and wanted.get("status", status) == status:
                about = {"title": title, "num": int(reference.rpartition("/")[2]), "author": {"name": author}, "status": status}
                found.append(
                    {**about, "createdAt": "2026-01-01T00:00:00.000Z", "isPullRequest": True, "repo": {"name": name, "type": kind[:-1]}}
                )
        self.answer(200, {"discussions": found, "count": len(found), "start": 0})

    def tree(self, _: str, name: str, revision: str) -> None:
        self.answer(200, [describe(path, content) for path, content in self.find_commit(name, revision)[1].items()])

    def resolve(self, _: str | None, name: str, revision: str, path: str) -> None:
        oid, files = self.find_commit(name, revision)
        if path not in files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        held = files[path]
        tag = hashlib.sha256(held).hexdigest() if path.endswith(".safetensors") else git_hash(held)
        if self.find(name).gated:
            raise Refusal(403, f"Access to dataset {name} is restricted", "GatedRepo")
        self.answer_from(held, {"ETag": f'"{tag}"', "X-Repo-Commit": oid})

    def mirror(self, path: str) -> None:
        if path not in self.state.mirrored:
            raise Refusal(404, "Not Found")
        self.answer_from(self.state.mirrored[path], {})

    def greet(self) -> None:
        self.answer(200, b"")

    def create_collection(self) -> None:
        asked = json.loads(self.body)
        self.require_write(f"{asked['namespace']}/x")
        if len(asked["title"]) > 59:
            raise Refusal(400, "title must be at most 59 characters")
        slug = f"{asked['namespace']}/{re.sub(r'[^a-z0-9]+', '-', asked['title'].lower())}-{'0' * 24}"
        if slug in self.state.collections:
            raise Refusal(409, "Collection already exists", slug=slug)
        made = {"slug": slug, "title": asked["title"], "private": asked["private"], "description": asked.get("description"), "items": []}
        more = {"lastUpdated": "2026-01-01T00:00:00.000Z", "position": 0, "theme": "blue", "upvotes": 0}
        self.state.collections[slug] = {**made, **more, "owner": {"name": asked["namespace"]}}
        self.answer(200, self.state.collections[slug])

    def get_collection(self, slug: str) -> None:
        if slug not in self.state.collections:
            raise Refusal(404, "Collection not found")
        self.answer(200, self.state.collections[slug])

    def add_item(self, slug: str) -> None:
        self.require_write(slug)
        item, items = json.loads(self.body)["item"], self.state.collections[slug]["items"]
        self.find(item["id"])
        if item["id"] in [one["id"] for one in items]:
            raise Refusal(409, "Item already in collection")
        items.append({"_id": f"{len(items):024}", "id": item["id"], "type": item["type"], "position": len(items)})
        self.answer(200, self.state.collections[slug])


KIND, REPO = r"(models|datasets|spaces)", r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (r"GET /api/whoami-v2", "whoami"),
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "validate"),
    (rf"POST /api/{KIND}/{REPO}/preupload/(.+)", "preupload"),
    (rf"POST /(spaces/|datasets/)?{REPO}\.git/info/lfs/objects/batch", "batch"),
    (r"PUT /storage/(\w{64})", "store"),
    (rf"POST /api/{KIND}/{REPO}/commit/(.+)", "commit"),
    (rf"GET /api/{KIND}/{REPO}/discussions", "discussions"),
    (rf"GET /api/{KIND}/{REPO}/tree/(.+)", "tree"),
    (rf"GET /api/{KIND}/{REPO}/revision/(.+)", "info"),
    (rf"GET /api/{KIND}/{REPO}", "info"),
    (rf"(?:GET|HEAD) /(spaces/|datasets/)?{REPO}/resolve/(refs/pr/\d+|[^/]+)/(.+)", "resolve"),
    (r"POST /api/collections", "create_collection"),
    (rf"GET /api/collections/{REPO}", "get_collection"),
    (rf"POST /api/collections/{REPO}/items", "add_item"),
    (r"(?:GET|HEAD) (?:/behind/a/path)?/((?:raw\.githubusercontent|dl\.fbaipublicfiles)\.com/.+)", "mirror"),
    (r"HEAD /", "greet"),
)


@contextmanager
def serve() -> Iterator[State]:
    """A hub that listens while the context is open."""
    state = State()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
