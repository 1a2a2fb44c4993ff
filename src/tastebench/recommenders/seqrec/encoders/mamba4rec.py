"""Mamba4Rec's block: a selective state space, then a feed-forward part, each normalised."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.seqrec.encoders.mamba import causal_convolution, convolve, first_steps
from tastebench.recommenders.seqrec.encoders.scan import selective_scan
from tastebench.recommenders.seqrec.transformer import linear
from tastebench.training.dropout import Dropout

EPSILON = 1e-12  # of the layer norms, as in BERT


class Mamba4Rec(nn.Module):
    """Dropout and norm of the embeddings, then blocks of mixer and feed-forward part.

        h = LN(Drop(x));  a = LN(Drop(Mixer(h)) [+ h]);  h' = LN(a + Drop(W2 Drop(gelu(W1 a))))

    Liu et al., Mamba4Rec, 2024 (arXiv:2403.03900): the mixer's input is added only where blocks are
    stacked.

    Args:
        width: Of embeddings and states.
        layers: Blocks.
        state: Size of the state per coordinate.
        expand: Inner width of the mixer over `width`.
        kernel: Positions that the convolution before the recurrence sees.
        dropout: Everywhere.
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        state: int = 32,
        expand: int = 2,
        kernel: int = 4,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.norm = nn.LayerNorm(width, EPSILON)
        self.blocks = nn.ModuleList(
            _Block(width, MambaMixer(width, state, expand, kernel), dropout, residual=layers > 1)
            for _ in range(layers)
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`."""
        states: Tensor = self.norm(self.dropout(embeddings))
        for block in self.blocks:
            states = block(states)
        return states


class _Block(nn.Module):
    """Mixer and feed-forward part."""

    def __init__(self, width: int, mixer: MambaMixer, dropout: float, *, residual: bool) -> None:
        super().__init__()
        self.mixer, self.residual = mixer, residual
        self.mixer_norm = nn.LayerNorm(width, EPSILON)
        self.up = linear(width, 4 * width)
        self.down = linear(4 * width, width)
        self.output_norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, l, width]` to the same."""
        mixed = self.dropout(self.mixer(x))
        x = self.mixer_norm(mixed + x if self.residual else mixed)
        inner = self.dropout(functional.gelu(self.up(x)))
        normed: Tensor = self.output_norm(x + self.dropout(self.down(inner)))
        return normed


class MambaMixer(nn.Module):
    """The first Mamba: every coordinate has a state, and every entry of it a decay of its own.

        x, z = split(W_in n);  x = silu(causal depthwise convolution of x)
        dt, B, C = split(W_x x);  dt = softplus(W_dt dt + bias)
        h_t = exp(dt_t A) h_(t-1) + dt_t B_t x_t;  y_t = <C_t, h_t> + D x_t
        out = W_out (y * silu(z)),  A = -exp(log A), which begins as -1 .. -state

    Gu and Dao, Mamba: Linear-Time Sequence Modeling with Selective State Spaces, COLM 2024.
    """

    def __init__(self, width: int, state: int, expand: int, kernel: int) -> None:
        super().__init__()
        inner, rank = expand * width, math.ceil(width / 16)
        self.inner, self.parts = inner, [rank, state, state]
        self.into = nn.Linear(width, 2 * inner, bias=False)
        self.mix = causal_convolution(inner, kernel)
        self.select = nn.Linear(inner, rank + 2 * state, bias=False)
        self.step = nn.Linear(rank, inner)
        self.log_decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(inner, 1))
        self.skip = nn.Parameter(torch.ones(inner))
        self.out = nn.Linear(inner, width, bias=False)
        nn.init.uniform_(self.step.weight, -(rank**-0.5), rank**-0.5)
        with torch.no_grad():
            self.step.bias.copy_(first_steps(inner))

    def forward(self, x: Tensor) -> Tensor:
        """`[b, l, width]` to the same."""
        x, z = self.into(x).chunk(2, dim=-1)
        x = convolve(self.mix, x)
        step, B, C = torch.split(self.select(x), self.parts, dim=-1)
        step = functional.softplus(self.step(step).float())
        y = selective_scan(x, step, -self.log_decay.exp(), B, C)
        out: Tensor = self.out((y + self.skip * x) * functional.silu(z))
        return out
