"""The statistics of lift, and the tables made from them."""

__all__ = [
    "board",
    "comparisons",
    "conclusion",
    "consistency",
    "corpus_bootstrap",
    "curves",
    "overview",
    "pairwise",
    "papers",
    "policies",
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
