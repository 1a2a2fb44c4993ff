"""DIN: the history weighed by the candidate, then a tower."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.recommenders.ctr.predictors.mlp import Tower
from tastebench.recommenders.ctr.target_attention import TargetAttention

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import DinConfig


class Din(nn.Module):
    """`Tower([v; t; v * t])`, `v` the history weighed by `TargetAttention`; `Tower(v)` in the port.

    Args:
        config: Its settings.
        width: `h`, of a click and of the candidate.
        fields: Of no meaning here.
    """

    def __init__(self, config: DinConfig, width: int, fields: int) -> None:
        super().__init__()
        self.published = config.variant == "published"
        self.attention = TargetAttention(
            width,
            config.attention_width,
            activation=config.attention_activation,
            dropout=config.attention_dropout,
            softmax=config.softmax,
        )
        self.tower = Tower(3 * width if self.published else width, config)

    def forward(self, user: Tensor, item: Tensor, mask: Tensor) -> Tensor:
        """Clicks `[n, s, h]`, candidates `[n, h]` and where there is a click `[n, s]`, to `[n]`."""
        x = self.attention(user, mask, item)
        if self.published:
            x = torch.cat([x, item, x * item], dim=1)
        logits: Tensor = self.tower(x)
        return logits
