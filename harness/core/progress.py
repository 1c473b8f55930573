"""Long waits: a progress bar with the time left on a terminal, and without one a line from time to time."""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from xlift.harness.core.times import write_seconds

logger = logging.getLogger(__name__)

FIRST, LATER = 10.0, 60.0
"""Seconds until the first line, and between later ones."""


class Lines:
    """Says when a line should be written."""

    def __init__(self) -> None:
        self.begun = self._told = time.monotonic()
        self._wait = FIRST

    def are_due(self) -> bool:
        """Whether the time for a line has come. If so, the line counts as written."""
        now = time.monotonic()
        if now - self._told < self._wait:
            return False
        self._told, self._wait = now, LATER
        return True

    def estimate_left(self, done: float, total: float) -> str:
        """The time that the rest takes at the speed so far: ``, 2 min 05 s left``; empty before there is a speed."""
        if done <= 0 or total <= done:
            return ""
        return f", {write_seconds((time.monotonic() - self.begun) * (total - done) / done)} left"


class Bar(tqdm):  # type: ignore[misc]
    """tqdm's bar on standard error, which disappears at the end. Without a terminal it logs lines instead."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._lines = None if sys.stderr.isatty() else Lines()
        self._shown = time.monotonic()
        quiet = os.environ.get("TQDM_DISABLE") == "1" and self._lines is None  # one of several processes draws
        if self._lines:
            options["file"] = io.StringIO()
        super().__init__(*args, **{**options, "leave": False, "disable": quiet})

    def update(self, n: float = 1) -> bool | None:
        """One step further, or ``n``."""
        drawn: bool | None = super().update(n)
        if self._lines and self.total and self._lines.are_due():
            left = self._lines.estimate_left(self.n, self.total)
            logger.info("%s: %d of %d%s", str(self.desc or "done").removesuffix(": "), self.n, self.total, left)
        return drawn

    def wait(self) -> None:
        """Nothing is done since the last time: what a terminal shows goes on, and without one a line is written when it is due."""
        if self._lines:
            self.update(0)
        elif time.monotonic() - self._shown >= 1:
            self._shown = time.monotonic()
            self.refresh()
