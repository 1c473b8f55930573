"""A suite from start to end: prepare, fit, measure; what each stage depends on, and where it runs."""

__all__ = ["dry_run", "fit", "needs", "pilots", "run", "stages", "submission", "worker"]
