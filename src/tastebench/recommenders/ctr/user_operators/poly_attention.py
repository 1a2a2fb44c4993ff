"""MINER's user: several interests."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.layers import masked_softmax
from tastebench.recommenders.ctr.user_operators import PolyAttentionConfig
from tastebench.recommenders.ctr.user_operators.history import item_vectors


class PolyAttention(nn.Module):
    """Interest k is `sum_i a_ki c_i`, `a_k = softmax_i(code_k . tanh(W c_i))`.

    The softmax is over what was clicked alone: padding has no weight in any interest. The order of
    clicks does not matter.
    """

    def __init__(self, config: PolyAttentionConfig, content: Content, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, config.query_size, bias=False)
        self.codes = nn.Parameter(torch.empty(config.interests, config.query_size))
        nn.init.xavier_uniform_(self.codes, gain=nn.init.calculate_gain("tanh"))

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to interests `[b, k, width]`."""
        x = item_vectors(clicks)
        scores = self.codes @ self.project(x).tanh().mT
        return masked_softmax(scores, clicks.mask[:, None, :]) @ x


def disagreement(interests: Tensor) -> Tensor:
    """MINER's penalty: the mean cosine between the interests of a user, over all ordered pairs.

    A pair of an interest with itself counts 0, as in the paper's sum over `i != j` divided by
    `k^2`.

    Args:
        interests: `[b, k, h]`.

    Returns:
        The mean over the users, a number.
    """
    unit = functional.normalize(interests, dim=-1)
    k = interests.shape[1]
    # The sum over all pairs is the squared length of the sum of the unit vectors.
    pairs = unit.sum(1).square().sum(-1) - unit.square().sum((-1, -2))
    return pairs.mean() / k**2
