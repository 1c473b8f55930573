"""Statistics of lift, and the tables made of them."""

__all__ = [
    "board",
    "comparisons",
    "conclusion",
    "consistency",
    "corpus_bootstrap",
    "curves",
    "pairwise",
    "papers",
    "rankings",
    "rows",
    "seeds",
    "signal",
    "statistics",
    "tables",
]
