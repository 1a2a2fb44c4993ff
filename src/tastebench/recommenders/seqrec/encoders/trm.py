"""Trm++: the transformer of today's language models over items."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.encoders.transformer import attend
from tastebench.recommenders.seqrec.transformer import INIT_STD
from tastebench.training.dropout import Dropout

EPSILON = 1e-5  # of the norms
ROTARY_BASE = 10_000.0


class Trm(nn.Module):
    """RMS pre-norm, rotary positions, a SiLU-gated feed-forward part, no biases, no last norm.

        x += Drop(Wo Attention(RoPE(Wq n), RoPE(Wk n), Wv n)),  n = RMS(x) * g1
        x += Drop(W3 (silu(W2 n') * (W1 n'))),                  n' = RMS(x) * g2

    Positions are rotations of queries and keys, so sequences may have any length.

    Args:
        width: Of embeddings and states.
        layers: Layers.
        heads: Attention heads; `width / heads` is even.
        kv_heads: Heads of keys and values, shared by groups of the queries'; None is `heads`.
        dropout: Of attention weights and of what is added.

    Raises:
        UsageError: The heads do not divide the width into even parts, or their groups are unequal.
    """

    def __init__(
        self, width: int, *, layers: int, heads: int, dropout: float, kv_heads: int | None = None
    ) -> None:
        super().__init__()
        kv_heads = heads if kv_heads is None else kv_heads
        if width % (2 * heads):
            raise UsageError(
                f"{heads} heads do not divide a width of {width} into even parts, which rotary "
                "positions need"
            )
        if heads % kv_heads:
            raise UsageError(f"{kv_heads} heads of keys and values do not divide {heads} heads")
        self.head_width = width // heads
        self.layers = nn.ModuleList(_Layer(width, heads, kv_heads, dropout) for _ in range(layers))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=INIT_STD)
        for name, weight in self.named_parameters():
            # What is added 2 * layers times: its variance stays that of one addition (GPT-2).
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(weight, std=INIT_STD / math.sqrt(2 * layers))

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`."""
        turns = rotary_turns(embeddings.shape[1], self.head_width, embeddings.device)
        states = embeddings
        for layer in self.layers:
            states = layer(states, turns)
        return states


def inner_width(width: int) -> int:
    """Width inside the feed-forward part: two thirds of four times, up to a multiple of 256."""
    return 256 * math.ceil(int(8 * width / 3) / 256)


class _Layer(nn.Module):
    """One layer of `Trm`."""

    def __init__(self, width: int, heads: int, kv_heads: int, dropout: float) -> None:
        super().__init__()
        self.kv_heads, self.head_width = kv_heads, width // heads
        inner = inner_width(width)
        self.attention_norm = nn.RMSNorm(width, EPSILON)
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, kv_heads * self.head_width, bias=False)
        self.value = nn.Linear(width, kv_heads * self.head_width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_norm = nn.RMSNorm(width, EPSILON)
        self.up = nn.Linear(width, inner, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """`[b, l, width]` to the same."""
        normed = self.attention_norm(x)
        heads = (-1, self.head_width)
        q = rotate(self.query(normed).unflatten(-1, heads), turns)
        k = rotate(self.key(normed).unflatten(-1, heads), turns)
        v = self.value(normed).unflatten(-1, heads)
        mixed = attend(q, k, v, self.dropout.p if self.training else 0.0)
        x = x + self.dropout(self.out(mixed))
        normed = self.feed_norm(x)
        inner = functional.silu(self.gate(normed)) * self.up(normed)
        added: Tensor = x + self.dropout(self.down(inner))
        return added


def rotary_turns(length: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine of every position's angles, float32 `[length, 1, head_width / 2]`.

    Position `t` turns pair `i` by `t / 10000^(2 i / head_width)` (Su et al., RoFormer, 2021).
    """
    pair = torch.arange(0, head_width, 2, dtype=torch.float32, device=device)
    position = torch.arange(length, dtype=torch.float32, device=device)
    angles = position[:, None, None] * ROTARY_BASE ** (-pair / head_width)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """`[b, l, heads, d]` turned by position; coordinates `i` and `i + d/2` make a pair.

    In float32 whatever `x` is: angles of late positions do not survive bfloat16.
    """
    cos, sin = turns
    one, other = x.float().chunk(2, dim=-1)
    return torch.cat([one * cos - other * sin, other * cos + one * sin], dim=-1).to(x.dtype)
