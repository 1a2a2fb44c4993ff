"""Layers that several bricks share. What stands at masked places never changes what they return."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Softmax over the places where `mask` is True, 0 elsewhere; zeros where nothing is True.

    Args:
        scores: Any shape; what stands at masked places may be anything.
        mask: bool, broadcastable to `scores`.
        dim: The dimension whose weights sum to one.

    >>> masked_softmax(torch.tensor([[0.0, 0.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([[0.5000, 0.5000, 0.0000]])
    """
    # The lowest finite number rather than -inf: a row of -inf alone would be NaN, forwards and
    # backwards. Beside a real score its exponential is 0 exactly, as softmax subtracts the maximum.
    low = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask, low).softmax(dim)
    return weights.masked_fill(~mask, 0.0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean of `x [..., s, h]` over the places `s` where `mask [..., s]` is True; zeros if none."""
    total = x.masked_fill(~mask[..., None], 0.0).sum(-2)
    return total / mask.sum(-1, keepdim=True).clamp_min(1)


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """Largest of `x [..., s, h]` over the places `s` where `mask [..., s]` is True; zeros if none.

    Each of the `h` dimensions has its own largest.
    """
    low = torch.finfo(x.dtype).min
    largest = x.masked_fill(~mask[..., None], low).amax(-2)
    return largest.masked_fill(~mask.any(-1, keepdim=True), 0.0)


def check_heads(brick: str, width: int, heads: int, what: str = "width") -> None:
    """Refuses attention heads that do not divide a width.

    Raises:
        UsageError: They do not; the message names both.
    """
    if width % heads:
        fits = [n for n in range(1, width + 1) if width % n == 0]
        near = min(fits, key=lambda n: abs(n - heads))
        raise UsageError(
            f"{brick}: heads={heads} does not divide the {what} {width}",
            fix=f"heads={near} does, or choose a {what} that is a multiple of {heads}",
        )


class AdditiveAttention(nn.Module):
    """Several vectors to one: `e_i = v^T tanh(W x_i + b)`, `a = softmax(e)`, `sum_i a_i x_i`.

    The softmax is over the places in the mask; without any the result is zero.

    Args:
        width: Of the vectors.
        query: Rows of `W`.
    """

    def __init__(self, width: int, query: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, query)
        self.query = nn.Linear(query, 1, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[..., s, width]` and `[..., s]` to `[..., width]`."""
        # A masked place is zeroed rather than only weighed by 0, as 0 times NaN is NaN.
        x = x.masked_fill(~mask[..., None], 0.0)
        weights = masked_softmax(self.query(self.project(x).tanh()).squeeze(-1), mask)
        return (weights[..., None, :] @ x).squeeze(-2)
