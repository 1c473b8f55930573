"""A random T5 of one layer whose tokens are bytes: an encoder that reads any text, or Latin letters alone."""

from pathlib import Path
from string import ascii_letters

HIDDEN = 16


def write_encoder(folder: Path, seed: int = 0, languages: tuple[str, ...] = (), latin: bool = False) -> Path:
    """Write it into a folder in float32; with ``languages`` its card lists them, with ``latin`` its tokenizer knows no other writing."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    letters = [*ascii_letters, " "] if latin else sorted(pre_tokenizers.ByteLevel.alphabet())
    signs = ["<pad>", "</s>", "<unk>", *letters]
    bpe = Tokenizer(models.BPE(vocab={sign: number for number, sign in enumerate(signs)}, merges=[], unk_token="<unk>"))
    if not latin:
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.add_special_tokens(signs[:3])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"d_model": HIDDEN, "d_kv": 4, "d_ff": 32, "num_layers": 1, "num_heads": 4}
    T5ForConditionalGeneration(T5Config(vocab_size=len(signs), decoder_start_token_id=0, **sizes)).save_pretrained(folder)
    if languages:
        listed = "".join(f"- {code}\n" for code in languages)
        (folder / "README.md").write_text(f"---\nlicense: mit\nlanguage:\n- multilingual\n{listed}---\n\n# T5\n", encoding="utf-8")
    return folder
