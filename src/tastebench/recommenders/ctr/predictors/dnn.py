"""A tower over all fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tastebench.recommenders.ctr.predictors.mlp import Tower

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import DnnConfig


class Dnn(nn.Module):
    """`Tower([f_1; f_2; ...])`.

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number.
    """

    def __init__(self, config: DnnConfig, width: int, fields: int) -> None:
        super().__init__()
        self.tower = Tower(fields * width, config)

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        logits: Tensor = self.tower(fields.flatten(1))
        return logits
