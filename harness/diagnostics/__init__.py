"""Looks inside a model, beyond its scores: alignment by layer, perplexity, and the languages of its answers."""

__all__ = ["fidelity", "labels", "probe", "records"]
