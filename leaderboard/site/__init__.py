"""The static site: pages, charts and data files."""

__all__ = ["builder", "charts", "probe_charts", "text"]
