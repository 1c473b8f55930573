"""Statistics of lift, and the tables made of them."""

__all__ = ["board", "comparisons", "conclusion", "corpus_bootstrap", "pairwise", "rows", "statistics", "tables"]
