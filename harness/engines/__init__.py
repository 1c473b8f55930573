"""One loaded base whose adapters are swapped in place: vLLM, transformers or a server, and lm-eval's model over it."""

__all__ = [
    "activity",
    "base",
    "batches",
    "bounded",
    "cache",
    "device",
    "dtypes",
    "hf",
    "kept_answers",
    "lm_eval_model",
    "load",
    "merger",
    "openai_api",
    "states",
    "vllm",
]
