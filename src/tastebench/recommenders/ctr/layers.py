"""Layers that several bricks share. What stands at masked places never changes what they return."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.training.dropout import Dropout


def nothing_masked(mask: Tensor) -> bool:
    """Whether all places are there, as of one asker alone, so that masking can be left out.

    A handful of operations that change nothing is a fifth of a small request. Elsewhere than on a
    CPU the question would wait for the device.
    """
    return mask.device.type == "cpu" and bool(mask.all())


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
        if not self.training and nothing_masked(mask):
            weights: Tensor = self.query(self.project(x).tanh()).squeeze(-1).softmax(-1)
            return (weights[..., None, :] @ x).squeeze(-2)
        # A masked place is zeroed rather than only weighed by 0, as 0 times NaN is NaN.
        x = x.masked_fill(~mask[..., None], 0.0)
        weights = masked_softmax(self.query(self.project(x).tanh()).squeeze(-1), mask)
        return (weights[..., None, :] @ x).squeeze(-2)


class SelfAttention(nn.Module):
    """Scaled dot-product attention of every place to the places in the mask, head by head.

    The heads' results stand end to end; there is no output projection here.

    Args:
        inputs: Width of what comes in.
        outputs: Width of what goes out, a multiple of `heads`.
        heads: Attention heads.
        bias: Of queries, keys and values.
        dropout: Of the attention weights.
    """

    def __init__(
        self, inputs: int, outputs: int, heads: int, *, bias: bool, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = Dropout(dropout)
        self.qkv = nn.Linear(inputs, 3 * outputs, bias=bias)
        nn.init.xavier_uniform_(self.qkv.weight)
        if bias:
            nn.init.zeros_(self.qkv.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, inputs]` and `[n, s]` to `[n, s, outputs]`; finite where a mask is empty."""
        n, s, _ = x.shape
        q, k, v = self.qkv(x).view(n, s, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if not self.training and nothing_masked(mask):
            whole = functional.scaled_dot_product_attention(q, k, v)
            return whole.transpose(1, 2).reshape(n, s, -1)
        # A softmax over nothing is NaN in some of torch's kernels: who has nothing attends to
        # padding, and what comes of it is not read.
        seen = (mask | ~mask.any(-1, keepdim=True))[:, None, None, :]
        p = self.dropout.p if self.training else 0.0
        if p and x.device.type == "cpu":
            # Drawing what to drop takes torch far longer on a CPU than all of the rest here.
            scores = (q / math.sqrt(q.shape[-1])) @ k.mT
            hidden = torch.zeros_like(seen, dtype=scores.dtype).masked_fill_(~seen, -math.inf)
            mixed: Tensor = self.dropout(scores.add_(hidden).softmax(-1)) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=p)
        return mixed.transpose(1, 2).reshape(n, s, -1)


class Dice(nn.Module):
    """DIN's activation: `p x + (1 - p) alpha x`, `p = sigmoid((x - mean) / sqrt(var + eps))`.

    Mean and variance are the batch's in training and running means afterwards, as in batch
    normalisation. Only rows that stand for something may be given: padding would shift the mean.

    Args:
        width: Of the rows.
        momentum: Share of a batch in the running mean and variance.
        epsilon: Added to the variance.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int, momentum: float = 0.1, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """`[m, width]` to the same; `m` may be 0."""
        mean, variance = self.mean, self.variance
        if self.training and len(x):
            variance, mean = torch.var_mean(x, dim=0, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean.to(self.mean.dtype), self.momentum)
                self.variance.lerp_(variance.to(self.variance.dtype), self.momentum)
        p = ((x - mean) * (variance + self.epsilon).rsqrt()).sigmoid()
        return x * (p + (1 - p) * self.alpha)
