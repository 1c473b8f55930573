"""How a pushed adapter is loaded: the part of its card for other programs."""

from __future__ import annotations

import json

from xlift.harness.models import masks
from xlift.harness.models.adapters import FULL, MASK
from xlift.harness.models.module import BOUNDARY, FILE, Module
from xlift.harness.models.steering import Steer
from xlift.harness.publishing.package import Facts


def write_loading(facts: Facts) -> str:
    """The text of the section, as Markdown."""
    revision = f', revision="{facts.base.revision}"' if facts.base.revision else ""
    measured = f"xlift evaluate --base {facts.base.local} --adapter {facts.name}=hub:{facts.repository} --tasks xlift_mgsm_direct"
    if facts.adapter.steer:
        return _write_steering(facts, facts.adapter.steer, measured)
    if facts.adapter.module:
        return _write_merging(facts, facts.adapter.module, revision, measured)
    if not facts.adapter.has_weights:
        return f"There are no weights: the base is asked and read as the profile says.\n\n```\n{measured}\n```"
    if facts.adapter.peft_type == MASK:
        return _write_unmasking(facts, revision, measured)
    if facts.adapter.peft_type == FULL:
        return f"""{_write_thinking(facts)}```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{facts.repository}")
model = AutoModelForCausalLM.from_pretrained("{facts.repository}")
```

```
vllm serve {facts.repository}
lm_eval run --model hf --model_args pretrained={facts.repository} --apply_chat_template --tasks ...
{measured}
```"""
    return f"""{_write_thinking(facts)}```python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{facts.base.id}"{revision})
base = AutoModelForCausalLM.from_pretrained("{facts.base.id}"{revision})
model = PeftModel.from_pretrained(base, "{facts.repository}")
```

```
vllm serve {facts.base.id} --enable-lora --max-lora-rank {_rank(facts)} --lora-modules {facts.name}={facts.repository}
lm_eval run --model hf --model_args pretrained={facts.base.id},peft={facts.repository} --apply_chat_template --tasks ...
{measured}
```"""


def _write_unmasking(facts: Facts, revision: str, measured: str) -> str:
    count = f"{facts.made.get('masked', 0):,}"
    return f"""PEFT cannot load it: `{masks.FILE}` has a packed bit for each weight of some modules, and the {count} weights whose bit is
set are put to 0. `xlift merge hub:{facts.repository} --out FOLDER` writes the masked model, and so do these lines:

```python
import numpy as np
import torch
from huggingface_hub import hf_hub_download
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("{facts.base.id}"{revision})
weights = dict(model.named_parameters())
for name, bits in load_file(hf_hub_download("{facts.repository}", "{masks.FILE}")).items():
    mask = np.unpackbits(bits, axis=1, count=weights[name].shape[1]).astype(bool)
    weights[name].data[torch.from_numpy(mask)] = 0
```

```
{measured}
```"""


def _write_steering(facts: Facts, steer: Steer, measured: str) -> str:
    """How the moves are applied, in words and in a few lines of Python."""
    said = json.dumps(steer.model_dump(mode="json", exclude_defaults=True), indent=1)
    where = (
        "the prompt's last token" if steer.positions == "prompt" else "the prompt's last token and of each token of the answer but its last"
    )
    return f"""xlift applies the moves by itself on its hf backend, language by language; other programs do not:

```
{measured} --backend hf
```

`steer.safetensors` holds an array for each language: at the layers below a state `h` of {where} becomes `h + strength * v`, or
`h + strength * h @ W` where the array has maps. Layer `n` is what comes out of the n-th layer; a number below 1 is a share of the depth.

```json
{said}
```

```python
import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

arrays = load_file(hf_hub_download("{facts.repository}", "steer.safetensors"))
moves = arrays["{min(steer.strengths)}"] * {steer.strengths[min(steer.strengths)]:g}

def move(at):
    def hook(module, given, named):  # while the prompt is read: its last token
        states = (given[0] if given else named["hidden_states"]).clone()
        h = states[:, -1].float()
        states[:, -1] += (h @ moves[at] if moves[at].ndim == 2 else moves[at]).to(states.dtype)
        return ((states, *given[1:]), named) if given else (given, {{**named, "hidden_states": states}})
    return hook

depth = model.config.num_hidden_layers  # of the base, as transformers loads it
for at, layer in enumerate({list(steer.layers)}):
    block = model.model.layers[round(layer * depth) if 0 < layer < 1 else layer]
    block.register_forward_pre_hook(move(at), with_kwargs=True)
```"""


def _write_merging(facts: Facts, module: Module, revision: str, measured: str) -> str:
    """How an encoder's states are put before a prompt, in words and in a few lines of Python."""
    at = f", revision={module.revision!r}" if module.revision else ""
    zeroed = "torch.zeros_like(states)" if module.zeroed else "states"
    where = "before" if module.reads_prompt else "in place of"
    behind = ", table(ids)[0]" if module.reads_prompt else ""
    return f"""PEFT cannot load it, and no server can serve it; xlift does so on its hf backend:

```
{measured} --backend hf
```

`{FILE}` holds a projection and a boundary. The encoder, `{module.encoder}` (sha256 {module.sha256[:12]}), comes from its own repository
and has a licence of its own. It reads the text of a prompt without special tokens, the last {module.tokens} tokens of it. Its states
go through the projection; they and the boundary stand {where} the embeddings of the prompt.
Where a prompt begins with a BOS token, this stays at the beginning.

```python
import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

weights = load_file(hf_hub_download("{facts.repository}", "{FILE}"))
reader = AutoTokenizer.from_pretrained("{module.encoder}"{at})
encoder = AutoModel.from_pretrained("{module.encoder}"{at}).get_encoder()
tokenizer = AutoTokenizer.from_pretrained("{facts.base.id}"{revision})
base = AutoModelForCausalLM.from_pretrained("{facts.base.id}"{revision})
table = base.get_input_embeddings()

def embed(ids):  # (1, tokens) of a prompt
    text = tokenizer.decode(ids[0], skip_special_tokens=True).strip()
    states = encoder(**reader(text, return_tensors="pt")).last_hidden_state[0]
    states = {zeroed}
    for place in sorted({{name.split(".")[1] for name in weights if name.startswith("projection")}}):
        states = states if place == "0" else states.relu()
        states = states @ weights[f"projection.{{place}}.weight"].T + weights[f"projection.{{place}}.bias"]
    return torch.cat([states, weights["{BOUNDARY}"][None]{behind}])[None]
```"""


def _write_thinking(facts: Facts) -> str:
    """What a chat template must be given, if thinking was turned on or off; else nothing."""
    options = facts.made["base"].get("template_options") or {}
    if not options:
        return ""
    given = ", ".join(f"{name}={value!r}" for name, value in options.items())
    served = json.dumps({"chat_template_kwargs": dict(options)})
    return (
        f"It was trained with `{given}` in the chat template. Ask it so: `tokenizer.apply_chat_template(chat, add_generation_prompt=True, "
        f"{given})`, at a server `{served}` in the request, in lm_eval `chat_template_args={json.dumps(dict(options))}` among the model's "
        "arguments.\n\n"
    )


def _rank(facts: Facts) -> int:
    """The least rank in vLLM's list that is large enough for this adapter."""
    config = json.loads((facts.adapter.folder / "adapter_config.json").read_text(encoding="utf-8"))
    return next((rank for rank in (8, 16, 32, 64, 128, 256, 320, 512) if rank >= int(config.get("r") or 16)), 512)
