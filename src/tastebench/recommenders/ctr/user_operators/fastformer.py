"""Fastformer over what was clicked."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.fastformer import PooledFastformer
from tastebench.recommenders.ctr.user_operators import UserFastformerConfig
from tastebench.recommenders.ctr.user_operators.history import fitted, item_vectors


class Fastformer(nn.Module):
    """Fastformer blocks over the item vectors, additive attention; the order of clicks matters.

    Positions count from the oldest click in the history.
    """

    def __init__(self, config: UserFastformerConfig, content: Content, width: int) -> None:
        super().__init__()
        self.length = config.length
        self.encoder = PooledFastformer("fastformer", config, width, width, config.length)

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to `[b, width]`."""
        s = fitted("fastformer", clicks.mask, self.length)
        user: Tensor = self.encoder(item_vectors(clicks)[:, :s], clicks.mask[:, :s])
        return user
