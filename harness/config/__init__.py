"""A suite's YAML as frozen, checked settings, and the suites that ship."""

__all__ = ["judge", "lora", "suite"]
