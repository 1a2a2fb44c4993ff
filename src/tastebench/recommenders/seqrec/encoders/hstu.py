"""HSTU: attention without softmax, gated, with learned biases for distance and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.attention import over_queries, written_down
from tastebench.recommenders.seqrec.encoders.transformer import check_length
from tastebench.recommenders.seqrec.transformer import INIT_STD
from tastebench.training.dropout import Dropout

EPSILON = 1e-6  # of the norms
TIME_BUCKETS = 128  # beside the first, of no time
BUCKET = 0.301  # natural logarithms of seconds in one bucket

Bias = Literal["none", "position", "position+time", "reference"]


class HSTU(nn.Module):
    """Hierarchical sequential transduction units.

        U, V, Q, K = split(silu(LN(x) W))
        A_ij = silu(<q_i, k_j> + bias_ij) / n_i  for j <= i, else 0
        x' = Wo Drop(U * LN(A V)) + bo + x

    Zhai et al., Actions Speak Louder than Words, ICML 2024. Norms have no parameters, and none
    comes last. `bias_ij` is learned for every distance `i - j` and, where asked for, for the
    logarithm of the time between the two.

    `n_i` is the number of embeddings that position `i` sees. Public code divides by the width to
    which all is padded, which is no property of a sequence: the norm over `A V` undoes any such
    factor but for its epsilon, in which short histories then drown.

    `bias="reference"` is the network of UQABench's code at a fixed padded width: `n_i` is `length`;
    units hold biases for distances, those of the masked half too, and for times, but add them only
    to sequences whose times are given. Without times nothing but the mask tells it an order.

    Args:
        width: Of embeddings and states.
        length: Longest sequence.
        layers: Units.
        heads: Attention heads.
        key_width: Of a head's queries and keys.
        value_width: Of a head's values and gates.
        dropout: Of the gated values.
        bias: What is added to scores.
    """

    def __init__(
        self,
        width: int,
        length: int,
        *,
        layers: int,
        heads: int,
        key_width: int,
        value_width: int,
        dropout: float,
        bias: Bias = "position",
    ) -> None:
        super().__init__()
        self.length, self.bias, self.heads = length, bias, heads
        distances = {"none": 0, "reference": 2 * length - 1}.get(bias, length)
        gaps = TIME_BUCKETS + 1 if bias in ("position+time", "reference") else 0
        inner = heads * value_width, heads * key_width
        self.units = nn.ModuleList(
            _Unit(width, heads, inner, dropout, (distances, gaps)) for _ in range(layers)
        )

    def forward(self, embeddings: Tensor, times: Tensor | None = None) -> Tensor:
        """States of the last unit.

        Args:
            embeddings: `[b, l, width]`, `l` at most `length`.
            times: In seconds, `[b, l]`; read only where times have a bias.

        Returns:
            `[b, l, width]`.

        Raises:
            UsageError: The sequences are too long, or times are missing.
        """
        check_length(embeddings, self.length)
        if times is None and self.bias == "position+time":
            raise UsageError("an HSTU with a bias for times was given sequences without times")
        b, length = embeddings.shape[:2]
        n_pairs = b * self.heads * length * length

        def of(part: slice) -> _Pairs:
            return self._pairs(length, part, embeddings.device, times)

        # Made once for all units, where all of it may exist.
        pairs = of(slice(0, length)) if written_down(n_pairs) else of
        states = embeddings
        for unit in self.units:
            states = unit(states, pairs, n_pairs)
        return states

    def _pairs(
        self, length: int, part: slice, device: torch.device, times: Tensor | None
    ) -> _Pairs:
        """What is the same for all units of these positions and every position."""
        position = torch.arange(length, device=device)
        distance = position[part, None] - position
        seen = distance >= 0
        if self.bias == "reference":
            share = seen / self.length
            if times is None:
                return _Pairs(share, None, None)
            return _Pairs(share, distance + self.length - 1, buckets(times, part))
        share = seen / seen.sum(dim=1, keepdim=True)
        if self.bias == "none":
            return _Pairs(share, None, None)
        gap = None if times is None or self.bias == "position" else buckets(times, part)
        return _Pairs(share, distance.clamp(min=0), gap)


class _Pairs(NamedTuple):
    """Of some positions `n` and all that they may look at.

    Attributes:
        share: `1 / n_i`, or 0 where masked, `[n, l]`.
        distance, gap: Where the biases of distance and time stand, `[n, l]` and `[b, n, l]`; None
            where none is added.
    """

    share: Tensor
    distance: Tensor | None
    gap: Tensor | None


def buckets(times: Tensor, part: slice = slice(None)) -> Tensor:
    """The bucket of the time between positions `part` and all positions, int64 `[b, n, l]`.

    `floor(ln(max(|t_i - t_j|, 1)) / 0.301)`, at most 128. Both are times of items that were seen:
    the public code counts from the item that is to be predicted, whose time nobody knows yet.
    """
    between = (times[:, part, None] - times[:, None, :]).abs().clamp(min=1)
    bucket = torch.log(between.double()).div(BUCKET).floor().long()
    return bucket.clamp(max=TIME_BUCKETS)


class _Unit(nn.Module):
    """One unit of `HSTU`.

    Args:
        width: Of embeddings and states.
        heads: Attention heads.
        inner: Widths of values and of keys, of all heads together.
        dropout: Of the gated values.
        biases: How many distances and how many times have a bias.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        inner: tuple[int, int],
        dropout: float,
        biases: tuple[int, int],
    ) -> None:
        super().__init__()
        self.heads = heads
        self.parts = [inner[0], inner[0], inner[1], inner[1]]
        self.into = nn.Parameter(torch.empty(width, sum(self.parts)))
        self.distances, self.gaps = (
            nn.Parameter(nn.init.normal_(torch.empty(n), std=INIT_STD)) if n else None
            for n in biases
        )
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(inner[0], width)
        nn.init.normal_(self.into, std=INIT_STD)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, pairs: _Pairs | Callable[[slice], _Pairs], n_pairs: int) -> Tensor:
        """`[b, l, width]` to the same; `pairs` of all positions, or of a block of them."""
        normed = functional.layer_norm(x, x.shape[-1:], eps=EPSILON)
        inner = functional.silu(normed @ self.into)
        gate, v, q, k = torch.split(inner, self.parts, dim=-1)
        v, q, k = (t.view(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in (v, q, k))
        if isinstance(pairs, _Pairs):
            mixed = self._mixed(q, k, v, pairs)
        else:
            mixed = over_queries(
                lambda part: self._mixed(q[:, :, part], k, v, pairs(part)),
                x.shape[1],
                n_pairs,
                dim=2,
            )
        mixed = mixed.transpose(1, 2).flatten(2)
        mixed = functional.layer_norm(mixed, mixed.shape[-1:], eps=EPSILON)
        added: Tensor = x + self.out(self.dropout(gate * mixed))
        return added

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, pairs: _Pairs) -> Tensor:
        """Attention without softmax, `[b, heads, n, d]`."""
        scores = q @ k.mT
        if pairs.distance is not None and self.distances is not None:
            scores = scores + self.distances[pairs.distance]
        if pairs.gap is not None and self.gaps is not None:
            scores = scores + self.gaps[pairs.gap][:, None]
        return (functional.silu(scores) * pairs.share) @ v
