"""The inner product."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import DotConfig


class Dot(nn.Module):
    """`u . t`. There is nothing to learn.

    Args:
        config: Nothing to set.
        width: Of user and item.
        fields: Of no meaning here.
    """

    def __init__(self, config: DotConfig, width: int, fields: int) -> None:
        super().__init__()

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """`[n, h]` each to `[n]`."""
        return (user * item).sum(dim=-1)
