"""The catalogue in words, as a prompt shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.recommenders.llm.prompt import one_line


def texts_of(items: Items) -> list[str]:
    """One line an item.

    Raises:
        UsageError: Items have no text.
    """
    if items.text is None:
        raise UsageError(
            "a prompt shows items in words, and these have no text",
            fix="use the representation text",
        )
    return [one_line(text) for text in items.text]


def item_name(texts: Sequence[str]) -> Callable[[int], str]:
    """What messages call an item."""

    def name(row: int) -> str:
        text = texts[row]
        return f"item {row} ({text[:40]!r}{'...' * (len(text) > 40)})"

    return name
