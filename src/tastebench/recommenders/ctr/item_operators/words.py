"""What operators of words share: the table of word embeddings, and an item's tokens by column."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.content import Content


class Words(nn.Module):
    """Word embeddings; token 0 is padding, the zero vector, and is never trained.

    Args:
        vocabulary: Number of tokens, padding among them.
        size: Width of the embeddings.
        init_std: Standard deviation of the initial embeddings.
    """

    def __init__(self, vocabulary: int, size: int, init_std: float) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(vocabulary, size))
        nn.init.normal_(self.table, std=init_std)
        with torch.no_grad():
            self.table[0] = 0.0

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens of any shape to `[..., size]`."""
        return functional.embedding(tokens, self.table, padding_idx=0)

    def mean(self, tokens: Tensor) -> Tensor:
        """The mean of `[n, s]` tokens without padding, `[n, size]`; zeros where there is none."""
        # Reads each embedding once and never lays out [n, s, size].
        return functional.embedding_bag(tokens, self.table, mode="mean", padding_idx=0)


class Columns(nn.Module):
    """The tokens of an item, column by column.

    Args:
        brick: Whose they are, for messages.
        content: The catalogue.

    Attributes:
        widths: Longest of each column; 1 for a category.
    """

    def __init__(self, brick: str, content: Content) -> None:
        super().__init__()
        check_text(brick, content)
        self.widths = tuple(tokens.shape[1] for tokens in content.columns.values())
        for i, tokens in enumerate(content.columns.values()):
            self.register_buffer(f"tokens_{i}", _int32(tokens), persistent=False)

    def forward(self, items: Tensor) -> list[Tensor]:
        """`[n]` to int32 `[n, longest]` a column, at most as wide as the column."""
        return [
            cut_padding(functional.embedding(items, self.get_buffer(f"tokens_{i}")))
            for i in range(len(self.widths))
        ]


class Sequence(nn.Module):
    """The tokens of an item as one sequence, column after column, padding at its end only.

    Args:
        brick: Whose they are, for messages.
        content: The catalogue.
        separator: The token that ends every column that has any; None for none.

    Attributes:
        width: Longest sequence.
    """

    tokens: Tensor

    def __init__(self, brick: str, content: Content, separator: int | None) -> None:
        super().__init__()
        check_text(brick, content)
        parts: list[np.ndarray] = []
        for tokens in content.columns.values():
            parts.append(tokens)
            if separator is not None:
                some = (tokens > 0).any(axis=1, keepdims=True)
                parts.append(np.where(some, np.int32(separator), np.int32(0)))
        tokens = left_packed(np.concatenate(parts, axis=1))
        self.width = tokens.shape[1]
        self.register_buffer("tokens", _int32(tokens), persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to int32 `[n, longest]`, at most `width` wide."""
        return cut_padding(functional.embedding(items, self.tokens))


def check_text(brick: str, content: Content) -> None:
    """Refuses a catalogue without words.

    Raises:
        UsageError: No column has a token.
    """
    if not content.columns:
        raise UsageError(
            f"{brick} needs the items' text, and no item has a word",
            fix="use a representation with text, and check the dataset's text columns",
        )


def left_packed(tokens: np.ndarray) -> np.ndarray:
    """Each row's tokens `[n, s]` at its left, in their order; as wide as the longest, at least 1.

    >>> left_packed(np.array([[0, 7, 0, 5], [0, 0, 0, 0]]))
    array([[7, 5],
           [0, 0]])
    """
    there = tokens > 0
    place = there.cumsum(axis=1) - 1
    packed = np.zeros((len(tokens), max(1, int(place.max(initial=0)) + 1)), dtype=tokens.dtype)
    rows, _ = np.nonzero(there)
    packed[rows, place[there]] = tokens[there]
    return packed


def cut_padding(tokens: Tensor) -> Tensor:
    """Without the columns at the end that hold padding alone; one column is left at least."""
    there = (tokens != 0).any(0).nonzero()
    return tokens[:, : int(there[-1]) + 1 if len(there) else 1]


def _int32(tokens: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(tokens, dtype=np.int32))
