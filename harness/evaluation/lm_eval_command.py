"""lm-eval's own command, which then knows xlift's model and tasks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lm_eval._cli import HarnessCLI
from lm_eval.config.evaluate_config import EvaluatorConfig
from lm_eval.utils import setup_logging

import xlift.harness.evaluation.lm_eval_entry  # noqa: F401  registers the model
from xlift.tasks import index


def run_command(arguments: Sequence[str]) -> None:
    """Run ``lm_eval`` with these arguments, with the folder of xlift's tasks before those of ``--include_path``.

    FLORES pairs that have no file are written for the time of the call. Raises UserError for a task of ours that does not exist.
    """
    setup_logging()
    sys.argv = ["lm_eval", *arguments]
    parser = HarnessCLI()
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as extra:
        if "include_path" in options:
            given = options.include_path or _read_config(options).get("include_path")
            others = given if isinstance(given, list) else [given] if given else []
            index.write_tasks(_find_tasks(options.tasks if "tasks" in options else None, may_be_others=bool(others)), Path(extra))
            options.include_path = [str(index.folder()), extra, *others]
        parser.execute(options)


def _read_config(options: object) -> dict[str, object]:
    """The file of ``--config``. The command's own options replace its keys."""
    path = getattr(options, "config", None)
    return EvaluatorConfig.load_yaml_config(path) if path else {}


def _find_tasks(tasks: str | Sequence[str] | None, may_be_others: bool) -> list[str]:
    """The named tasks that are ours, without patterns such as ``xlift_xquad_*``. A user's own folder may have others."""
    listed = tasks.split(",") if isinstance(tasks, str) else tasks or []
    named = [name for name in listed if index.is_ours(name) and not set(name) & set("*?[.")]
    return [task for name in named if index.exists(name) or not may_be_others for task in index.expand(name)]
