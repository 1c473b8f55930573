"""What leaves the machine: model cards, data sets of rows, and the hub."""

__all__ = ["export_rows", "hub", "model_card", "package", "probe_files", "push", "push_site", "reproduction"]
