"""A BERT encoder of any size: bidirectional, post-norm, learned positions, GELU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.bricks import check_heads
from tastebench.recommenders.ctr.layers import AdditiveAttention, SelfAttention
from tastebench.recommenders.seqrec.transformer import EPSILON, INIT_STD
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.item_operators import TransformerConfig
    from tastebench.recommenders.ctr.user_operators import UserTransformerConfig


class Positions(nn.Module):
    """Adds a learned vector for each position, normalises and drops: `Dropout(LN(x + P))`.

    Args:
        width: Of the vectors.
        length: Number of positions.
        dropout: After the norm.
    """

    def __init__(self, width: int, length: int, dropout: float) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(length, width))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.table, std=INIT_STD)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """`[n, s, width]` to the same.

        Args:
            x: What is read, `s` at most `length`.
            positions: Position of each place, int64 `[n, s]`; None counts from the left.
        """
        added = self.table[: x.shape[1]] if positions is None else self.table[positions]
        placed: Tensor = self.dropout(self.norm(x + added))
        return placed


class FeedForward(nn.Module):
    """Two dense layers with a GELU between, added to their input and normalised."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., width]` to the same."""
        normed: Tensor = self.norm(x + self.dropout(self.down(functional.gelu(self.up(x)))))
        return normed


class BertBlock(nn.Module):
    """Self-attention and feed-forward, each added to its input and normalised."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(width, width, heads, bias=True, dropout=dropout)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, width]` and `[n, s]` to `[n, s, width]`."""
        x = self.norm(x + self.dropout(self.out(self.attention(x, mask))))
        fed: Tensor = self.feed_forward(x)
        return fed


class BertEncoder(nn.Module):
    """Vectors to states that have seen each other; padding is seen by none.

    Args:
        width: Of vectors and states.
        length: Longest sequence.
        layers: Blocks.
        heads: Attention heads; they divide `width`.
        inner: Width inside the feed-forward part.
        dropout: After embedding, attention and feed-forward, and of the attention weights.
    """

    def __init__(
        self, width: int, length: int, *, layers: int, heads: int, inner: int, dropout: float
    ) -> None:
        super().__init__()
        self.positions = Positions(width, length, dropout)
        self.blocks = nn.ModuleList(BertBlock(width, heads, inner, dropout) for _ in range(layers))
        self.apply(bert_weights)

    def forward(self, x: Tensor, mask: Tensor, positions: Tensor | None = None) -> Tensor:
        """`[n, s, width]` and `[n, s]` to `[n, s, width]`; states at masked places mean nothing."""
        states: Tensor = self.positions(x.masked_fill(~mask[..., None], 0.0), positions)
        for block in self.blocks:
            states = block(states, mask)
        return states


class PooledTransformer(nn.Module):
    """A BERT encoder, a dense layer and additive attention; zero where there is nothing to read.

    Args:
        brick: Whose it is, for messages.
        settings: Its size.
        inputs: Width of the vectors it reads, and of its states.
        outputs: Width of the vector it makes.
        length: Longest sequence.
    """

    def __init__(
        self,
        brick: str,
        settings: TransformerConfig | UserTransformerConfig,
        inputs: int,
        outputs: int,
        length: int,
    ) -> None:
        super().__init__()
        check_heads(brick, inputs, settings.heads)
        self.encoder = BertEncoder(
            inputs,
            length,
            layers=settings.layers,
            heads=settings.heads,
            inner=settings.inner_factor * inputs,
            dropout=settings.dropout,
        )
        self.out = nn.Linear(inputs, outputs)
        self.pool = AdditiveAttention(outputs, settings.query_size or outputs)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, inputs]` and `[n, s]` to `[n, outputs]`."""
        pooled: Tensor = self.pool(self.out(self.encoder(x, mask)), mask)
        return pooled


def bert_weights(module: nn.Module) -> None:
    """Dense layers begin as BERT's: weights of standard deviation 0.02, no bias yet."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=INIT_STD)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
