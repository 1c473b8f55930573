"""A user's mistake in plain lm_eval: one line and exit code 2. lm-eval itself ends every exception in a traceback."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from xlift.harness.core.errors import UserError


def runs_in(program: str) -> bool:
    """Whether a program, given by its path as in ``sys.argv[0]``, is lm-eval's own command."""
    path = Path(program)
    return (path.parent.name if path.name == "__main__.py" else path.stem) in ("lm_eval", "lm-eval")


def show_in_one_line() -> None:
    """From now on, in lm-eval's own command, an uncaught UserError is one line on stderr. Any other exception is shown as before.

    Nothing changes in any other program.
    """
    before = sys.excepthook
    if not runs_in(sys.argv[0]) or before.__module__ == __name__:
        return

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, UserError):
            before(kind, error, trace)
            return
        print(f"xlift: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        raise SystemExit(error.exit_code)

    sys.excepthook = show
