"""Users read as one long text: the words of all that was clicked, without an item operator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.recommenders.ctr.bert_encoder import PooledTransformer
from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.fastformer import PooledFastformer
from tastebench.recommenders.ctr.item_operators.words import Sequence, Words
from tastebench.recommenders.ctr.user_operators import (
    FlattenFastformerConfig,
    FlattenTransformerConfig,
)


class FlatHistory(nn.Module):
    """Clicks to one sequence of tokens: `[begin] (words [column])... [item] ...`, oldest first.

    The three tokens in brackets come after the vocabulary, and are left out together. Of a history
    with more than `length` tokens the newest are kept, `[begin]` always. Where nothing was
    clicked there is no token.

    Args:
        brick: Whose it is, for messages.
        content: The catalogue.
        separators: Whether there are tokens in brackets.
        length: Longest sequence.

    Attributes:
        vocabulary: Number of tokens, those in brackets among them.
    """

    def __init__(self, brick: str, content: Content, *, separators: bool, length: int) -> None:
        super().__init__()
        self.begin, column, self.item = (content.vocabulary + i for i in range(3))
        self.separators = separators
        self.length = length
        self.vocabulary = content.vocabulary + 3 * separators
        self.items = Sequence(brick, content, column if separators else None)

    def forward(self, clicks: Clicks) -> Tensor:
        """Items `[b, s]` to int64 tokens `[b, longest]`, 0 in the padding."""
        b, s = clicks.items.shape
        items = clicks.items.masked_fill(~clicks.mask, 0)
        tokens = self.items(items.flatten()).view(b, s, -1).long()
        tokens = tokens.masked_fill(~clicks.mask[..., None], 0)
        if not self.separators:
            return _packed(tokens.flatten(1), self.length)
        ends = clicks.mask[..., None] * self.item
        packed = _packed(torch.cat([tokens, ends], dim=-1).flatten(1), self.length - 1)
        begin = clicks.mask.any(1, keepdim=True) * self.begin
        return torch.cat([begin, packed], dim=1)


def _packed(tokens: Tensor, length: int) -> Tensor:
    """The last `length` tokens of each row `[b, s]`, at its left; 0 is no token."""
    there = tokens != 0
    count = there.sum(1, keepdim=True)
    place = there.cumsum(1) - 1 - (count - length).clamp_min(0)
    rows, columns = (there & (place >= 0)).nonzero(as_tuple=True)
    longest = int(count.max()) if len(rows) else 1
    out = tokens.new_zeros(len(tokens), min(longest, length))
    return out.index_put((rows, place[rows, columns]), tokens[rows, columns])


class FlattenTransformer(nn.Module):
    """Word embeddings with positions, BERT blocks, additive attention; the order of clicks matters.

    A user whose items have no word, and no separators, is the zero vector.
    """

    def __init__(self, config: FlattenTransformerConfig, content: Content, width: int) -> None:
        super().__init__()
        size = config.embedding_size or width
        self.history = FlatHistory(
            "flatten-transformer", content, separators=config.separators, length=config.length
        )
        self.words = Words(self.history.vocabulary, size, config.init_std)
        self.encoder = PooledTransformer("flatten-transformer", config, size, width, config.length)

    def forward(self, clicks: Clicks) -> Tensor:
        """Items `[b, s]` to `[b, width]`."""
        tokens = self.history(clicks)
        user: Tensor = self.encoder(self.words(tokens), tokens != 0)
        return user


class FlattenFastformer(nn.Module):
    """Word embeddings with positions, Fastformer blocks, additive attention; order matters.

    A user whose items have no word, and no separators, is the zero vector.
    """

    def __init__(self, config: FlattenFastformerConfig, content: Content, width: int) -> None:
        super().__init__()
        size = config.embedding_size or width
        self.history = FlatHistory(
            "flatten-fastformer", content, separators=config.separators, length=config.length
        )
        self.words = Words(self.history.vocabulary, size, config.init_std)
        self.encoder = PooledFastformer("flatten-fastformer", config, size, width, config.length)

    def forward(self, clicks: Clicks) -> Tensor:
        """Items `[b, s]` to `[b, width]`."""
        tokens = self.history(clicks)
        user: Tensor = self.encoder(self.words(tokens), tokens != 0)
        return user
