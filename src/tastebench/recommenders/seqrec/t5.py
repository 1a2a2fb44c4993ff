"""T5's layers: RMS norm before each part, no biases, relative positions in buckets.

As T5 was published (Raffel et al., JMLR 2020): the inner products of attention are not scaled, for
the weights begin small enough; one table of relative positions serves all layers of a stack.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.seqrec.attention import Mask, attend
from tastebench.training.dropout import Dropout

EPSILON = 1e-6
BUCKETS, FARTHEST = 32, 128


class RelativePositions(nn.Module):
    """A learned number for every head and bucket of distance, added to attention's scores.

    Half of the buckets are single distances, the others grow by a constant factor up to
    `FARTHEST`; beyond that all is one bucket. Looking both ways, each direction has half of them.
    """

    def __init__(self, heads: int, *, both_ways: bool, std: float) -> None:
        super().__init__()
        self.both_ways = both_ways
        self.table = nn.Parameter(torch.empty(BUCKETS, heads))
        nn.init.normal_(self.table, std=std)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Places int64 `[q]` and `[k]` to numbers `[heads, q, k]`."""
        ahead = keys - queries[:, None]
        return self.table[bucket(ahead, self.both_ways)].permute(2, 0, 1)

    def between(self, queries: slice, keys: int) -> Tensor:
        """The same of a stretch of places and of places `0 .. keys - 1`, one after the other.

        A distance is looked up once, not wherever it occurs: row `i` is what row `i + 1` holds, one
        place further.
        """
        ahead = torch.arange(1 - queries.stop, keys - queries.start, device=self.table.device)
        # A head's numbers lie side by side, or adding them to its scores takes twice as long.
        numbers = self.table[bucket(ahead, self.both_ways)].T.contiguous()
        return numbers.unfold(1, keys, 1).flip(1)


def bucket(ahead: Tensor, both_ways: bool) -> Tensor:
    """The bucket of how far a key is ahead of its query, int64 of the same shape.

    Looking one way, whatever lies ahead falls into the bucket of the query itself.

    >>> bucket(torch.tensor([0, -1, -15, -16, -17, -127, -900]), False).tolist()
    [0, 1, 15, 16, 16, 31, 31]
    >>> bucket(torch.tensor([-1, 0, 1, 900]), True).tolist()
    [1, 0, 17, 31]
    """
    buckets = BUCKETS // 2 if both_ways else BUCKETS
    side = (ahead > 0) * buckets if both_ways else torch.zeros_like(ahead)
    distance = ahead.abs() if both_ways else (-ahead).clamp(min=0)
    single = buckets // 2
    growth = torch.log(distance.clamp(min=1) / single) / math.log(FARTHEST / single)
    far = single + (growth * (buckets - single)).long()
    return side + torch.where(distance < single, distance, far.clamp(max=buckets - 1))


class Attention(nn.Module):
    """Heads of a width of their own, without biases."""

    def __init__(self, hidden: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.shape = (heads, head_size)
        inner = heads * head_size
        self.q = _linear(hidden, inner, (hidden * head_size) ** -0.5)
        self.kv = _linear(hidden, 2 * inner, hidden**-0.5)
        self.out = _linear(inner, hidden, inner**-0.5)

    def queries(self, x: Tensor) -> Tensor:
        """`[b, t, hidden]` to `[b, t, heads, head_size]`."""
        q: Tensor = self.q(x)
        return q.view(*x.shape[:2], *self.shape)

    def keys_values(self, x: Tensor) -> Tensor:
        """`[b, t, hidden]` to `[b, t, 2, heads, head_size]`."""
        kv: Tensor = self.kv(x)
        return kv.view(*x.shape[:2], 2, *self.shape)

    def mix(self, q: Tensor, keys: Tensor, values: Tensor, mask: Mask) -> Tensor:
        """Attention of queries to keys, `[b, t, hidden]`.

        Args:
            q: `[b, t, heads, head_size]`.
            keys: `[b, heads, s, head_size]`.
            values: The same.
            mask: Added to the scores, or what may be seen; fits `[b, heads, t, s]`, or says so of
                a block of queries.
        """
        out: Tensor = self.out(attend(q, keys, values, mask, scale=1.0))
        return out


def heads_first(keys_values: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values as `Attention.mix` wants them, `[b, heads, s, head_size]` each."""
    keys, values = keys_values.unbind(2)
    return keys.transpose(1, 2), values.transpose(1, 2)


class FeedForward(nn.Module):
    """ReLU between two layers."""

    def __init__(self, hidden: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.up = _linear(hidden, inner, hidden**-0.5)
        self.down = _linear(inner, hidden, inner**-0.5)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., hidden]` to the same."""
        out: Tensor = self.down(self.dropout(functional.relu(self.up(x))))
        return out


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each of its normalised input and added to it."""

    def __init__(self, hidden: int, heads: int, head_size: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(hidden, EPSILON)
        self.attention = Attention(hidden, heads, head_size)
        self.inner_norm = nn.RMSNorm(hidden, EPSILON)
        self.inner = FeedForward(hidden, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Mask) -> Tensor:
        """`[b, t, hidden]` to the same; `mask` is added to the scores, see `Attention.mix`."""
        normed = self.attention_norm(x)
        q, kv = self.attention.queries(normed), heads_first(self.attention.keys_values(normed))
        x = x + self.dropout(self.attention.mix(q, *kv, mask))
        finished: Tensor = x + self.dropout(self.inner(self.inner_norm(x)))
        return finished


class DecoderLayer(nn.Module):
    """Self-attention, attention to what the encoder made, and feed-forward."""

    def __init__(self, hidden: int, heads: int, head_size: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(hidden, EPSILON)
        self.attention = Attention(hidden, heads, head_size)
        self.cross_norm = nn.RMSNorm(hidden, EPSILON)
        self.cross = Attention(hidden, heads, head_size)
        self.inner_norm = nn.RMSNorm(hidden, EPSILON)
        self.inner = FeedForward(hidden, inner, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, encoded: Tensor, seen: Mask) -> Tensor:
        """Items being written, `[b, m, width, hidden]`, to the same.

        Args:
            x: `m` items a row; each sees only itself.
            mask: Added to the scores within an item, `[heads, width, width]`.
            encoded: `[b, t, hidden]`.
            seen: Which of `encoded` each code may see, bool, fits `[b, 1, m * width, t]`, or says
                so of a block of codes; None for all.
        """
        each = x.flatten(0, 1)
        normed = self.attention_norm(each)
        q, kv = self.attention.queries(normed), heads_first(self.attention.keys_values(normed))
        each = each + self.dropout(self.attention.mix(q, *kv, mask))
        rows = each.view(x.shape).flatten(1, 2)
        q = self.cross.queries(self.cross_norm(rows))
        kv = heads_first(self.cross.keys_values(encoded))
        rows = rows + self.dropout(self.cross.mix(q, *kv, seen))
        finished: Tensor = rows + self.dropout(self.inner(self.inner_norm(rows)))
        return finished.view(x.shape)


def _linear(inputs: int, outputs: int, std: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=std)
    return layer
