"""DIN's attention: what was clicked, weighed by how it bears on the candidate."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.layers import Dice, masked_softmax
from tastebench.training.dropout import Dropout


class TargetAttention(nn.Module):
    """`v = sum_i a_i c_i`, `a_i = w^T act(W [t; c_i; t - c_i; t * c_i] + b) + b'`.

    The weights are as they come: they need not sum to one, so that their sum tells how much of the
    history bears on the candidate. With `softmax` they sum to one. Only what the mask shows is
    looked at, so that padding is neither in a sum nor in what Dice normalises by; where it shows
    nothing, `v` is zero. (Zhou et al., Deep Interest Network, KDD 2018, sections 4.3 and 5.3.)

    Args:
        width: `h`, of candidate and clicks.
        hidden_size: Rows of `W`.
        activation: `act`.
        dropout: After it.
        softmax: Whether a history's weights sum to one.
    """

    def __init__(
        self,
        width: int,
        hidden_size: int = 36,
        *,
        activation: Literal["dice", "prelu"] = "dice",
        dropout: float = 0.0,
        softmax: bool = False,
    ) -> None:
        super().__init__()
        self.softmax = softmax
        self.hidden = nn.Linear(4 * width, hidden_size)
        self.activation = Dice(hidden_size) if activation == "dice" else nn.PReLU(hidden_size)
        self.dropout = Dropout(dropout)
        # What a softmax takes no notice of is not there to be trained.
        self.weight = nn.Linear(hidden_size, 1, bias=not softmax)

    def forward(self, history: Tensor, mask: Tensor, candidate: Tensor) -> Tensor:
        """`[n, s, h]`, where there is something in it `[n, s]`, and `[n, h]`, to `[n, h]`."""
        n, s, h = history.shape
        shown = mask.flatten().nonzero().squeeze(1)
        row = shown // s
        clicked = history.reshape(n * s, h).index_select(0, shown)
        weights = self._weights(clicked, candidate, row)
        if self.softmax:
            scores = weights.new_zeros(n * s).index_copy(0, shown, weights)
            weights = masked_softmax(scores.view(n, s), mask).flatten().index_select(0, shown)
        weighed = clicked * weights[:, None]
        return weighed.new_zeros(n, h).index_add(0, row, weighed)

    def _weights(self, clicked: Tensor, candidate: Tensor, row: Tensor) -> Tensor:
        """Of the clicks `[m, h]`, whose candidates are `candidate[row]`: `[m]`."""
        # W [t; c; t - c; t * c] = (Wt + Wd) t + (Wc - Wd) c + Wp (t * c): half the products, of
        # which t's are taken once a candidate, and four vectors a click are never joined.
        of_t, of_c, of_difference, of_product = self.hidden.weight.chunk(4, dim=1)
        hidden = functional.linear(candidate, of_t + of_difference, self.hidden.bias)
        hidden = hidden.index_select(0, row)
        hidden = hidden + functional.linear(clicked, of_c - of_difference)
        product = clicked * candidate.index_select(0, row)
        hidden = hidden + functional.linear(product, of_product)
        scores: Tensor = self.weight(self.dropout(self.activation(hidden)))
        return scores.squeeze(1)
