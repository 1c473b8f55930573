"""Templates that write the date: the day becomes part of the template, and nothing else in it changes."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer
from transformers.utils import chat_template_utils

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.core.types import Example, ask
from xlift.harness.engines.load import load_engine
from xlift.harness.evaluation.lm_eval_entry import XliftLM
from xlift.harness.judging.judges import DAY, find_base
from xlift.harness.models import bases
from xlift.harness.models.bases import load_tokenizer, resolve
from xlift.harness.models.dates import freeze
from xlift.harness.training.batching import encode

FRIDAY = datetime.date(2026, 11, 27)
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
OPEN = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
LLAMA = (
    "{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
    "        {%- set date_string = strftime_now('%d %b %Y') %}\n"
    "    {%- else %}\n        {%- set date_string = '26 Jul 2024' %}\n    {%- endif %}\n{%- endif %}\n"
    "{{- '<|im_start|>system\nToday Date: ' + date_string + '<|im_end|>' }}\n"
)
GPT_OSS = (
    "{%- macro system() -%}\n{{- 'Current date: ' + strftime_now('%Y-%m-%d') + '\n' }}\n{%- endmacro -%}\n"
    "{{- '<|im_start|>system\n' + system() + '<|im_end|>' }}\n"
)


class Midnight(datetime.datetime):
    """A clock that goes on by a day whenever it is read: 27 November, then 28 November, and so on."""

    read = 0

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        cls.read += 1
        return datetime.datetime(2026, 11, 26) + datetime.timedelta(days=cls.read)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Midnight]:
    Midnight.read = 0
    monkeypatch.setattr(chat_template_utils, "datetime", Midnight)
    monkeypatch.setattr(bases, "today", lambda: Midnight.now().date())
    return Midnight


@pytest.fixture(scope="module")
def make_dated(make_base: Callable[..., Path]) -> Callable[[str], Path]:
    """The tiny base with another template."""
    folder = make_base(positions=512)

    def make(template: str) -> Path:
        (folder / "chat_template.jinja").write_text(template)
        return folder

    return make


@pytest.mark.parametrize(
    ("head", "written"), [(LLAMA, "Today Date: 27 Nov 2026"), (GPT_OSS, "Current date: 2026-11-27\n")], ids=["llama", "gpt-oss"]
)
def test_every_rendering_after_midnight_writes_the_first_day(
    make_dated: Callable[[str], Path], clock: type[Midnight], head: str, written: str
) -> None:
    folder = make_dated(head + TURNS + OPEN)
    base = resolve(BaseSettings(model=str(folder)))
    assert base.date == FRIDAY and base.facts()["date"] == "2026-11-27"
    tokenizer = load_tokenizer(base)
    first, later = (tokenizer.apply_chat_template(list(ask("hi")), tokenize=False, add_generation_prompt=True) for _ in range(2))
    system = f"<|im_start|>system\n{written}<|im_end|>\n"
    assert first == later == system + "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    (trained,) = encode([Example(ask("hi"), "Yes.", "en", "1", "k")], tokenizer, 512).sequences
    with load_engine(base, EngineSettings(backend="hf", dtype="float32", max_length=512)) as engine:
        assert engine.render(ask("hi")) == engine.lm().apply_chat_template([{"role": "user", "content": "hi"}]) == first
        assert engine.lm().tok_encode(first) == list(trained.tokens[: trained.prompt])
    assert clock.read == 1, "the clock is not read after the day is known"


def test_a_day_that_is_given_is_written_and_counts(make_dated: Callable[[str], Path]) -> None:
    folder = make_dated(LLAMA + TURNS + OPEN)
    one, same, other = (resolve(BaseSettings(model=str(folder), date=day)) for day in (FRIDAY, "2026-11-27", "2024-02-03"))  # type: ignore[arg-type]
    assert one == same and one.chat_template_sha != other.chat_template_sha
    assert "03 Feb 2024" in load_tokenizer(other).apply_chat_template(list(ask("hi")), tokenize=False)


def test_lm_eval_and_a_judge_have_days_of_their_own(make_dated: Callable[[str], Path]) -> None:
    folder = make_dated(LLAMA + TURNS + OPEN)
    lm = XliftLM(base=str(folder), date="2026-11-27", backend="hf", dtype="float32", max_length=512)
    assert "27 Nov 2026" in lm.apply_chat_template([{"role": "user", "content": "hi"}])
    assert find_base(JudgeSettings(judge=f"engine:{folder}")).date == DAY


def test_a_template_may_write_the_date_and_take_thinking(make_dated: Callable[[str], Path]) -> None:
    folder = make_dated(LLAMA + TURNS + OPEN + "{% if enable_thinking is false %}<think>\n\n</think>\n{% endif %}")
    base = resolve(BaseSettings(model=str(folder), date=FRIDAY), EngineSettings(thinking="off"))
    text = load_tokenizer(base).apply_chat_template(list(ask("hi")), tokenize=False, add_generation_prompt=True)
    assert "Today Date: 27 Nov 2026" in text and text.endswith("assistant\n<think>\n\n</think>\n")


def test_a_template_without_a_date_is_as_it_was(make_dated: Callable[[str], Path]) -> None:
    folder = make_dated(TURNS + OPEN)
    base = resolve(BaseSettings(model=str(folder), date=FRIDAY))
    assert base.chat_template == TURNS + OPEN and base.date is None and "date" not in base.facts()
    assert base == resolve(BaseSettings(model=str(folder)))


def test_only_the_clock_changes(make_dated: Callable[[str], Path]) -> None:
    """Blanks and line breaks at a template's beginning are what a block in front of it could move."""
    tokenizer = AutoTokenizer.from_pretrained(make_dated(TURNS))
    for head in ("", "\n", "\n\n  ", "  ", " {% if true %}\n a{% endif %}"):
        template = head + TURNS + "{{ strftime_now(form) }}"
        tokenizer.chat_template = freeze(template, FRIDAY)
        rendered = tokenizer.apply_chat_template(list(ask("hi")), tokenize=False, form="%A, %-d %B %y; %H:%M %j")
        tokenizer.chat_template = template.replace("strftime_now(form)", "form")
        assert rendered == tokenizer.apply_chat_template(list(ask("hi")), tokenize=False, form="Friday, 27 November 26; 00:00 331")
