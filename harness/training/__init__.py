"""The one trainer: batches, the objectives, LoRA, and checkpoints."""

__all__ = ["batching", "masking", "mixing", "report", "sft", "trainer"]
