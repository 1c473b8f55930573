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
    "reproduction",
    "rows",
    "seeds",
    "signal",
    "statistics",
    "summary",
    "tables",
    "views",
]
