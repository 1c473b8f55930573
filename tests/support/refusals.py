"""What a user is told where something is refused."""

from collections.abc import Callable
from typing import Any

import pytest

from xlift.harness.core.errors import UserError


def refusal(act: Callable[[], Any]) -> str:
    """The line of the error that ``act`` ends in."""
    with pytest.raises(UserError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)
