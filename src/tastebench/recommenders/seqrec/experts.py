"""UniSRec's adaptor: a mixture of experts, each of which whitens a text vector its own way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.seqrec.transformer import INIT_STD
from tastebench.training.dropout import keep_mask

NOISE_FLOOR = 0.01  # the least standard deviation of the gate's noise
CHUNK = 1 << 20  # numbers in a piece of the experts' inputs: 4 MB, so that it stays in the cache


class WhiteningExperts(nn.Module):
    """`a(x) = sum_k g_k(x) W_k (Dropout(x) - b_k)`, `g = softmax(x W_g + noise)`.

    In training each expert draws its own dropout, and the gate's logits get Gaussian noise of
    standard deviation `softplus(x W_n) + 0.01`. All experts count (no top-k, although the reference
    code calls it that). (Hou et al., UniSRec, KDD 2022, section 2.1.2.)

    `x` is data: it gets no gradient.

    Args:
        inputs: Width `d` of the text vectors.
        width: Width `h` of the result.
        experts: Their number `G`.
        dropout: Of each expert's input.
    """

    def __init__(self, inputs: int, width: int, *, experts: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, experts, inputs))
        self.shift = nn.Parameter(torch.zeros(experts, inputs))
        self.gate = nn.Parameter(torch.zeros(inputs, experts))
        self.noise = nn.Parameter(torch.zeros(inputs, experts))
        self.dropout = dropout
        nn.init.normal_(self.weight, std=INIT_STD)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]` to `[n, h]`."""
        dropout = self.dropout if self.training else 0.0
        mixed: Tensor = _Mixture.apply(  # type: ignore[no-untyped-call]
            x, self._gates(x), self.weight, self.shift, dropout
        )
        return mixed

    def _gates(self, x: Tensor) -> Tensor:
        logits = x @ self.gate
        if self.training:
            deviation = functional.softplus(x @ self.noise) + NOISE_FLOOR
            logits = logits + deviation * torch.randn_like(deviation)
        return logits.float().softmax(dim=-1)


class _Mixture(torch.autograd.Function):
    """The sum over experts as one matrix product, `[n, G * d] x [G * d, h]`, piece by piece.

    The experts' inputs, weighted by the gate, are `G` times as large as `x`; they exist a piece of
    rows at a time and are made again for the gradient from the one thing that was drawn, the mask.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gates: Tensor, weight: Tensor, shift: Tensor, dropout: float
    ) -> Tensor:
        n, flat = len(x), weight.detach().flatten(1)
        keep, scale = keep_mask((n, *shift.shape), dropout, x.device)
        ctx.save_for_backward(x, gates, weight, shift, keep)
        ctx.scale, ctx.work = scale, _work_dtype(x)
        flat = flat.to(ctx.work)
        mixed = torch.empty(n, len(weight), device=x.device)
        with torch.autocast(x.device.type, enabled=False):
            for rows in _pieces(n, shift.numel()):
                shifted = _shifted(x, keep, shift, scale, rows)
                weighted = shifted.mul_(gates[rows, :, None]).flatten(1)
                mixed[rows] = functional.linear(weighted.to(ctx.work), flat)
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, Tensor, Tensor, None]:
        x, gates, weight, shift, keep = ctx.saved_tensors
        flat, grad = weight.flatten(1).to(ctx.work), grads[0].to(ctx.work)
        grad_weight, grad_gates = torch.zeros_like(weight).flatten(1), torch.empty_like(gates)
        grad_shift = torch.zeros_like(shift)
        for rows in _pieces(len(x), shift.numel()):
            gate = gates[rows, :, None]
            back = (grad[rows] @ flat).float().view(-1, *shift.shape)
            shifted = _shifted(x, keep, shift, ctx.scale, rows)
            grad_gates[rows] = torch.linalg.vecdot(back, shifted)
            grad_shift -= back.mul_(gate).sum(dim=0)
            weighted = shifted.mul_(gate).flatten(1).to(ctx.work)
            grad_weight += grad[rows].T @ weighted
        return None, grad_gates, grad_weight.view_as(weight), grad_shift, None


def _shifted(x: Tensor, keep: Tensor | None, shift: Tensor, scale: float, rows: slice) -> Tensor:
    """`Dropout(x) - b_k` of every expert, `[rows, G, d]`."""
    each = (x[rows] * scale)[:, None, :]
    # Torch multiplies a mask and a number many times slower than two numbers, hence the conversion.
    return each - shift if keep is None else keep[rows].to(x.dtype).mul_(each).sub_(shift)


def _pieces(n: int, width: int) -> list[slice]:
    step = max(1, CHUNK // width)
    return [slice(begin, begin + step) for begin in range(0, n, step)]


def _work_dtype(x: Tensor) -> torch.dtype:
    """What matrix products run in: autocast's dtype where it is on."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
