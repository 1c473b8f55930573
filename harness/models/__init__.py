"""Bases and adapters on disk: where they come from, what identifies them, and how an adapter must be asked."""

__all__ = [
    "adapters", "bases", "download", "encoders", "masks", "merging", "module", "policy", "profile", "shape", "smollm2", "steering",
    "thinking", "tokens", "trainable",
]  # fmt: skip
