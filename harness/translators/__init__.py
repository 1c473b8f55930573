"""Ways to translate: the model itself, a translation model, a served model, a parallel corpus, or a command."""

__all__ = ["base", "load", "scores"]
