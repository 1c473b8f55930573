"""What methods share: the contract, the registry, and the parts that turn corpora into training rows."""

__all__ = ["budget", "code_switch", "contract", "files", "filters", "instructions", "preferences", "registry", "scaling_law", "translation"]
