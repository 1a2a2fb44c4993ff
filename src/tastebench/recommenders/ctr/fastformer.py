"""Fastformer: additive attention whose cost is linear in the length of the sequence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor, nn

from tastebench.recommenders.ctr.bert_encoder import FeedForward, Positions, bert_weights
from tastebench.recommenders.ctr.bricks import check_heads
from tastebench.recommenders.ctr.layers import AdditiveAttention, masked_softmax
from tastebench.recommenders.seqrec.transformer import EPSILON
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.item_operators import FastformerConfig
    from tastebench.recommenders.ctr.user_operators import UserFastformerConfig


class FastAttention(nn.Module):
    """Every place meets one global query and one global key instead of all other places.

        alpha = softmax_i(w_a q_i / sqrt(d)),  Q = sum_i alpha_i q_i,  p_i = k_i * Q
        beta  = softmax_i(w_b p_i / sqrt(d)),  K = sum_i beta_i p_i
        out_i = W_t (K * q_i) + q_i

    by head, with `d` the width of a head; products `*` are by element. As in the authors' code
    values share the projection of queries, and a head's weight looks at the queries of all heads.

    Args:
        width: Of the vectors, a multiple of `heads`.
        heads: Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        # A bias here would shift all scores of a softmax alike: no effect, and no gradient.
        self.query_weight = nn.Linear(width, heads, bias=False)
        self.key_weight = nn.Linear(width, heads, bias=False)
        self.transform = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, width]` and `[n, s]` to `[n, s, width]`."""
        q, k = self.query(x), self.key(x)
        p = k * self._pool(q, self.query_weight(q), mask)
        mixed: Tensor = self.transform(q * self._pool(p, self.key_weight(p), mask)) + q
        return mixed

    def _pool(self, x: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
        """Each head's weighted sum of its part of `x`, `[n, 1, width]`."""
        n, s, width = x.shape
        size = width // self.heads
        weights = masked_softmax(scores / math.sqrt(size), mask[..., None], dim=1)
        by_head = x.view(n, s, self.heads, size)
        return (by_head * weights[..., None]).sum(1).view(n, 1, width)


class FastBlock(nn.Module):
    """Fast attention and feed-forward, each added to its input and normalised, as in BERT."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = FastAttention(width, heads)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, width]` and `[n, s]` to `[n, s, width]`."""
        x = self.norm(x + self.dropout(self.out(self.attention(x, mask))))
        fed: Tensor = self.feed_forward(x)
        return fed


class PooledFastformer(nn.Module):
    """Fastformer blocks, additive attention and a dense layer; zero where there is nothing to read.

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
        settings: FastformerConfig | UserFastformerConfig,
        inputs: int,
        outputs: int,
        length: int,
    ) -> None:
        super().__init__()
        check_heads(brick, inputs, settings.heads)
        self.positions = Positions(inputs, length, settings.dropout)
        inner = settings.inner_factor * inputs
        self.blocks = nn.ModuleList(
            FastBlock(inputs, settings.heads, inner, settings.dropout)
            for _ in range(settings.layers)
        )
        self.pool = AdditiveAttention(inputs, inputs)
        self.out = nn.Linear(inputs, outputs)
        self.apply(bert_weights)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, inputs]` and `[n, s]` to `[n, outputs]`."""
        states: Tensor = self.positions(x.masked_fill(~mask[..., None], 0.0))
        for block in self.blocks:
            states = block(states, mask)
        made: Tensor = self.out(self.pool(states, mask))
        return made.masked_fill(~mask.any(-1, keepdim=True), 0.0)
