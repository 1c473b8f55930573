"""Running lm-eval on an engine, and the records and samples that a measurement leaves."""

__all__ = ["adapters", "evaluate", "foreign_tasks", "lm_eval_command", "lm_eval_entry", "records", "samples", "tasks"]
