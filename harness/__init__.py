"""The engine: suites, data, training and evaluation; knows no method, no benchmark and no HTML."""

import os

# TRL tells its makers of each training, unless this is set before huggingface_hub is imported: nothing of a run leaves the machine unasked.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
