"""No user operator: for predictors that read the sequence themselves."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import BrickConfig, Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.user_operators.history import item_vectors


class PassThrough(nn.Module):
    """The item vectors as they are, zeros where nothing was clicked."""

    def __init__(self, config: BrickConfig, content: Content, width: int) -> None:
        super().__init__()

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to the same; their mask is that of the clicks."""
        return item_vectors(clicks)
