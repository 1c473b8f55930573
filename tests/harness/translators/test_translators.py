"""Translators: what is asked, what is read back, and one line for each thing that can go wrong."""

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refusal

from xlift.harness.config.suite import EngineSettings, TranslatorSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.types import Answer, Chat, Sampling
from xlift.harness.engines import openai_api
from xlift.harness.models.bases import Base
from xlift.harness.translators.base import Translator, has_letter, split_lines
from xlift.harness.translators.load import identify_translator, open_translator
from xlift.harness.translators.model import parse_translation

PAIRS = [("The bird sings.", "El pájaro canta."), ("The bird sings.", "Canta el ave."), (" Good night. ", "Buenas noches.")]


class Context:
    """A model that answers in its own way, and a parallel corpus in Spanish alone."""

    def __init__(self, answer: Callable[[str], str] = str.upper) -> None:
        self.answer = answer
        self.chats: list[Chat] = []
        self.sampling = Sampling()

    def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        self.chats += chats
        self.sampling = sampling
        return [Answer(self.answer(read_sentence(chat[0]["content"])), 1, True) for chat in chats]

    def read(self, corpus: str, lang: str) -> Sequence[Mapping[str, Any]]:
        if corpus == "alpaca":
            return [{"id": "1", "instruction": "a", "output": "b"}]
        if lang != "es":
            raise UserError(f"corpus {corpus} has no {lang!r}")
        return [{"id": str(number), "en": one, "text": other} for number, (one, other) in enumerate(PAIRS)]


def read_sentence(request: str) -> str:
    found = re.search(r"\n<sentence>\n(.*)\n</sentence>", request, re.DOTALL)
    assert found
    return found[1]


def closed(text: str) -> str:
    return f"{text.upper()}\n</translated>"


def make(ctx: Context | None = None, **options: Any) -> Translator:
    return open_translator(TranslatorSettings(**options), ctx or Context())


def run_command(command: str, texts: Sequence[str]) -> list[str | None]:
    return make(kind="command", command=command).translate(texts, "en", "es")


def mark(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return f"{indent}x{line.strip()}" if has_letter(line) else line


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Hola\n</translated>", "Hola"),
        ("<translated>\nHola\n</translated> I hope it helps", "Hola"),
        ("Sure:\n<translated>\nuno\n\ndos\n</translated>\n<translated>tres</translated>", "uno\n\ndos"),
        ("Hola", None),
        ("<translated>\nHola", None),
        (" \n</translated>", None),
        ("", None),
    ],
)
def test_an_answer_is_read_up_to_the_first_closing_tag(answer: str, expected: str | None) -> None:
    assert parse_translation(answer) == expected


@given(st.text(), st.text())
def test_whatever_stands_before_the_tag_is_the_translation(text: str, rest: str) -> None:
    if "translated>" not in text:
        assert parse_translation(f"{text}</translated>{rest}") == (text.strip() or None)


def test_the_model_is_asked_with_tags_and_a_beginning() -> None:
    ctx = Context(closed)
    found = make(ctx, max_tokens=77).translate(["one {x}\ntwo", "", "three", " \n", "one {x}\ntwo"], "en", "es")
    assert found == ["ONE {X}\nTWO", None, "THREE", None, "ONE {X}\nTWO"]
    assert len(ctx.chats) == 2, "blank texts are not asked for, and equal ones only once"
    user, assistant = ctx.chats[0]
    assert user["role"] == "user" and "into Spanish" in user["content"] and "<translated>" in user["content"]
    assert assistant == {"role": "assistant", "content": "<translated>\n"}
    assert ctx.sampling == Sampling(max_tokens=77)


def test_an_answer_that_is_cut_off_or_ambiguous_gives_none() -> None:
    ctx = Context(lambda text: text if "long" in text else closed(text))
    assert make(ctx).translate(["a long one", "short", "what does </translated> mean?"], "en", "de") == [None, "SHORT", None]


@pytest.mark.slow
def test_a_real_engine_goes_on_from_the_tag(smollm: Base) -> None:
    from xlift.harness.engines.load import load_engine

    class Real(Context):
        def generate(self, chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
            return engine.generate(chats, sampling)

    with load_engine(smollm, EngineSettings(backend="hf")) as engine:
        found = make(Real(), max_tokens=40).translate(["The house is red.", "", "Good morning, my friend."], "en", "es")
    assert found[1] is None and all(found[index] for index in (0, 2))
    assert "translated>" not in f"{found}"


def test_silence_is_an_error() -> None:
    silent = make(Context(lambda text: "no tags here"))
    assert silent.translate([f"text {number}" for number in range(19)] + [""], "en", "es") == [None] * 20
    said = refusal(lambda: silent.translate([f"text {number}" for number in range(20)], "en", "es"))
    assert said == "translator self: not one of 20 texts came back translated from 'en' into 'es'"
    one = make(Context(lambda text: closed(text) if text == "text 7" else ""))
    assert sum(found is not None for found in one.translate([f"text {number}" for number in range(20)], "en", "es")) == 1
    assert make().translate([""] * 30, "en", "es") == [None] * 30
    assert make().translate([], "en", "es") == []


def test_pairs_that_are_none() -> None:
    assert "'es' into itself" in refusal(lambda: make().check("es", "spa_Latn"))
    assert "unknown language 'xx'" in refusal(lambda: make().check("en", "xx"))


def test_options_must_fit_the_kind() -> None:
    assert refusal(lambda: make(kind="seq2seq")) == "translator seq2seq: give model too"
    assert refusal(lambda: make(kind="api")) == "translator api: give model and url too"
    assert refusal(lambda: make(kind="command")) == "translator command: give command too"
    said = refusal(lambda: make(command="apertium -u eng-spa"))
    assert said == "translator self: command is an option of kind command; name the kind, or take it out"
    assert "max_tokens is an option of kind self or seq2seq or api" in refusal(lambda: make(kind="command", command="cat", max_tokens=9))


def test_the_table_goes_both_ways() -> None:
    table = make(kind="table")
    texts = ["The bird sings.", "Good night.", "the bird sings.", ""]
    assert table.translate(texts, "en", "es") == ["El pájaro canta.", "Buenas noches.", None, None]
    assert table.translate(["Canta el ave.\n", "Buenas noches."], "es", "en") == ["The bird sings.", "Good night."]
    assert table.describe() == {"kind": "table", "corpus": "parallel"}


def test_a_table_that_lacks_the_pair() -> None:
    assert "has no 'de'" in refusal(lambda: make(kind="table").check("de", "en"))
    assert "pairs with English alone" in refusal(lambda: make(kind="table").check("es", "de"))
    said = refusal(lambda: make(kind="table", corpus="alpaca").check("en", "es"))
    assert said == "translator table alpaca: no corpus of pairs with English; its columns are id, instruction, output"


def test_a_command_turns_lines_into_lines() -> None:
    texts = ["one two", "", "first\n\n  - second\r\n42 + 1\u2028last", "7 = 7"]
    assert run_command("tr a-z A-Z", texts) == ["ONE TWO", None, "FIRST\n\n  - SECOND\n42 + 1\nLAST", "7 = 7"]


def test_a_command_takes_secrets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_WORD", "hunter 2")
    assert run_command("sed 's/key/${MY_WORD}/'", ["a key"]) == ["a hunter 2"]
    assert make(kind="command", command="sed 's/key/${MY_WORD}/'").describe()["command"] == "sed 's/key/${MY_WORD}/'"
    assert "MY_OTHER is not set" in refusal(lambda: make(kind="command", command="cat ${MY_OTHER}").check("en", "es"))


def test_commands_are_joined_by_pipes_without_a_shell() -> None:
    assert run_command("tr a-z A-Z | sed 's/O|0/<&>/'", ["o|0 $HOME *"]) == ["<O|0> $HOME *"]
    assert run_command(r'sed "s/a/\"/" | cat|cat', ["a b"]) == ['" b']


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("tr a-z A-Z; true", "';' is for a shell"),
        ("cat < /dev/null", "'<' is for a shell"),
        ("cat $(echo x)", "'$(' is for a shell"),
        ("cat |", "a program is missing"),
        ("| cat", "a program is missing"),
        ("cat || cat", "a program is missing"),
        ("sed 's/a/b/", "No closing quotation"),
        ("no-such-program -u", "there is no program 'no-such-program'; install it"),
        ("cat | no-such-program", "there is no program 'no-such-program'; install it"),
        ("head -n 3", "got 4 lines (each second one blank) and wrote 3"),
        ("sed G", "got 4 lines (each second one blank) and wrote 8"),
        ("true", "got 4 lines (each second one blank) and wrote 1"),
        ("sh -c 'cat; echo went wrong >&2; exit 3'", "sh ended with status 3: went wrong"),
        ("sh -c 'cat; exit 4' | cat", "sh ended with status 4"),
        ("cat | false", "false ended with status 1"),
        ("sed 's/./\\xff/'", "is not UTF-8"),
    ],
)
def test_commands_that_fail(command: str, said: str) -> None:
    found = refusal(lambda: run_command(command, ["one line", "another line"]))
    assert said in found and found.startswith(f"translator command {command!r}: ")


def test_a_missing_program_is_found_before_any_work() -> None:
    assert "no program 'gone'" in refusal(lambda: make(kind="command", command="cat | gone x").check("en", "es"))


def test_text_that_comes_back_unchanged_is_no_translation() -> None:
    texts = ["the same four words", "New York City", "1 2 3 4 5", "犬が庭で走っています。そして猫は家で静かに寝ています。", "東京都"]
    assert run_command("cat", texts) == [None, "New York City", "1 2 3 4 5", None, "東京都"]
    assert run_command("sed 's/THE/the/'", ["THE same four  words"]) == [None]


def test_a_line_that_is_lost_takes_its_text_along() -> None:
    assert run_command("sed 's/.*lost.*//; s/good/gut/'", ["good\nlost", "good"]) == [None, "gut"]


def test_more_text_than_a_pipe_holds() -> None:
    texts = [f"line {number} " + "x" * 200 for number in range(5000)]
    assert run_command("tr a-z A-Z | cat", texts) == [text.upper() for text in texts]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=30), max_size=12))
def test_any_text_comes_back_in_its_place(texts: list[str]) -> None:
    expected = ["\n".join(map(mark, split_lines(text))) for text in texts]
    assert run_command("sed s/^/x/", texts) == [new if text.strip() else None for text, new in zip(texts, expected, strict=True)]


def test_half_of_a_surrogate_pair_is_no_crash() -> None:
    assert run_command("tr a-z A-Z", ["bad \ud83d end"]) == ["BAD ? END"]


def test_a_command_is_described_without_places(tmp_path: Path) -> None:
    program = tmp_path / "translate.sh"
    program.write_text("cat")
    described = make(kind="command", command=f"sh {program} --data={tmp_path} /no/such/place | sed '/^$/d;s/a/b/'").describe()
    assert described["command"] == f"sh translate.sh --data={tmp_path.name} .../place | sed '/^$/d;s/a/b/'"
    # sha256 of "cat"
    assert "translate.sh 77af778b51abd4a3" in str(described["files"]) and "sed " in str(described["files"])


def test_a_changed_program_makes_new_rows(tmp_path: Path) -> None:
    program = tmp_path / "translate.sh"
    program.write_text("cat")
    settings = TranslatorSettings(kind="command", command=f"sh {program}")
    before = identify_translator(settings)
    assert identify_translator(settings) == before and before["files"]["translate.sh"].startswith("77af778b")
    program.write_text("tac")
    assert identify_translator(settings) != before
    assert identify_translator(TranslatorSettings(kind="command", command="no-such-program"))["files"] == {}
    assert "files" not in identify_translator(TranslatorSettings())


@pytest.mark.skipif(not shutil.which("apertium"), reason="needs Debian's apertium-eng-spa")
def test_a_real_rule_based_system() -> None:
    texts = [
        "The house is big.",
        "The white dog drinks cold water",
        "The president opened the session.\n\n1. We thank the members\n2. The vote will take place tomorrow.",
        "",
        "Where is the library? [see page 7] ^$/\\ <b>bold</b> {x} @me",
    ]
    house, dog, session, blank, marked = run_command("apertium -u eng-spa", texts)
    assert house == "La casa es grande." and blank is None
    assert dog == "El perro blanco bebe agua fría", "nothing of the next line gets into it"
    assert session and [line[:2] for line in session.split("\n")] == ["El", "", "1.", "2."]
    assert marked and "biblioteca" in marked and "[" in marked and "<b>" in marked
    assert run_command("apertium -u spa-eng", ["La casa es grande."]) == ["The house is big."]
    assert "Mode eng-xxx does not exist" in refusal(lambda: run_command("apertium -u eng-xxx", ["The house is big."]))


class Server(ThreadingHTTPServer):
    """Says each sentence in capitals between tags, to those who know the key."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.seen.append(body)
        known = self.headers["authorization"] == "Bearer right"
        text = f"Here you are: <translated>\n{closed(read_sentence(body['messages'][-1]['content']))}"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        reply = (
            {"id": "1", "object": "x", "created": 0, "model": body["model"], "choices": [choice]} if known else {"error": {"message": "no"}}
        )
        data = json.dumps(reply).encode()
        self.send_response(200 if known else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SOME_KEY", "right")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_served_model_translates(server: Server) -> None:
    api = make(kind="api", model="some/model", url=server.url, key_variable="SOME_KEY", concurrency=4, max_tokens=99)
    assert api.translate([f"text {number}" for number in range(30)], "en", "de") == [f"TEXT {number}" for number in range(30)]
    assert {body["model"] for body in server.seen} == {"some/model"} and server.seen[0]["max_tokens"] == 99
    assert [message["role"] for message in server.seen[0]["messages"]] == ["user"]
    assert "into German" in server.seen[0]["messages"][0]["content"]
    assert api.describe().keys() == {"kind", "model", "prompt_sha256", "max_tokens"}, "neither address nor key"


def test_a_server_that_refuses_or_is_not_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "wrong")
    said = refusal(lambda: make(kind="api", model="m", url=server.url, key_variable="SOME_KEY").translate(["a"], "en", "de"))
    assert said.endswith("refuses the key: SOME_KEY is wrong; set it, or another variable as key_variable")
    monkeypatch.setattr(openai_api, "RETRIES", 0)
    said = refusal(lambda: make(kind="api", model="m", url="http://127.0.0.1:9/v1").translate(["a"], "en", "de"))
    assert said.startswith("translator api m: the server at http://127.0.0.1:9/v1 cannot be reached")
