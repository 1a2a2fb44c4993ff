"""Fastformer over an item's words."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.fastformer import PooledFastformer
from tastebench.recommenders.ctr.item_operators import FastformerConfig
from tastebench.recommenders.ctr.item_operators.words import Sequence, Words


class Fastformer(nn.Module):
    """Words of all columns as one sequence with positions, Fastformer blocks, additive attention.

    Positions count tokens, not places, so a short column leaves no gap before the next.
    """

    def __init__(self, config: FastformerConfig, content: Content, width: int) -> None:
        super().__init__()
        size = config.embedding_size or width
        separator = content.vocabulary if config.separators else None
        self.sequence = Sequence("fastformer", content, separator)
        self.words = Words(content.vocabulary + config.separators, size, config.init_std)
        self.encoder = PooledFastformer("fastformer", config, size, width, self.sequence.width)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        tokens = self.sequence(items)
        vectors: Tensor = self.encoder(self.words(tokens), tokens != 0)
        return vectors
