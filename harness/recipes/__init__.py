"""What methods share: the contract, the registry, and the parts that turn corpora into training rows."""

__all__ = [
    "budget", "choices", "code_switch", "contained", "contract", "experts", "files", "filters", "instructions", "parallel", "parts",
    "preferences", "reasoning", "registry", "scaling_law", "similarity", "stages", "translation", "written_tasks",
]  # fmt: skip
