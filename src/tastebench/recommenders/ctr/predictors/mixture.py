"""One predictor over every pair of a user's and an item's level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import PREDICTORS
from tastebench.recommenders.ctr.predictors.settings import TowerConfig

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import MixtureConfig


class Mixture(nn.Module):
    """`sum_kl w_kl base(u_k, t_l) + b`.

    The base is one network for all pairs. (Liu et al., WWW 2024, "hierarchical mixture inference".)

    Args:
        config: Its settings.
        width: `h`, of a level.
        fields: Number of pairs: a user's levels times an item's.
    """

    def __init__(self, config: MixtureConfig, width: int, fields: int) -> None:
        super().__init__()
        base = PREDICTORS.get(config.base)
        shared = config.model_dump(include=set(TowerConfig.model_fields))
        settings = base.settings(shared, where=f"mixture of {base.name}")
        self.base = base.build(settings, width, 2)
        self.pairs = fields
        self.weight = nn.Linear(fields, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Levels `[n, k, h]` and `[n, l, h]` to `[n]`.

        Raises:
            UsageError: It was built for another number of pairs.
        """
        (n, k, h), levels = user.shape, item.shape[1]
        if k * levels != self.pairs:
            raise UsageError(
                f"mixture: built for {self.pairs} pairs of levels, and a user has {k} levels, "
                f"an item {levels}"
            )
        pairs = torch.stack(
            [
                user[:, :, None].expand(n, k, levels, h),
                item[:, None].expand(n, k, levels, h),
            ],
            dim=3,
        )
        logits = self.base(pairs.view(-1, 2, h)).view(n, self.pairs)
        mixed: Tensor = self.weight(logits)
        return mixed.squeeze(1)
