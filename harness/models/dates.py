"""Chat templates that write the day's date, as Llama 3.2's and gpt-oss's do: the day becomes part of the template.

Such a template calls ``strftime_now``, for which transformers reads the clock anew at each rendering. A training that runs over midnight
would then see other prompts than it began with, and models that are measured on different days would be asked differently.
"""

from __future__ import annotations

import datetime
import json

CLOCK = "strftime_now"
"""The name in transformers of the clock that it hands to a template."""
DIRECTIVES = [*(f"%{letter}" for letter in "aAbBcdDeFGHIjmMpRSTuUVwWxXyY"), *(f"%-{letter}" for letter in "deHIjmMS")]
"""The directives of ``strftime`` that a frozen clock knows. Its time is midnight."""


def today() -> datetime.date:
    """Today's date on this machine."""
    return datetime.date.today()


def writes_date(template: str) -> bool:
    """Whether a chat template asks for the day."""
    return CLOCK in template


def freeze(template: str, day: datetime.date) -> str:
    """The template with a clock of its own, which always shows ``day``. A template that asks for no day stays as it is."""
    if not writes_date(template):
        return template
    midnight = datetime.datetime.combine(day, datetime.time())
    shown = "".join(f"|replace({json.dumps(directive)}, {json.dumps(midnight.strftime(directive))})" for directive in DIRECTIVES)
    # transformers drops the line break behind a block, so the template's own first line begins where it began.
    return f"{{%- macro {CLOCK}(format) -%}}{{{{ format{shown} }}}}{{%- endmacro %}}\n{template}"
