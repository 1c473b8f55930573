"""The one trainer: batches, objectives, LoRA, and checkpoints."""

__all__ = ["batching", "masking", "mixing", "report", "sft", "trainer"]
