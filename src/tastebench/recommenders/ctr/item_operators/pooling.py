"""The mean of an item's words: RecBench's group B."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import PoolingConfig
from tastebench.recommenders.ctr.item_operators.words import Columns, Words
from tastebench.recommenders.ctr.layers import masked_max


class Pooling(nn.Module):
    """Mean (or largest) over the tokens of each column, then columns to one vector.

    A projection follows only where widths ask for it: word embeddings of another width than the
    model's, or columns end to end. An empty column is zero, and counts in the mean of columns.
    """

    def __init__(self, config: PoolingConfig, content: Content, width: int) -> None:
        super().__init__()
        self.config = config
        self.columns = Columns("pooling", content)
        size = config.embedding_size or width
        self.words = Words(content.vocabulary, size, config.init_std)
        joined = size * len(self.columns.widths) if config.join == "concat" else size
        self.out = nn.Identity() if joined == width else nn.Linear(joined, width)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        columns = [self._pool(tokens) for tokens in self.columns(items)]
        if self.config.join == "concat":
            joined = torch.cat(columns, dim=-1)
        else:
            joined = torch.stack(columns).mean(dim=0)
        out: Tensor = self.out(joined)
        return out

    def _pool(self, tokens: Tensor) -> Tensor:
        if self.config.pool == "mean":
            return self.words.mean(tokens)
        return masked_max(self.words(tokens), tokens != 0)
