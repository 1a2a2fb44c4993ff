"""What items are in words, as options name it, and how often a user had it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.contracts import Items, Values
from tastebench.errors import UsageError
from tastebench.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Column:
    """One attribute of all items.

    Attributes:
        whole: What each item is by all its values, object `[n_items]`; empty where nobody knows.
        each: Its values, rows of `values`, in the order in which the item names them; what an item
            is as a whole is not among them where it has several. `n_items` lists.
        values: Distinct values, object.
    """

    whole: np.ndarray
    each: Ragged
    values: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], values: Values | None) -> Column:
        """From one text an item and its single values; without these the text is the value."""
        whole = np.array(["" if text is None else text for text in texts], dtype=object)
        if values is not None:
            return cls(whole, values.each, values.names)
        names, code = np.unique(whole, return_inverse=True)
        item = np.flatnonzero(whole != "")
        return cls(whole, Ragged.from_rows(item, code[item], len(whole)), names)

    def code(self, values: np.ndarray) -> np.ndarray:
        """Rows of `values`, -1 for what no item is, int64 of the shape of `values`."""
        return codes_of(self.values, values)


def codes_of(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where texts stand among sorted ones, -1 for those that do not, int64."""
    number: Mapping[Any, int] = {text: i for i, text in enumerate(known.tolist())}
    flat = [number.get(text, -1) for text in wanted.ravel().tolist()]
    return np.array(flat, dtype=np.int64).reshape(wanted.shape)


def columns_of(items: Items, who: str) -> dict[str, Column]:
    """The text columns of a catalogue by name.

    Args:
        items: The catalogue.
        who: Asks, for the message.

    Raises:
        UsageError: It has none.
    """
    if not items.columns:
        raise UsageError(
            f"{who} reads what items are in words, a column an attribute, and these have none",
            fix="use the representation text",
        )
    values = items.values or {}
    return {name: Column.of(texts, values.get(name)) for name, texts in items.columns.items()}


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Scores `[n, k]` as log-probabilities, float32; their order is the same."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    logs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs.astype(np.float32)


def option_texts(options: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Options as an array of texts, object `[n, k]`."""
    made = np.empty((len(options), len(options[0]) if len(options) else 0), dtype=object)
    for j in range(made.shape[1]):
        made[:, j] = [one[j] for one in options]
    return made
