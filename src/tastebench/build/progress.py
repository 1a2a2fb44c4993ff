"""How far a long step is, said now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY = 2.0
"""Seconds before numbers are told, and between two lines of them."""

Say = Callable[[str], None]
"""Takes one line of what is being done."""


def now_and_then(say: Say, every: float = EVERY) -> Say:
    """Says what it is told where nothing was said for a while: what is quick says nothing."""
    last = time.monotonic()

    def tell(line: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            say(line)
            last = time.monotonic()

    return tell
