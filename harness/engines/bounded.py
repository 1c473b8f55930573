"""Limits on what a server may send: replies are cut off at a size and a time, and malformed content is recognised."""

from __future__ import annotations

import time
from typing import Any

import openai

LARGEST = 16 * 2**20
"""The most bytes of one reply. The longest answers with their log-probabilities take far less."""


class UnboundedError(openai.OpenAIError):  # type: ignore[misc]
    """A reply that is too large or too slow. The client does not try again after it."""


class BoundedClient(openai.DefaultHttpxClient):  # type: ignore[misc]
    """The openai client's own connection, which stops reading a reply at LARGEST bytes and at ``seconds`` after the request."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(timeout=seconds, **options)
        self._seconds = seconds

    def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
        """The reply with its body, which is read piece by piece. Raises UnboundedError at either limit."""
        until = time.monotonic() + self._seconds
        response = super().send(request, stream=True, **options)
        if stream:
            return response
        try:
            body = bytearray()
            for piece in response.iter_bytes():
                body += piece
                if len(body) > LARGEST:
                    raise UnboundedError(f"a reply of more than {LARGEST >> 20} MiB")
                if time.monotonic() > until:
                    raise UnboundedError(f"a reply that does not end within {self._seconds:g} s")
        finally:
            response.close()
        # The body is decoded by now.
        kept = [(name, value) for name, value in response.headers.items() if name not in ("content-encoding", "content-length")]
        return type(response)(response.status_code, headers=kept, content=bytes(body), request=request, extensions=response.extensions)


def read_content(choice: object) -> str | None:
    """The text in a choice of a completion; empty if there is none, and None if it is no text that a file could hold."""
    message = getattr(choice, "message", None)
    text = getattr(choice, "text", None) if message is None else getattr(message, "content", None)
    if text is None:
        return ""
    return text if _is_text(text) else None


def read_thought(choice: object) -> str:
    """The thinking that a server separated from a choice's content, between tags as if it came before it; empty if there is none.

    This is not part of OpenAI's own interface: servers have it under one of two names. The closing tag is missing if no content followed.
    """
    message = getattr(choice, "message", None)
    thought = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    if not thought or not _is_text(thought):
        return ""
    return f"<think>{thought}</think>\n\n" if getattr(message, "content", None) else f"<think>{thought}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= sign <= "\udfff" for sign in value)


def read_count(usage: object, name: str) -> int:
    """A number of tokens as a server counts them; 0 if it gives none, or something that cannot be one."""
    count = getattr(usage, name, None)
    return count if isinstance(count, int) and not isinstance(count, bool) and count > 0 else 0
