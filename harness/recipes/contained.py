"""Runs the code of methods, which anybody may have written: whatever it does, a run goes on or ends in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from traceback import extract_tb

from xlift.harness.core.errors import UserError, one_line


class MethodError(UserError):
    """A method's code failed. The cause is what it raised."""


@contextmanager
def contain(*, plugin: bool) -> Iterator[None]:
    """Run a method's code. What it prints goes to standard error, and afterwards the current folder is what it was before.

    Raises MethodError if the code ends the program, or if a plugin raises anything but a UserError. An error in xlift's own methods is
    raised as it is, so that it can be reported. If the code forked this process, the copy ends here, because a run must not continue twice.
    """
    process = os.getpid()
    try:
        with chdir(Path.cwd()), redirect_stdout(sys.stderr):
            yield
    except UserError:
        raise
    except SystemExit as error:
        raise MethodError(f"it ends the program (exit {error.code!r}{_say_where(error)}), which a method must not do") from error
    except Exception as error:
        if not plugin:
            raise
        raise MethodError(f"{type(error).__name__}: {one_line(error)}{_say_where(error)}") from error
    finally:
        if os.getpid() != process:
            os._exit(0)


def _say_where(error: BaseException) -> str:
    """The last line of the method's file that ran: ``; line 12 of two_birds/method.py``."""
    frames = extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"; line {last.lineno} of {'/'.join(Path(last.filename).parts[-2:])}"
