"""Dense layers in training, by the faster of the two libraries that torch brings for them.

Torch multiplies float32 matrices on a CPU by MKL. Its other library, oneDNN, does it at 1.2 to 1.3
times the speed for the shapes of towers (AVX-512, AMD), forward and for the gradient by the input;
for that by the weights MKL is as good. oneDNN prepares a program for every new number of rows,
which takes a millisecond: batches have one number of rows, what is asked has many. So only training
comes here, and what there is no oneDNN for goes the usual way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

FEWEST_ROWS = 256
"""Below, a product takes too little time to gain anything."""

# torch.compile writes calls of this operation; that is as public as it is.
_ONEDNN = (
    getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.cpu.get_cpu_capability().startswith("AVX")
    else None
)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`functional.linear` of a matrix: `[n, k]` and `[m, k]` to `[n, m]`."""
    if not by_onednn(x):
        return functional.linear(x, weight, bias)
    product: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return product


def by_onednn(x: Tensor) -> bool:
    """Whether products with `x` are worth oneDNN and can have it."""
    return (
        _ONEDNN is not None
        and torch.is_grad_enabled()
        and len(x) >= FEWEST_ROWS
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `linear`, outside of what autograd follows, and only where `by_onednn` says so."""
    assert _ONEDNN is not None
    made: Tensor = _ONEDNN(x, weight, bias, "none", [], "")
    return made


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        (grad,) = grads
        by_x, by_weight, by_bias = ctx.needs_input_grad
        return (
            product(grad, weight.T) if by_x else None,
            grad.T @ x if by_weight else None,
            grad.sum(dim=0) if by_bias else None,
        )
