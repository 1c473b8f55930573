"""A small chat template of a model that thinks, and a base that has it."""

import shutil
from pathlib import Path

from xlift.harness.config.suite import BaseSettings, EngineSettings
from xlift.harness.models.bases import Base, resolve

THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""As Qwen3's: it thinks by itself, and an empty block stands before a finished answer and where thinking is off."""
OPENING = THINKING.replace("{% endif %}{% endif %}", "{% else %}{{ '<think>\n' }}{% endif %}{% endif %}")
"""As Qwen3.5's: it opens thinking in the prompt."""
EMPTY = "<think>\n\n</think>\n\n"
ASKED = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
"""The question ``hi`` in either template, without what stands for thinking."""


def write_base(folder: Path, out: Path, template: str = THINKING) -> Path:
    """A copy of a base's folder with another template."""
    shutil.copytree(folder, out)
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")
    return out


def thinking_base(folder: Path, out: Path, template: str = THINKING, **engine: object) -> Base:
    """Such a base, with its thinking as the engine's settings say."""
    settings = EngineSettings(**engine)  # type: ignore[arg-type]
    return resolve(BaseSettings(model=str(write_base(folder, out, template))), settings)
