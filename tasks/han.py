"""Which of the two ways of writing Chinese a text uses, told by its characters."""

from __future__ import annotations


def name_han_variant(text: str) -> str:
    """``zh`` or ``zh-Hant``; ``zh`` if the characters are the same in both."""
    # GB 2312 holds the simplified forms and Big5 the traditional ones: the text loses less in its own
    simplified, traditional = (len(text.encode(codec, "ignore")) for codec in ("gb2312", "big5"))
    return "zh" if simplified >= traditional else "zh-Hant"
