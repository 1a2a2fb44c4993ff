"""NRMS's encoder, the same for the words of an item and for what a user clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import check_heads
from tastebench.recommenders.ctr.layers import AdditiveAttention, SelfAttention, nothing_masked
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.item_operators import AttentionConfig
    from tastebench.recommenders.ctr.user_operators import UserAttentionConfig


class NrmsEncoder(nn.Module):
    """Multi-head self-attention, then additive attention; zero where there is nothing to read.

    `published` has no biases and no output projection, and drops elements of the heads' results.
    Queries and keys have a projection each and their products are scaled, as in the authors' code;
    the paper writes one matrix for both. `reference` drops attention weights, projects the heads
    within the width of what comes in, and a dense layer brings that to the width of what goes out.

    Args:
        brick: Whose it is, for messages.
        settings: Its size and variant.
        inputs: Width of the vectors it reads.
        outputs: Width of the vector it makes.
    """

    def __init__(
        self,
        brick: str,
        settings: AttentionConfig | UserAttentionConfig,
        inputs: int,
        outputs: int,
    ) -> None:
        super().__init__()
        heads, dropout = settings.heads, settings.dropout
        self.after: nn.Module
        if settings.variant == "published":
            check_heads(brick, outputs, heads)
            self.attention = SelfAttention(inputs, outputs, heads, bias=False)
            self.after = Dropout(dropout)
        else:
            check_heads(brick, inputs, heads)
            self.attention = SelfAttention(inputs, inputs, heads, bias=True, dropout=dropout)
            self.after = nn.Sequential(nn.Linear(inputs, inputs), nn.Linear(inputs, outputs))
        self.pool = AdditiveAttention(outputs, settings.query_size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, inputs]` and `[n, s]` to `[n, outputs]`."""
        if self.training or not nothing_masked(mask):
            x = x.masked_fill(~mask[..., None], 0.0)
        pooled: Tensor = self.pool(self.after(self.attention(x, mask)), mask)
        return pooled
