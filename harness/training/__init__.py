"""The one trainer: batches, the objectives, LoRA, and checkpoints."""

__all__ = ["batching", "mixing", "report", "sft", "trainer"]
