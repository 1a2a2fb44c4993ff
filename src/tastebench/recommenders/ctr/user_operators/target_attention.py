"""DIN's user: what was clicked, weighed by the candidate."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.target_attention import TargetAttention as Unit
from tastebench.recommenders.ctr.user_operators import TargetAttentionConfig
from tastebench.recommenders.ctr.user_operators.history import item_vectors


class TargetAttention(nn.Module):
    """DIN's activation unit over what was clicked; the order of clicks does not matter."""

    def __init__(self, config: TargetAttentionConfig, content: Content, width: int) -> None:
        super().__init__()
        self.unit = Unit(
            width,
            config.hidden_size,
            activation=config.activation,
            dropout=config.dropout,
            softmax=config.softmax,
        )

    def forward(self, clicks: Clicks, candidate: Tensor) -> Tensor:
        """Vectors `[b, s, width]` and candidates `[b, width]` to `[b, width]`."""
        user: Tensor = self.unit(item_vectors(clicks), clicks.mask, candidate)
        return user
