"""The mean of what was clicked."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.layers import masked_max, masked_mean
from tastebench.recommenders.ctr.user_operators import UserPoolingConfig
from tastebench.recommenders.ctr.user_operators.history import item_vectors


class Pooling(nn.Module):
    """Mean (or largest in each dimension) of the item vectors; their order does not matter."""

    def __init__(self, config: UserPoolingConfig, content: Content, width: int) -> None:
        super().__init__()
        self.pool = masked_mean if config.pool == "mean" else masked_max

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to `[b, width]`."""
        return self.pool(item_vectors(clicks), clicks.mask)
