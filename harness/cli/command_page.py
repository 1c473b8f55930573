"""docs/command.md: every command with its arguments and options, from the commands themselves.

python -m xlift.harness.cli.command_page      prints the page
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.main import get_command

from xlift.harness.cli.main import app

HEAD = """# The command

Everything below is also printed by `xlift COMMAND --help`. Results go to standard output and progress to standard error.
[Exit codes](runs.md#exit-codes) say how a command ended. This page is printed by `python -m xlift.harness.cli.command_page`.
"""


def to_markdown() -> str:
    """The whole page."""
    command = get_command(app)
    return "\n".join([HEAD, *_write_commands(command, typer.Context(command, info_name="xlift"))])


def _write_commands(command: Any, context: typer.Context) -> Iterator[str]:
    """A section for a command, and for each of its subcommands."""
    lines = [f"## `{context.command_path}`", "", " ".join((command.help or "").split()).replace("``", "`"), ""]
    lines += ["```", " ".join([context.command_path, *command.collect_usage_pieces(context)]), "```", ""]
    for parameter in command.get_params(context):
        found = parameter.get_help_record(context)
        if found and "--help" not in parameter.opts:
            names, said = found
            lines.append(f"- `{' '.join(names.split())}`" + (f": {' '.join(said.split())}" if said else ""))
    yield "\n".join(lines).rstrip() + "\n"
    for name in getattr(command, "commands", {}):
        below = command.commands[name]
        yield from _write_commands(below, typer.Context(below, info_name=name, parent=context))


if __name__ == "__main__":
    print(to_markdown(), end="")  # noqa: T201
