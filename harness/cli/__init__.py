"""The ``xlift`` command."""

from xlift.harness.cli.main import main

__all__ = ["main"]
