"""The static site: pages, charts and data files."""

__all__ = ["builder", "probe_charts", "text"]
