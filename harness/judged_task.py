"""Deprecated since 0.2, gone in 0.3: the old place of ``xlift.harness.judging.lm_eval_filter``."""

import warnings

from xlift.harness.judging.lm_eval_filter import JudgedTask, JudgeFilter

__all__ = ["JudgeFilter", "JudgedTask"]

MOVED = "xlift.harness.judged_task is xlift.harness.judging.lm_eval_filter since xlift 0.2; the old name goes with 0.3"
warnings.warn(MOVED, DeprecationWarning, stacklevel=2)
