"""Deprecated since 0.2, gone in 0.3: the old place of ``xlift.harness.pipeline.run``."""

import warnings

from xlift.harness.pipeline.run import run_suite

__all__ = ["run_suite"]

MOVED = "xlift.harness.run is xlift.harness.pipeline.run since xlift 0.2; the old name goes with 0.3"
warnings.warn(MOVED, DeprecationWarning, stacklevel=2)
