"""Mamba-2: a stack of selective state spaces, as matrix products over chunks of a sequence."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.encoders.scan import linear_scan
from tastebench.training.dropout import Dropout

EPSILON = 1e-5  # of the norms
CHUNK = 64  # positions whose pairs are formed at once; what is older comes through the state
STEP = (1e-3, 1e-1)  # range of the step size that heads begin with
DECAY = (1.0, 16.0)  # range of -A that heads begin with


class Mamba2(nn.Module):
    """Mamba-2 mixers, each on the RMS norm of a residual stream; no MLP and no last norm.

        x' = x + Drop(Mixer(RMS(x) * g))

    Dao and Gu, Transformers are SSMs, ICML 2024. The residual stream is float32.

    Args:
        width: Of embeddings and states.
        layers: Mixers.
        state: Size of the state per coordinate, shared by a head's coordinates.
        head_width: Coordinates of a head; divides `expand * width`.
        expand: Inner width over `width`.
        kernel: Positions that the convolution before the recurrence sees.
        dropout: Of what a mixer adds; the published stack has none.

    Raises:
        UsageError: `head_width` does not divide the inner width.
    """

    def __init__(
        self,
        width: int,
        *,
        layers: int,
        state: int = 128,
        head_width: int = 64,
        expand: int = 2,
        kernel: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if expand * width % head_width:
            raise UsageError(
                f"head_width={head_width} does not divide an inner width of {expand} * {width}"
            )
        self.norms = nn.ModuleList(nn.RMSNorm(width, EPSILON) for _ in range(layers))
        self.mixers = nn.ModuleList(
            Mamba2Mixer(width, state, head_width, expand, kernel) for _ in range(layers)
        )
        self.dropout = Dropout(dropout)
        with torch.no_grad():
            for name, weight in self.mixers.named_parameters():
                # One addition a layer: the stream's variance stays that of one (GPT-2).
                if name.endswith("out.weight"):
                    weight.div_(math.sqrt(layers))

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`."""
        states = embeddings.float()
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            states = states + self.dropout(mixer(norm(states))).float()
        return states


class Mamba2Mixer(nn.Module):
    """One mixer, with one group of `B` and `C` for all heads.

        z, x, B, C, dt = split(W_in n);  (x, B, C) = silu(causal depthwise convolution)
        S_t = exp(dt_t A) S_(t-1) + dt_t B_t x_t^T;  y_t = C_t S_t + D x_t
        out = W_out (RMS(y * silu(z)) * g)

    with `dt = softplus(dt + bias)` and `A = -exp(log A)`.
    """

    def __init__(self, width: int, state: int, head_width: int, expand: int, kernel: int) -> None:
        super().__init__()
        inner = expand * width
        self.inner, self.state, self.heads = inner, state, inner // head_width
        self.into = nn.Linear(width, 2 * inner + 2 * state + self.heads, bias=False)
        self.mix = causal_convolution(inner + 2 * state, kernel)
        self.step = nn.Parameter(first_steps(self.heads))
        self.log_decay = nn.Parameter(torch.empty(self.heads).uniform_(*DECAY).log())
        self.skip = nn.Parameter(torch.ones(self.heads))
        self.norm = nn.RMSNorm(inner, EPSILON)
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, l, width]` to the same."""
        parts = [self.inner, self.inner + 2 * self.state, self.heads]
        z, mixed, step = torch.split(self.into(x), parts, dim=-1)
        mixed = convolve(self.mix, mixed)
        values, B, C = torch.split(mixed, [self.inner, self.state, self.state], dim=-1)
        heads = values.view(*values.shape[:2], self.heads, -1)
        step = functional.softplus(step.float() + self.step)
        y = state_space(heads, step, -self.log_decay.exp(), B, C)
        y = (y + self.skip[:, None] * heads).flatten(2)
        out: Tensor = self.out(self.norm(y * functional.silu(z)))
        return out


def state_space(
    x: Tensor, step: Tensor, decay: Tensor, B: Tensor, C: Tensor, chunk: int = CHUNK
) -> Tensor:
    """`y_t = C_t S_t` with `S_t = exp(step_t decay) S_(t-1) + step_t B_t x_t^T`, for all `t`.

    Inside a chunk every pair of positions is formed, as in attention; what is older reaches it
    through the state at the chunk's beginning, and these states are a `linear_scan` over chunks.

    Args:
        x: `[b, l, heads, p]`.
        step: Positive, `[b, l, heads]`.
        decay: Negative, `[heads]`.
        B: `[b, l, n]`.
        C: `[b, l, n]`.
        chunk: Positions in a chunk; changes the cost and nothing else.

    Returns:
        `[b, l, heads, p]`.
    """
    length = x.shape[1]
    chunk = min(chunk, length)
    # Positions with a step of zero neither decay nor add.
    x, step, B, C = (_in_chunks(t, chunk) for t in (x, step, B, C))
    log = (step * decay).cumsum(dim=2).movedim(-1, 2)  # [b, c, heads, k]
    x = (x * step[..., None]).movedim(3, 2)  # [b, c, heads, k, p]
    B, C = B[:, :, None], C[:, :, None]

    pairs = log[..., :, None] - log[..., None, :]
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    weights = pairs.masked_fill(future, float("-inf")).exp() * (C @ B.mT)
    y = weights @ x
    if x.shape[1] > 1:
        left = (log[..., -1:] - log).exp()  # what is left of each position at the chunk's end
        added = B.mT @ (x * left[..., None])  # [b, c, heads, n, p]
        ends = linear_scan(log[..., -1:, None].exp(), added)
        before = functional.pad(ends[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
        y = y + (C @ before) * log.exp()[..., None]
    joined: Tensor = y.movedim(2, 3).flatten(1, 2)[:, :length]
    return joined


def _in_chunks(t: Tensor, chunk: int) -> Tensor:
    """`[b, l, ...]` to `[b, chunks, chunk, ...]`, zeros behind."""
    missing = -t.shape[1] % chunk
    if missing:
        t = functional.pad(t, (0, 0) * (t.ndim - 2) + (0, missing))
    return t.reshape(len(t), -1, chunk, *t.shape[2:])


def causal_convolution(channels: int, kernel: int) -> nn.Conv1d:
    """One filter a channel over a position and the `kernel - 1` before it."""
    return nn.Conv1d(channels, channels, kernel, groups=channels)


def convolve(mix: nn.Conv1d, x: Tensor) -> Tensor:
    """`silu` of the convolution at every position, `[b, l, channels]`, zeros before the first."""
    padded = functional.pad(x.transpose(1, 2), (mix.kernel_size[0] - 1, 0))
    return functional.silu(mix(padded).transpose(1, 2))


def first_steps(n: int) -> Tensor:
    """Biases `[n]` whose softplus is log-uniform between 0.001 and 0.1, as Mamba begins."""
    low, high = (math.log(bound) for bound in STEP)
    step = torch.empty(n).uniform_(low, high).exp()
    return step + torch.log(-torch.expm1(-step))
