"""The one trainer: batches, the objectives, LoRA, and checkpoints."""

__all__ = ["batching", "report", "sft", "trainer"]
