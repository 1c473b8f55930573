"""Judges, their replies, and the win rates computed from them."""

__all__ = ["judgement", "judges", "lm_eval_filter", "replies", "win_rates"]
