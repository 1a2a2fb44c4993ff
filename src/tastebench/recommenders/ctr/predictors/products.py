"""Predictors of products of fields: PNN and DeepFM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from tastebench.recommenders.ctr.predictors.mlp import Tower

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import DeepFmConfig, PnnConfig


class Pnn(nn.Module):
    """`Tower([f_1; f_2; ...; f_1 . f_2; ...])`.

    The first layer over fields and products at once is the paper's `relu(l_z + l_p + b)`, the
    linear and the quadratic signal, each with weights of its own. (Qu et al., ICDM 2016, eq. 3-5;
    product weights are left whole, not factorised.)

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number `f`.
    """

    pairs: Tensor

    def __init__(self, config: PnnConfig, width: int, fields: int) -> None:
        super().__init__()
        first, second = torch.triu_indices(fields, fields, 0 if config.squares else 1)
        self.register_buffer("pairs", first * fields + second, persistent=False)
        self.tower = Tower(fields * width + len(first), config)

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        logits: Tensor = self.tower(torch.cat([fields.flatten(1), self.products(fields)], dim=1))
        return logits

    def products(self, fields: Tensor) -> Tensor:
        """Inner products of each pair of fields once, row by row of the upper triangle."""
        products = (fields @ fields.mT).flatten(1)
        return products.index_select(1, self.pairs)


class DeepFm(nn.Module):
    """`w x + FM(x) + Tower(x)`, `x` the fields end to end.

    A predictor sees fields as vectors, not which value they have, so the first-order part is linear
    in the vectors. The reference has `(FM(x) + Tower(x)) / 2`.

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number.
    """

    def __init__(self, config: DeepFmConfig, width: int, fields: int) -> None:
        super().__init__()
        self.tower = Tower(fields * width, config)
        published = config.variant == "published"
        # The bias is that of the tower's logit.
        self.linear = nn.Linear(fields * width, 1, bias=False) if published else None

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        x = fields.flatten(1)
        logits: Tensor = self.tower(x) + factorisation(fields)
        if self.linear is None:
            return logits / 2
        first: Tensor = self.linear(x)
        return logits + first.squeeze(1)


def factorisation(fields: Tensor) -> Tensor:
    """The second-order part of a factorisation machine: the sum of all pairs' inner products.

    `sum_{i < j} f_i . f_j = (|sum_i f_i|^2 - sum_i |f_i|^2) / 2` (Rendle, ICDM 2010, lemma 3.1).

    >>> factorisation(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([11.])
    """
    if fields.dtype.itemsize < 4:
        fields = fields.float()  # the difference of two large sums would be left with no digits
    if not fields.requires_grad:
        return _pair_sum(fields, fields.sum(dim=1))
    products: Tensor = _Factorisation.apply(fields)  # type: ignore[no-untyped-call]
    return products


def _pair_sum(fields: Tensor, total: Tensor) -> Tensor:
    """Half of what the square of the sum has over the sum of squares, row by row."""
    return (total.square().sum(dim=1) - fields.square().sum(dim=(1, 2))) / 2


class _Factorisation(torch.autograd.Function):
    """Its gradient by field `i` is the sum of the others: no square is kept for it."""

    @staticmethod
    def forward(ctx: Any, fields: Tensor) -> Tensor:
        total = fields.sum(dim=1)
        ctx.save_for_backward(fields, total)
        return _pair_sum(fields, total)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        fields, total = ctx.saved_tensors
        others: Tensor = total[:, None, :] - fields
        return others.mul_(grads[0][:, None, None])
