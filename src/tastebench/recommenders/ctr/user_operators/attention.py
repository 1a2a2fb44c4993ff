"""The user encoders of NAML and NRMS: attention among what was clicked, without positions."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.layers import AdditiveAttention
from tastebench.recommenders.ctr.nrms import NrmsEncoder
from tastebench.recommenders.ctr.user_operators import (
    UserAdditiveAttentionConfig,
    UserAttentionConfig,
)
from tastebench.recommenders.ctr.user_operators.history import item_vectors


class Additive(nn.Module):
    """NAML: additive attention; the order of clicks does not matter."""

    def __init__(self, config: UserAdditiveAttentionConfig, content: Content, width: int) -> None:
        super().__init__()
        self.pool = AdditiveAttention(width, config.query_size)

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to `[b, width]`."""
        user: Tensor = self.pool(item_vectors(clicks), clicks.mask)
        return user


class Attention(nn.Module):
    """NRMS: self-attention, then additive attention; the order of clicks does not matter."""

    def __init__(self, config: UserAttentionConfig, content: Content, width: int) -> None:
        super().__init__()
        self.encoder = NrmsEncoder("attention", config, width, width)

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to `[b, width]`."""
        user: Tensor = self.encoder(item_vectors(clicks), clicks.mask)
        return user
