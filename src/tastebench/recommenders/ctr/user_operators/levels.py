"""A user level by level, for items that have levels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import USER_OPERATORS, Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.user_operators import LevelsConfig


class Levels(nn.Module):
    """A user operator of its own for each level of the items.

    Level `l` of a user has seen level `l` of what they clicked, and nothing finer.
    """

    def __init__(self, config: LevelsConfig, content: Content, width: int) -> None:
        super().__init__()
        if content.code is None:
            raise UsageError(
                "the user operator levels needs items with levels, and these have no semantic ids",
                fix="use the representation code",
            )
        each = USER_OPERATORS.get(config.each["operator"])
        own = {key: value for key, value in config.each.items() if key != "operator"}
        self.each = nn.ModuleList(
            each.build(each.config(**own), content, width) for _ in range(content.code.shape[1])
        )

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, levels, width]` to `[b, levels, width]`."""
        vectors = clicks.vectors
        assert vectors is not None, "an operator that reads levels is given them"
        return torch.stack(
            [
                read(Clicks(clicks.items, clicks.mask, vectors[:, :, level]))
                for level, read in enumerate(self.each)
            ],
            dim=1,
        )
