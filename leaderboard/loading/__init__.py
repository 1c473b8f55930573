"""Reading what was measured: our records, samples and win rates, and the files of other harnesses."""

__all__ = ["check_record", "folders", "foreign", "record", "runs", "samples", "scores", "select_samples", "slugs", "win_rates"]
