"""HSTU: attention without softmax, gated, with learned biases for distance and time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
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
        self.length, self.bias = length, bias
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
        position = torch.arange(embeddings.shape[1], device=embeddings.device)
        distance = position[:, None] - position
        seen = distance >= 0
        n = self.length if self.bias == "reference" else seen.sum(dim=1, keepdim=True)
        rows = self._rows(distance, times)
        states = embeddings
        for unit in self.units:
            states = unit(states, seen / n, *rows)
        return states

    def _rows(self, distance: Tensor, times: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """For every pair, where the biases of distance and time stand; None where none is added."""
        if self.bias == "reference":
            return (None, None) if times is None else (distance + self.length - 1, buckets(times))
        if self.bias == "none":
            return None, None
        if self.bias == "position":
            return distance.clamp(min=0), None
        if times is None:
            raise UsageError("an HSTU with a bias for times was given sequences without times")
        return distance.clamp(min=0), buckets(times)


def buckets(times: Tensor) -> Tensor:
    """The bucket of the time between every two positions, int64 `[b, l, l]`.

    `floor(ln(max(|t_i - t_j|, 1)) / 0.301)`, at most 128. Both are times of items that were seen:
    the public code counts from the item that is to be predicted, whose time nobody knows yet.
    """
    between = (times[:, :, None] - times[:, None, :]).abs().clamp(min=1)
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

    def forward(
        self, x: Tensor, share: Tensor, distance: Tensor | None, gap: Tensor | None
    ) -> Tensor:
        """`[b, l, width]` to the same; `share` `[l, l]` is `1 / n_i`, or 0 where masked."""
        normed = functional.layer_norm(x, x.shape[-1:], eps=EPSILON)
        inner = functional.silu(normed @ self.into)
        gate, v, q, k = torch.split(inner, self.parts, dim=-1)
        v, q, k = (t.view(*t.shape[:2], self.heads, -1).transpose(1, 2) for t in (v, q, k))
        scores = q @ k.mT
        if distance is not None and self.distances is not None:
            scores = scores + self.distances[distance]
        if gap is not None and self.gaps is not None:
            scores = scores + self.gaps[gap][:, None]
        mixed = ((functional.silu(scores) * share) @ v).transpose(1, 2).flatten(2)
        mixed = functional.layer_norm(mixed, mixed.shape[-1:], eps=EPSILON)
        added: Tensor = x + self.out(self.dropout(gate * mixed))
        return added
