"""An OpenAI-compatible judge on the loopback, and a proxy before it that does to requests what networks and servers do."""

import contextlib
import json
import math
import re
import socket
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MALFORMED: dict[str, Any] = {
    "no list": {"content": None},
    "not numbers": {"content": [{"token": "m", "top_logprobs": [{"token": "m", "logprob": "x"}]}]},
    "null": None,
    "a list": [1, 2],
    "empty": {"content": []},
}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None: ...

    def take(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def reply(self, status: int, data: bytes, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("retry-after-ms", "1")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def drip(self) -> None:
        """A byte now and then, without an end."""
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                self.wfile.write(b" ")
                self.wfile.flush()
                threading.Event().wait(0.1)
        self.close_connection = True


class JudgeServer(Server):
    """Prefers the answer with more ``z``; by log-probabilities, m and M have shares of (z of the first + 1) to (z of the second + 1).

    A prompt counts one token each ten characters, a reply one token.
    """

    def __init__(self) -> None:
        super().__init__(JudgeHandler)
        self.model = "judge-1"
        self.logprobs: Callable[[int, int], Any] = logprobs_of
        self.verdict: Callable[[int, int], Any] = verdict_of
        self.seen: list[dict[str, Any]] = []
        self.finish_reason = "stop"
        self.refuses_max_tokens = False
        self.total_tokens: Any = ...
        """What it says it used; the truth where not set."""


def logprobs_of(first: int, second: int) -> Any:
    total = first + second + 2
    tops = [("m", math.log((first + 1) / total)), ("M", math.log((second + 1) / total))]
    listed = [{"token": token, "logprob": value, "bytes": None} for token, value in tops]
    return {"content": [{**listed[0], "top_logprobs": listed}], "refusal": None}


def verdict_of(first: int, second: int) -> str:
    letter = "C" if first == second else "A" if first > second else "B"
    return f"A has {first} z, B has {second}.\n[[{letter}]]"


class JudgeHandler(Handler):
    server: JudgeServer

    def do_POST(self) -> None:
        body = json.loads(self.take())
        self.server.seen.append(body)
        if self.server.refuses_max_tokens and "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
            return self.reply(400, json.dumps({"error": {"message": said, "param": "max_tokens"}}).encode())
        prompt = body["messages"][-1]["content"]
        first, second = (answer.count("z") for answer in re.findall(r"<answer.*?>\n(.*?)\n</answer", prompt, re.DOTALL))
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.server.finish_reason, "logprobs": None}
        text = ("m" if first >= second else "M") if body.get("logprobs") else self.server.verdict(first, second)
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("logprobs"):
            choice["logprobs"] = self.server.logprobs(first, second)
        usage = {"prompt_tokens": len(prompt) // 10, "completion_tokens": 1, "total_tokens": len(prompt) // 10 + 1}
        usage |= {} if self.server.total_tokens is ... else {"total_tokens": self.server.total_tokens}
        said = {"id": "1", "object": "chat.completion", "created": 0, "model": self.server.model, "choices": [choice], "usage": usage}
        return self.reply(200, json.dumps(said).encode())


class FaultProxy(Server):
    """Hands requests on to ``upstream``, each with the next of ``faults`` ("" is none)."""

    def __init__(self, upstream: str) -> None:
        super().__init__(ProxyHandler)
        self.upstream = upstream
        self.faults: Iterator[str] = iter(())
        self.tally: Counter[str] = Counter()
        self.lock = threading.Lock()


class ProxyHandler(Handler):
    server: FaultProxy

    def do_POST(self) -> None:
        body = self.take()
        with self.server.lock:
            fault = next(self.server.faults, "")
            self.server.tally[fault] += 1
        if fault.isdigit():
            return self.reply(int(fault), json.dumps({"error": {"message": f"fault {fault}"}}).encode())
        if fault == "garbage":
            return self.reply(200, b'{"id": "1", "choices": [{')
        if fault == "deep":
            return self.reply(200, b'{"id": ' + b"[" * 200_000 + b"]" * 200_000 + b"}")
        if fault == "large":
            return self.reply(200, b'{"id": "' + b"x" * 3 * 2**20 + b'"}')
        if fault == "drip":
            return self.drip()
        if fault == "slow":
            threading.Event().wait(1.0)
        request = urllib.request.Request(self.server.upstream + self.path.removeprefix("/v1"), body, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                said = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return self.reply(error.code, error.read())
        if fault in MALFORMED:
            said["choices"][0]["logprobs"] = MALFORMED[fault]
        said |= {"choices": []} if fault == "no choices" else {"model": "judge-2"} if fault == "renamed" else {}
        return self.reply(200, json.dumps(said).encode(), cut=fault == "cut")


@contextmanager
def serve(server: Server) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()
