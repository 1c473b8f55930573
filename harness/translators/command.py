"""The command kind: any program that turns lines into lines, such as a rule-based translator."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core import variables
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import file_sha256
from xlift.harness.core.paths import hide_places
from xlift.harness.translators.base import Description, LineTranslator

QUOTED = r"""'[^']*'|"(?:\\.|[^"\\])*"|\\."""


class CommandTranslator(LineTranslator):
    """Programs joined by ``|``, each started directly: no shell reads the command, and each exit status counts.

    A blank line follows each line of text, because apertium, for one, moves words across the end of a line that ends without a full stop
    (this changed 975 of 6,173 lines of Alpaca text).
    """

    def __init__(self, settings: TranslatorSettings) -> None:
        super().__init__(settings, repr(settings.command))
        self._stages = _split_stages(self.title, settings.command or "")

    def check(self, source: str, target: str) -> None:
        """Raises UserError if a program is missing. Which languages a command serves cannot be known."""
        super().check(source, target)
        for name, *_ in self._expand():
            if not shutil.which(name):
                raise UserError(f"{self.title}: there is no program {name!r}; install it, or give its whole path")

    def describe(self) -> Description:
        """The command without folders of this machine, and the programs and files in it by name and sha256."""
        files = ", ".join(f"{name} {sha256[:16]}" for name, sha256 in list_programs(self.settings.command or "").items())
        return {"kind": "command", "command": hide_places(self.settings.command or ""), "files": files or None}

    def _expand(self) -> list[list[str]]:
        """The programs and arguments, with the values of the environment variables that they name."""
        return [[variables.expand(word, self.title) for word in stage] for stage in self._stages]

    def _answer_lines(self, lines: Sequence[str], source: str, target: str) -> list[str]:
        fed = "".join(f"{line}\n\n" for line in lines)
        try:
            written = self._run(fed.encode(errors="replace")).decode().removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            raise UserError(f"{self.title}: what it writes is not UTF-8") from None
        if len(written) != 2 * len(lines):
            raise UserError(
                f"{self.title}: got {2 * len(lines)} lines (each second one blank) and wrote {len(written)}; it must write one for each"
            )
        return [line.rstrip("\r") for line in written[::2]]

    def _run(self, fed: bytes) -> bytes:
        with ExitStack() as stack:
            source, complaints = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            source.write(fed)
            source.seek(0)
            running: list[subprocess.Popen[bytes]] = []
            stages = self._expand()
            for stage in stages:
                before = running[-1].stdout if running else source
                try:
                    running.append(stack.enter_context(subprocess.Popen(stage, stdin=before, stdout=subprocess.PIPE, stderr=complaints)))
                except OSError as error:
                    raise UserError(f"{self.title}: {stage[0]} does not start: {error.strerror}") from None
                if before is not source and before is not None:
                    before.close()  # else a program would not learn that the next one has ended
            written, _ = running[-1].communicate()
            for stage, process in zip(stages, running, strict=True):
                status = process.wait()
                # A program whose reader has gone is ended by SIGPIPE: the reader is at fault.
                if status and status != -signal.SIGPIPE:
                    complaints.seek(0)
                    said = one_line(Exception(complaints.read().decode(errors="replace")))
                    raise UserError(f"{self.title}: {stage[0]} ended with status {status}: {said}")
        return written


def _split_stages(title: str, command: str) -> list[list[str]]:
    """The programs of a command with their arguments. Raises UserError for syntax that only a shell understands."""
    bare = re.sub(QUOTED, "", command, flags=re.DOTALL)
    if sign := re.search(r"[;&<>`\n]|\$\(", bare):
        raise UserError(f"{title}: {sign[0]!r} is for a shell, and none reads the command; write sh -c '...', or quote the sign")
    parts = re.findall(rf"(?:{QUOTED}|[^|])+", command, flags=re.DOTALL)
    try:
        stages = [shlex.split(part) for part in parts]
    except ValueError as error:
        raise UserError(f"{title}: cannot be read: {error}") from None
    if not all(stages) or len(stages) != bare.count("|") + 1:
        raise UserError(f"{title}: a program is missing beside a '|'")
    return stages


def list_programs(command: str) -> dict[str, str]:
    """The programs of a command and the files that it names, by their names, with the sha256 of each that exists."""
    found: dict[str, str] = {}
    for program, *arguments in _split_stages("command", command):
        for word in (shutil.which(program) or program, *arguments):
            path = Path(word).expanduser()
            if path.is_file():
                found[path.name] = file_sha256(path)
    return found
