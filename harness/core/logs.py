"""xlift's own log lines, on stderr and with the time, in the command and in the processes of its stages."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from xlift.harness.core.secrets import redact


class _Redacted(logging.Formatter):
    """Hides secrets in log lines, which may repeat what a server or a program said."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def show_progress() -> None:
    """Send xlift's log to stderr, and from the libraries only warnings on which a user can act.

    Deprecation notices between libraries are not shown, here and in the processes that they start.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Redacted("[%(asctime)s] %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("xlift")
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    # lm-eval warns about every task that takes metadata: two lines for each of hundreds.
    # vLLM says at its import which kernels it does without, before it has read how much it shall say.
    for name in ("lm_eval", "vllm"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Bars of libraries leave nothing behind on a terminal, and draw none without one; ours decide for themselves.
    os.environ.setdefault("TQDM_LEAVE" if sys.stderr.isatty() else "TQDM_DISABLE", "" if sys.stderr.isatty() else "1")
    for category in (FutureWarning, DeprecationWarning, UserWarning):
        warnings.simplefilter("ignore", category)
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # torch's C++ code, and with it vLLM's, warns of NUMA nodes at every start of an engine on a CPU.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
