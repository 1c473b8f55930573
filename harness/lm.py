"""Deprecated since 0.2, gone in 0.3: the old place of ``xlift.harness.evaluation.lm_eval_entry``."""

import warnings

from xlift.harness.evaluation.lm_eval_entry import XliftLM

__all__ = ["XliftLM"]

MOVED = "xlift.harness.lm is xlift.harness.evaluation.lm_eval_entry since xlift 0.2; the old name goes with 0.3"
warnings.warn(MOVED, DeprecationWarning, stacklevel=2)
