"""From an encoder's states to soft tokens of a language model.

An adapter has two parts. What needs no training (`summarise`) is done once for a user, as the
encoder is frozen; what is trained (`forward`) makes the tokens from that. `kept` is how many
vectors the first part leaves of a user, None where as many as there are items.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.transformer import INIT_STD, linear

ROUNDS = 10
"""Of k-means."""


class MeanPool(nn.Module):
    """One token: the projected mean of the states, `P(mean_t h_t)`.

    Args:
        width: Of states.
        model_width: Of the language model's embeddings.
    """

    n_tokens = 1
    kept: int | None = 1

    def __init__(self, width: int, model_width: int) -> None:
        super().__init__()
        self.project = linear(width, model_width)

    def summarise(self, states: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """States `[b, l, w]` of which some are real `[b, l]` to their mean `[b, 1, w]`."""
        kept = states * real[:, :, None]
        mean = kept.sum(dim=1) / real.sum(dim=1, keepdim=True)
        return mean[:, None], real[:, :1]

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """`[b, 1, w]` to soft tokens `[b, 1, model_width]`."""
        tokens: Tensor = self.project(vectors)
        return tokens


class KMeansTokens(nn.Module):
    """Several tokens: projected centres of the states' clusters, those of older items first.

    Clusters begin at states that are spread evenly over the history, so that nothing is drawn, and
    are moved `ROUNDS` times. A cluster that loses all its states keeps its centre; a history of
    fewer items than tokens repeats some.

    Args:
        width: Of states.
        model_width: Of the language model's embeddings.
        n_tokens: How many.
    """

    def __init__(self, width: int, model_width: int, n_tokens: int) -> None:
        super().__init__()
        self.n_tokens = n_tokens
        self.kept: int | None = n_tokens
        self.project = linear(width, model_width)

    def summarise(self, states: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """States `[b, l, w]` of which the first are real `[b, l]` to centres `[b, n_tokens, w]`."""
        lengths = real.sum(dim=1)
        share = (torch.arange(self.n_tokens, device=states.device) + 0.5) / self.n_tokens
        begin = (share * lengths[:, None]).long()
        centres = states.take_along_dim(begin[:, :, None], dim=1)
        for _ in range(ROUNDS):
            nearest = torch.cdist(states, centres).argmin(dim=2)
            member = functional.one_hot(nearest, self.n_tokens).to(states.dtype)
            member = member * real[:, :, None]
            size = member.sum(dim=1)[:, :, None]
            moved = member.mT @ states / size.clamp(min=1)
            centres = torch.where(size > 0, moved, centres)
        return centres, real.new_ones(centres.shape[:2])

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """`[b, n_tokens, w]` to soft tokens `[b, n_tokens, model_width]`."""
        tokens: Tensor = self.project(vectors)
        return tokens


class QFormer(nn.Module):
    """Several tokens: learned queries that look at each other and at the states.

        q += SelfAttention(LN q);  q += CrossAttention(LN q, h);  q += W2 gelu(W1 LN q)
        tokens = P LN(q)

    In the manner of BLIP-2's (Li et al., ICML 2023); that of UQABench is not published. Attention
    weights are computed in float32 whatever the rest is.

    Args:
        width: Of states.
        model_width: Of the language model's embeddings.
        n_tokens: Queries.
        blocks: How often.
        heads: Of attention; divides `width`.

    Raises:
        UsageError: The heads do not divide the width.
    """

    def __init__(
        self, width: int, model_width: int, n_tokens: int, *, blocks: int, heads: int
    ) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(
                f"a q-former of {heads} heads does not go with states {width} wide",
                fix="q_former_heads: a number that divides the encoder's width",
            )
        self.n_tokens = n_tokens
        self.kept: int | None = None
        self.queries = nn.Parameter(torch.empty(n_tokens, width))
        self.norm_states = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(_QFormerBlock(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.project = linear(width, model_width)
        nn.init.normal_(self.queries, std=INIT_STD)

    def summarise(self, states: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """The states as they are: which of them matter is learned."""
        return states, real

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """States `[b, l, w]` of which some are real `[b, l]` to tokens `[b, n_tokens, ...]`."""
        states = self.norm_states(vectors)
        queries = self.queries.expand(len(states), -1, -1)
        for block in self.blocks:
            queries = block(queries, states, real)
        tokens: Tensor = self.project(self.norm(queries))
        return tokens


class _QFormerBlock(nn.Module):
    """Self-attention, cross-attention and a feed-forward part, each on the norm of its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.own_norm, self.own = nn.LayerNorm(width), _Attention(width, heads)
        self.cross_norm, self.cross = nn.LayerNorm(width), _Attention(width, heads)
        self.feed_norm = nn.LayerNorm(width)
        self.up, self.down = linear(width, 4 * width), linear(4 * width, width)

    def forward(self, queries: Tensor, states: Tensor, real: Tensor) -> Tensor:
        """`[b, n_tokens, w]` to the same."""
        normed = self.own_norm(queries)
        queries = queries + self.own(normed, normed, None)
        queries = queries + self.cross(self.cross_norm(queries), states, real)
        fed: Tensor = queries + self.down(functional.gelu(self.up(self.feed_norm(queries))))
        return fed


class _Attention(nn.Module):
    """Softmax attention whose weights are float32 in autocast, too."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, seen: Tensor, real: Tensor | None) -> Tensor:
        """`[b, n, w]` looking at `[b, l, w]` where it is real, `[b, l]`: `[b, n, w]`."""
        heads = (self.heads, -1)
        q, k, v = (
            part.unflatten(-1, heads).transpose(1, 2)
            for part in (self.query(x), self.key(seen), self.value(seen))
        )
        with torch.autocast(x.device.type, enabled=False):
            scores = q.float() @ k.float().mT / q.shape[-1] ** 0.5
            if real is not None:
                scores = scores.masked_fill(~real[:, None, None, :], float("-inf"))
            mixed = (scores.softmax(dim=-1) @ v.float()).to(x.dtype)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out
