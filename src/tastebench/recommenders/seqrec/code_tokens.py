"""Semantic ids as tokens: what codes are read by, what they are written by, and the loss."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class CodeTokens(nn.Module):
    """The codes of all items as tokens of one vocabulary, and an embedding for each token.

    A code `c` of level `l` is the token `sizes[0] + ... + sizes[l - 1] + c`; then comes the token
    that begins every sequence and, where some paths are shorter than others, the one that stands
    in for the codes they lack. Every item has as many tokens, so a token's place says its level.

    Args:
        codes: Integers `[n_items, width]`, -1 after the end of a shorter path, such as a
            `tastebench.items.trie.Trie` can be made of.
        hidden: Width of the embeddings.
        std: Standard deviation that they begin with.

    Attributes:
        sizes: Codes of each level that occur, counted up to the highest.
        codes: The codes themselves, int64 `[n_items, width]`; -1 where an item has none.
    """

    codes: Tensor
    _of_item: Tensor

    def __init__(self, codes: np.ndarray, hidden: int, std: float) -> None:
        super().__init__()
        # At least one, as a trie has it, though nobody has a code of that level.
        self.sizes = tuple(int(size) for size in np.maximum(codes.max(axis=0), 0) + 1)
        self.offsets = tuple(int(begin) for begin in np.cumsum((0, *self.sizes)))
        self.start = self.offsets[-1]
        short = bool((codes < 0).any())
        of_item = np.where(codes < 0, self.start + 1, codes + np.array(self.offsets[:-1]))
        # They come with the items, and are no part of what is learned.
        self.register_buffer("codes", torch.from_numpy(codes.astype(np.int64)), persistent=False)
        self.register_buffer("_of_item", torch.from_numpy(of_item), persistent=False)
        self.table = nn.Parameter(torch.empty(self.start + 1 + short, hidden))
        nn.init.normal_(self.table, std=std)

    @property
    def width(self) -> int:
        """Tokens of an item."""
        return len(self.sizes)

    def spell(self, items: Tensor) -> Tensor:
        """Items int64 `[b, n]` to the start and their tokens, int64 `[b, 1 + n * width]`."""
        tokens = self._of_item[items].flatten(1)
        return functional.pad(tokens, (1, 0), value=self.start)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embeddings of tokens, one axis more."""
        return functional.embedding(tokens, self.table)

    def chosen(self, level: int, codes: Tensor) -> Tensor:
        """Embeddings of codes of one level."""
        return self.forward(self.offsets[level] + codes)


class CodeHeads(nn.Module):
    """States to logits over the codes of one level.

    Args:
        tokens: The vocabulary.
        tied: Compare states with the embeddings that codes are read by; else with others.
        scale: Logits are this many times the inner products.
        std: Standard deviation that embeddings of their own begin with.
    """

    def __init__(self, tokens: CodeTokens, *, tied: bool, std: float, scale: float = 1.0) -> None:
        super().__init__()
        self.offsets, self.scale = tokens.offsets, scale
        self.table = tokens.table
        if not tied:
            self.table = nn.Parameter(torch.empty(tokens.start, tokens.table.shape[1]))
            nn.init.normal_(self.table, std=std)

    def forward(self, states: Tensor, level: int, which: slice = slice(None)) -> Tensor:
        """`[..., hidden]` to `[..., sizes[level]]`, or to those codes of the level alone."""
        codes = self.table[self.offsets[level] : self.offsets[level + 1]][which]
        return functional.linear(states * self.scale, codes)

    def loss(self, states: Tensor, codes: Tensor) -> Tensor:
        """Mean cross-entropy over all codes, each against the codes of its level.

        Args:
            states: What each code is predicted from, `[n, width, hidden]`.
            codes: int64 `[n, width]`; what is below 0 is no target.
        """
        total = states.new_zeros((), dtype=torch.float32)
        for level in range(codes.shape[1]):
            logits = self.forward(states[:, level], level).float()
            total = total + functional.cross_entropy(
                logits, codes[:, level], ignore_index=-1, reduction="sum"
            )
        return total / (codes >= 0).sum()
