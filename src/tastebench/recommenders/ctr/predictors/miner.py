"""MINER: the candidate against each interest of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.user_operators.poly_attention import disagreement

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import MinerConfig


class Miner(nn.Module):
    """`sum_k a_k (u_k . t)`, `a = softmax_k(t . gelu(W u_k))`; or the highest or mean `u_k . t`.

    (Li et al., ACL Findings 2022, section 3.4.)

    Args:
        config: Its settings.
        width: `h`, of interests and candidate.
        fields: Of no meaning here.
    """

    def __init__(self, config: MinerConfig, width: int, fields: int) -> None:
        super().__init__()
        self.score = config.score
        self.disagreement = config.disagreement
        weighted = config.score == "weighted"
        self.attention = nn.Linear(width, width, bias=False) if weighted else None

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Interests `[n, k, h]` and candidates `[n, h]` to `[n]`."""
        scores = (user @ item[:, :, None]).squeeze(2)
        if self.attention is not None:
            keys = functional.gelu(self.attention(user))
            weights = (keys @ item[:, :, None]).squeeze(2).softmax(dim=1)
            return (weights * scores).sum(dim=1)
        return scores.amax(dim=1) if self.score == "max" else scores.mean(dim=1)

    def penalty(self, user: Tensor) -> Tensor:
        """What interests that resemble each other add to the loss of a batch of users.

        Args:
            user: Interests, `[n, k, h]`, each user once.
        """
        return self.disagreement * disagreement(user.float())
