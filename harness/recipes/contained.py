"""The code of methods, which may be anybody's: whatever it does, a run goes on or ends in one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from traceback import extract_tb

from xlift.harness.core.errors import UserError, one_line


class MethodError(UserError):
    """A method's code went wrong; the cause is what it raised."""


@contextmanager
def contain(*, plugin: bool) -> Iterator[None]:
    """Run a method's code: what it prints goes to standard error, and the current folder is afterwards what it was.

    Raises MethodError where it ends the program, and where a plugin raises anything but a UserError: a fault of xlift's own methods stays
    as it is, to be reported. A copy of this process that the code forked ends here, as there is one run and not two.
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
    """The last line of somebody's file that ran: ``; line 12 of two_birds/method.py``."""
    frames = extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = frames[-1]
    return f"; line {last.lineno} of {'/'.join(Path(last.filename).parts[-2:])}"
