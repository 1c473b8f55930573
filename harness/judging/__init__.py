"""Judges, what they replied, and the win rates that come of it."""

__all__ = ["judgement", "judges", "lm_eval_filter", "replies", "win_rates"]
