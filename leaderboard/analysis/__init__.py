"""Statistics of lift, and the tables made of them."""

__all__ = ["board", "comparisons", "corpus_bootstrap", "pairwise", "rows", "statistics", "tables"]
