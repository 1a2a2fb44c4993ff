"""The tower of dense layers, and the logit over several vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from tastebench.recommenders.ctr.layers import Dice
from tastebench.recommenders.ctr.predictors import dense
from tastebench.training.dropout import Dropout, keep_mask

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import TowerConfig


class Tower(nn.Module):
    """Dense layers, each `Dropout(act(norm(W x + b)))`, and then a logit if wanted.

    Args:
        inputs: Width of what it reads.
        config: Its widths, activation, dropout and normalisation.
        widths: Other widths than the config's.
        logit: Whether a linear layer to one number follows.
    """

    def __init__(
        self,
        inputs: int,
        config: TowerConfig,
        *,
        widths: Sequence[int] | None = None,
        logit: bool = True,
    ) -> None:
        super().__init__()
        sizes = [inputs, *(widths or config.tower)]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        # Plain layers have no modules but the linear ones: a call of a module costs as much as the
        # product of a row with a small matrix.
        plain = config.activation == "relu" and not config.batch_norm
        self.after = None if plain else nn.ModuleList(_after(width, config) for width in sizes[1:])
        self.dropout = config.dropout
        self.logit = nn.Linear(sizes[-1], 1) if logit else None

    def forward(self, x: Tensor) -> Tensor:
        """`[n, inputs]` to `[n]`, or to `[n, last width]` without a logit."""
        if self.after is None:
            dropout = self.dropout if self.training else 0.0
            for linear in cast("Iterable[nn.Linear]", self.layers):
                x = relu_dropout(dense.linear(x, linear.weight, linear.bias), dropout)
        else:
            for layer, after in zip(self.layers, self.after, strict=True):
                x = after(layer(x))
        if self.logit is None:
            return x
        return functional.linear(x, self.logit.weight, self.logit.bias).squeeze(1)


def _after(width: int, config: TowerConfig) -> nn.Module:
    """What follows a linear layer."""
    of_width: dict[str, Callable[[int], nn.Module]] = {"prelu": nn.PReLU, "dice": Dice}
    plain: dict[str, Callable[[], nn.Module]] = {
        "relu": nn.ReLU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
    }
    name = config.activation
    activation = of_width[name](width) if name in of_width else plain[name]()
    norm = [Norm(width)] if config.batch_norm else []
    return nn.Sequential(*norm, activation, Dropout(config.dropout))


class Norm(nn.BatchNorm1d):
    """Batch normalisation for which a batch of one is none.

    One row has no variance; an epoch may end with one, and its running statistics serve then.
    """

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if len(x) > 1 or not self.training:
            normed: Tensor = super().forward(x)
            return normed
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )


class Logit(nn.Module):
    """`w [x_1; x_2; ...] + b`, one number a row, without joining the vectors.

    Args:
        widths: Of the vectors.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.widths = widths
        self.linear = nn.Linear(sum(widths), 1)

    def forward(self, *vectors: Tensor) -> Tensor:
        """A `[n, width]` each to `[n]`."""
        first, *others = self.linear.weight.split_with_sizes(self.widths, dim=1)
        logit = functional.linear(vectors[0], first, self.linear.bias)
        for vector, weight in zip(vectors[1:], others, strict=True):
            logit = logit + functional.linear(vector, weight)
        return logit.squeeze(1)


def relu_dropout(x: Tensor, p: float) -> Tensor:
    """`Dropout(relu(x))`, written over `x`, which nobody else may need (as a linear layer's).

    Args:
        x: Any shape.
        p: Share of dropout; 0 outside of training.
    """
    if p == 0:
        return x.relu_()
    dropped: Tensor = _ReluDropout.apply(x, p)  # type: ignore[no-untyped-call]
    return dropped


class _ReluDropout(torch.autograd.Function):
    """Both in one, of which only the result is kept: where it is 0, no gradient passes either."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        keep, scale = keep_mask(x.shape, p, x.device)
        x.relu_()
        if keep is not None:
            # Torch turns bytes into numbers several times faster than bools.
            x.mul_(keep.view(torch.uint8).to(x.dtype).mul_(scale))
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (result,) = ctx.saved_tensors
        grad: Tensor = torch.ops.aten.threshold_backward(grads[0], result, 0)
        return grad.mul_(ctx.scale), None
