"""What is taken for a secret, what is not, and that none is shown."""

import logging

import pytest

from xlift.harness.core import secrets, variables
from xlift.harness.core.errors import UserError
from xlift.harness.core.logs import show_progress

SECRET = "s3cr3t-value-42"


@pytest.mark.parametrize(
    "text",
    [
        f"https://user:{SECRET}@host/v1",
        f"https://{SECRET}@host/v1",
        f"https://host/v1?api-key={SECRET}",
        f"https://host/v1?api-version=3&subscription-key={SECRET}",
        f"lm:openai-chat-completions,model=gpt-4o,api_key={SECRET}",
        f"tool --key {SECRET} --to es",
        f"tool --api-key={SECRET}",
        f"API_TOKEN={SECRET} tool",
        f"curl -H 'Authorization: Bearer {SECRET}' host",
        f"curl -H 'X-Api-Key: {SECRET}' host",
        "tool sk-abcdefghijklmnopqrstuvwxyz",
    ],
)
def test_a_literal_secret_is_found_and_hidden(text: str) -> None:
    assert secrets.find_literal(text)
    assert SECRET not in secrets.redact(text)
    assert SECRET not in str(UserError(text))
    assert secrets.redact(secrets.redact(text)) == secrets.redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://localhost:8000/v1",
        "https://host/v1?api-version=2026-01-01",
        "https://user:${PASSWORD}@host/v1?api-key=${KEY}",
        "lm:hf,pretrained=org/name,add_bos_token=True,max_tokens=12,tokenizer=org/other",
        "lm:openai-chat-completions,model=gpt-4o,api_key=${OPENAI_KEY}",
        "apertium -u eng-spa | sed s/a/b/ | sort --key 2",
        "tool --key ${MY_KEY}",
        "engine:me@host",
        "the server refuses the key: OPENAI_API_KEY is not set; write --set KEY=VALUE",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert secrets.find_literal(text) is None
    assert secrets.redact(text) == text


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "OPENAI_KEY", "HF_TOKEN", "PGPASSWORD", "MYSQL_PWD", "GOOGLE_CREDENTIALS"])
def test_values_of_variables_that_look_secret_are_found_and_hidden(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, 'ab"cd/efgh')
    assert secrets.find_variable(b'say ab"cd/efgh') == name
    assert secrets.find_variable(rb'{"a": "ab\"cd/efgh"}') == name
    assert secrets.redact('refused: ab"cd/efgh.') == f"refused: ${{{name}}}."


def test_other_variables_are_looked_for_only_where_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PWD", "KEYBOARD", "TOKENIZERS_PARALLELISM", "MY_LLM"):
        monkeypatch.setenv(name, "some-longer-value")
    assert secrets.find_variable(b"some-longer-value") is None
    assert secrets.find_variable(b"some-longer-value", ["MY_LLM"]) == "MY_LLM"


def test_the_variables_that_a_suite_names() -> None:
    suite = {"engine": {"key_variable": "A"}, "judge": {"judge": "lm:x,api_key=${B}"}, "list": [{"url": "https://${C}@host"}], "n": 1}
    assert secrets.name_variables(suite) == {"A", "B", "C"}


def test_references_are_replaced_by_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_WORD", "a/b@c d-e")
    assert variables.expand("tool --key ${MY_WORD}", "translator") == "tool --key a/b@c d-e"
    assert variables.expand_address("https://u:${MY_WORD}@host", "url") == "https://u:a%2Fb%40c%20d-e@host"
    with pytest.raises(UserError, match=r"^url: the environment variable NO_SUCH is not set; set it, or take \$\{NO_SUCH\} out$"):
        variables.expand("${NO_SUCH}", "url")


def test_a_key_that_was_read_is_not_shown_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XLIFT_TEST_LLM", "hunter2-hunter2")
    assert variables.read_key("XLIFT_TEST_LLM") == "hunter2-hunter2"
    assert str(UserError("Incorrect API key: hunter2-hunter2")) == "Incorrect API key: ${XLIFT_TEST_LLM}"
    show_progress()
    logging.getLogger("xlift").warning("the server says %s", "hunter2-hunter2")
    shown = capsys.readouterr().err
    assert "the server says ${XLIFT_TEST_LLM}" in shown and "hunter2" not in shown
