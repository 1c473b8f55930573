"""Files that users copy."""

import re
import shlex
from pathlib import Path

import yaml
from typer.testing import CliRunner

from xlift.harness.cli.main import app

ROOT = Path(__file__).parent.parent


def test_the_workflow_of_a_board_calls_commands_that_there_are() -> None:
    workflow = yaml.safe_load((ROOT / "examples/publish-board.yml").read_text())
    assert set(workflow["jobs"]) == {"check", "publish"}
    script = "\n".join(step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step)
    commands = [shlex.split(found) for found in re.findall(r"^\s*xlift ([^|\n]+)", script, re.M)]
    assert [command[0] for command in commands] == ["record", "site"]
    for command in commands:
        shown = CliRunner().invoke(app, [command[0], "--help"])
        assert shown.exit_code == 0 and all(option in shown.output for option in command if option.startswith("--"))
