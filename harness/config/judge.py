"""What a judge is told: the options of ``xlift judge``, which are also the keys of a suite's ``judge`` and the filter's arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import Section, WithoutSecrets
from xlift.tasks.judge import Mode, check_mode

CHOICES = (
    "--judge http://HOST:PORT/v1 --model NAME (an OpenAI-compatible server, such as vLLM's), --judge https://api.openai.com/v1 "
    "--model NAME, --judge engine:MODEL (a local or hub model on xlift's engine), or --judge lm:TYPE,ARGUMENTS (a model of lm-eval's); "
    "a suite's judge block has these options as keys, lm_eval takes them as XLIFT_JUDGE, XLIFT_JUDGE_MODEL and so on"
)


class JudgeSettings(Section):
    """Who judges answers, against whose, and how much it may cost."""

    UNHASHED = frozenset({"concurrency", "requests_per_minute", "limit_tokens", "key_variable", "verdicts"})
    """Keys about speed, cost and places: no verdict depends on them."""

    judge: WithoutSecrets = ""
    """``http...`` up to /v1, ``engine:MODEL`` or ``lm:TYPE,ARGUMENTS``; ``${NAME}`` in it is an environment variable. There is no
    default."""
    model: str | None = None
    """The model's name at the server."""
    mode: Mode = "weighted"
    """How the judge answers: weighted (as in AlpacaEval 2) or verdict (as in MT-Bench and PLUG)."""
    against: str = "gpt-4-turbo-2024-04-09"
    """The opponent: a model of the same run, or published answers."""
    calibrate: bool = False
    """Whether the judge is asked the built-in probes first."""
    difficulty: Path | None = None
    """AlpacaEval's table of instruction difficulties, a CSV file, for length control."""
    limit_tokens: int | None = Field(None, ge=1)
    """The most tokens that one command may spend at a server, prompts and replies together."""
    concurrency: int = Field(16, ge=1)
    """How many requests are sent at once."""
    requests_per_minute: float | None = Field(None, gt=0)
    """The most requests that are sent to the server in a minute, without those after a failure; if not given, there is no bound."""
    key_variable: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the server's key."""
    verdicts: Path | None = None
    """Folder in which judges' replies are kept, for all runs; if not given, ``judges`` beside the runs."""

    @field_validator("mode", mode="before")
    @classmethod
    def _known(cls, value: object) -> Mode:
        return check_mode(str(value))

    @model_validator(mode="after")
    def _named(self) -> JudgeSettings:
        if not self.judge:
            raise UserError(f"no judge is named, and none is chosen for you: {CHOICES}")
        kind, colon, name = self.judge.partition(":")
        if kind in ("http", "https"):
            if not self.model:
                raise UserError(f"--judge {self.judge}: give --model NAME, the model's name at that server (judge.model in a suite)")
        elif kind not in ("engine", "lm") or not colon or not name:
            raise UserError(f"--judge {self.judge!r} names no judge; choices: {CHOICES}")
        elif self.limit_tokens or self.requests_per_minute or self.model:
            raise UserError(f"--judge {self.judge}: --model, --limit-tokens and --requests-per-minute are for judges behind a URL")
        return self

    @property
    def kind(self) -> Literal["api", "engine", "lm"]:
        """Where the judge is: behind a URL, on our engine, or a model of lm-eval's."""
        return "engine" if self.judge.startswith("engine:") else "lm" if self.judge.startswith("lm:") else "api"

    @property
    def name(self) -> str:
        """What a local judge is called after its kind, and a served one at its server."""
        return str(self.model) if self.kind == "api" else self.judge.partition(":")[2]
