"""Reading what was measured: our records, samples and win rates, and the files of other harnesses."""

__all__ = ["foreign", "record", "runs", "samples", "scores", "select_samples", "win_rates"]
