"""The xlift command as tests call it."""

from collections.abc import Callable

Call = Callable[..., tuple[int, str, str]]
"""Arguments in; exit code, standard output and standard error out."""
