"""The api backend against a small server on the loopback: answers, order, retries, and one line for each thing that can go wrong."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from refusals import refusal

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.types import Sampling, ask
from xlift.harness.engines import openai_api
from xlift.harness.engines.base import Engine
from xlift.harness.engines.load import load_engine
from xlift.harness.models.adapters import resolve as resolve_adapter
from xlift.harness.models.bases import Base, resolve


class Server(ThreadingHTTPServer):
    """Answers each chat with its last turn in capitals, as the model asked for; wants the key ``right``; fails ``failures`` times."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures = 0
        self.thought: str | None = None
        """What it hands over beside an answer, as servers do that part thinking from answers."""
        self.seen: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.keys: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None: ...

    def reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("retry-after-ms", "1")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        names = ["some/model", "adapter-de"]
        self.reply(200, {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "x"} for name in names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(self.path)
        self.server.keys.append(str(self.headers["authorization"]))
        if self.headers["authorization"] not in ("Bearer right", "Basic bWU6cEBzcy93b3Jk"):
            return self.reply(400 if "echo" in self.server.keys[-1] else 401, {"error": {"message": f"wrong key {self.server.keys[-1]}"}})
        if self.server.failures:
            self.server.failures -= 1
            return self.reply(500, {"error": {"message": "try again"}})
        self.server.seen.append(body)
        if body["model"] not in ("some/model", "adapter-de"):
            return self.reply(404, {"error": {"message": "no such model"}})
        said = (body["messages"][-1]["content"] if "messages" in body else body["prompt"]).upper()
        whole = len(said) <= body["max_tokens"]
        choice = {"index": 0, "finish_reason": "stop" if whole else "length"}
        text = said[: body["max_tokens"]]
        choice |= (
            {"message": {"role": "assistant", "content": text, "reasoning": self.server.thought}} if "messages" in body else {"text": text}
        )
        usage = {"prompt_tokens": len(said), "completion_tokens": len(text), "total_tokens": len(said) + len(text)}
        return self.reply(200, {"id": "1", "object": "x", "created": 0, "model": body["model"], "choices": [choice], "usage": usage})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "right")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def connect(url: str, model: str = "api:some/model", **settings: Any) -> Engine:
    chosen = EngineSettings(backend="api", url=url, **settings)
    return load_engine(resolve(BaseSettings(model=model), chosen), chosen)


def test_answers_come_in_order(server: Server) -> None:
    with connect(server.url, concurrency=8) as running:
        found = running.generate([ask(f"word {number}", system="be loud") for number in range(40)], Sampling(max_tokens=6))
        assert [answer.text for answer in found] == ["WORD 0", *[f"WORD {number}"[:6] for number in range(1, 40)]]
        assert [answer.finished for answer in found] == [number < 10 for number in range(40)]
        assert running.usage["requests"] == 40 and running.usage["generated_tokens"] == 240
    assert all(body["messages"][0] == {"role": "system", "content": "be loud"} for body in server.seen)


def test_the_sampling_travels(server: Server) -> None:
    with connect(server.url) as running:
        running.generate([ask("a")] * 2, Sampling(max_tokens=9, temperature=0.5, top_p=0.8, repetition_penalty=1.1, stop=("x",), seed=1))
    first, second = server.seen
    expected = {"max_tokens": 9, "temperature": 0.5, "top_p": 0.8, "repetition_penalty": 1.1, "stop": ["x"]}
    assert first | expected == first
    assert first["seed"] != second["seed"]


def test_a_mode_of_thinking_travels(server: Server) -> None:
    with connect(server.url, thinking="off") as running:
        running.complete([running.render(ask("hi")), "plain text"], [Sampling()] * 2)
        assert running.describe()["thinking"] == "off"
    chat, plain = sorted(server.seen, key=lambda body: "prompt" in body)
    assert chat["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}
    assert "chat_template_kwargs" not in plain, "no template is rendered for it"


def test_by_default_the_server_decides_about_thinking(server: Server) -> None:
    with connect(server.url) as running:
        running.generate([ask("hi")], Sampling())
    assert "chat_template_kwargs" not in server.seen[0]


def test_a_servers_model_has_room_for_thinking(server: Server) -> None:
    """The stop string ends the answer here, as thinking may hold it."""
    with connect(server.url, thinking_tokens=100) as running:
        (answer,) = running.generate([ask("<think>a\nb</think>18\nno")], Sampling(max_tokens=8, stop=("\n",)))
    assert (answer.text, answer.finished) == ("<THINK>A\nB</THINK>18", True)
    assert server.seen[0]["max_tokens"] == 108 and "stop" not in server.seen[0]
    # 18 of 23 characters, and a token for each
    assert answer.tokens == 23 and answer.thinking_tokens == 18


def test_thinking_that_a_server_parted_from_the_answer_is_known(server: Server) -> None:
    server.thought = "Hm."
    with connect(server.url) as running:
        (answer,) = running.generate([ask("hi")], Sampling())
        assert answer.text == "<think>Hm.</think>\n\nHI" and answer.thinking_tokens == 2  # of 2, by 18 of 22 characters
        (cut,) = running.generate([ask("")], Sampling())
        assert cut.text == "<think>Hm."


def test_a_failing_server_is_asked_again(server: Server) -> None:
    server.failures = 2
    with connect(server.url, concurrency=1) as running:
        assert running.generate([ask("hi")], Sampling())[0].text == "HI"


def test_a_server_that_keeps_failing(server: Server) -> None:
    server.failures = 10_000
    with connect(server.url) as running:
        assert "answers 500 after 5 retries" in refusal(lambda: running.generate([ask("hi")] * 20, Sampling()))


def test_a_wrong_or_missing_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    with connect(server.url) as running:
        assert "OPENAI_API_KEY is wrong" in refusal(lambda: running.generate([ask("hi")], Sampling()))
    monkeypatch.delenv("OPENAI_API_KEY")
    with connect(server.url) as running:
        assert "OPENAI_API_KEY is not set" in refusal(lambda: running.generate([ask("hi")], Sampling()))


def test_a_model_that_the_server_has_not(server: Server) -> None:
    with connect(server.url, model="api:other") as running:
        assert "has no model 'other'" in refusal(lambda: running.generate([ask("hi")], Sampling()))


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_api, "RETRIES", 0)  # each waits longer than the last
    with connect("http://127.0.0.1:9/v1") as running:
        assert "cannot be reached" in refusal(lambda: running.generate([ask("hi")], Sampling()))


def test_a_url_is_needed() -> None:
    assert "engine.url" in refusal(lambda: load_engine(resolve(BaseSettings(model="api:x")), EngineSettings(backend="api")))


def test_a_served_adapter_is_asked_for_by_name(server: Server, tiny: Base, make_adapter: Callable[..., Path], tmp_path: Path) -> None:
    made = make_adapter(tiny)
    named = resolve_adapter(made.rename(tmp_path / "adapter-de"))
    with connect(server.url) as running:
        running.swap(named)
        running.generate([ask("hi")], Sampling())
        running.swap(None)
        running.generate([ask("hi")], Sampling())
        assert [body["model"] for body in server.seen] == ["adapter-de", "some/model"]
        other = resolve_adapter((tmp_path / "adapter-de").rename(tmp_path / "adapter-fr"))
        assert "serves no 'adapter-fr'; did you mean 'adapter-de'?" in refusal(lambda: running.swap(other))


def test_lm_eval_generates_through_the_server(server: Server) -> None:
    from lm_eval.api.instance import Instance

    with connect(server.url) as running:
        lm = running.lm()
        prompt = lm.apply_chat_template([{"role": "user", "content": "grüße\nzwei"}])
        chat = Instance("generate_until", {}, (prompt, {"until": ["\n"], "max_gen_toks": 20}), 0)
        plain = Instance("generate_until", {}, ("[{no turns", {"until": [], "max_gen_toks": 20}), 1)
        assert lm.generate_until([chat, plain]) == ["GRÜSSE", "[{NO TURNS"]
        assert "no log-likelihoods" in refusal(lambda: lm.loglikelihood([]))
    assert "messages" in server.seen[0] or "messages" in server.seen[1]


def test_what_only_the_server_knows_is_said_to_be_so(server: Server) -> None:
    with connect(server.url) as running:
        described = running.describe()
    assert described["backend"] == "api" and described["dtype"] == described["batch_policy"] == "server"


def test_credentials_in_an_address_come_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_WORD", "p@ss/word")
    with connect(server.url.replace("http://", "http://me:${MY_WORD}@") + "?api-key=${MY_WORD}&api-version=3") as running:
        assert [answer.text for answer in running.generate([ask("a")], Sampling(max_tokens=9))] == ["A"]
    assert server.keys == ["Basic bWU6cEBzcy93b3Jk"], "me:p@ss/word in base64"
    assert server.asked == ["/v1/chat/completions?api-key=p%40ss%2Fword&api-version=3"]


def test_a_key_that_the_server_echoes_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LLM", "echo-hunter2")
    with connect(server.url, key_variable="MY_LLM") as running:
        said = refusal(lambda: running.generate([ask("a")], Sampling()))
    assert "wrong key" in said and "hunter2" not in said
