"""A random Llama of two layers whose tokens are bytes: a chat model that answers at once, and nonsense."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_tiny(
    folder: Path, seed: int = 0, hidden: int = 32, positions: int = 256, experts: int = 0, endings: Sequence[int] = ()
) -> Path:  # fmt: skip
    """Write it into a folder in float32, with a byte-level tokenizer and a chat template; with experts it is a Qwen3-MoE.

    ``endings`` are tokens that end an answer beside its own, 2: with a third of all bytes among them most answers end.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen3MoeConfig, Qwen3MoeForCausalLM

    signs = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bpe = Tokenizer(models.BPE(vocab={sign: number for number, sign in enumerate(signs)}, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.add_special_tokens(signs[:3])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    options: dict[str, Any] = {
        "vocab_size": len(signs), "hidden_size": hidden, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": positions, "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
        "tie_word_embeddings": True, "initializer_range": 0.3,
    }  # fmt: skip
    if experts:
        options |= {"num_experts": experts, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "head_dim": 32}
        options |= {"router_aux_loss_coef": 0.9}  # gpt-oss's; Qwen's own is 0.001
        model: Any = Qwen3MoeForCausalLM(Qwen3MoeConfig(**options))
    else:
        model = LlamaForCausalLM(LlamaConfig(**options))
    if endings:
        model.generation_config.eos_token_id = [2, *endings]
    model.save_pretrained(folder)
    return folder
