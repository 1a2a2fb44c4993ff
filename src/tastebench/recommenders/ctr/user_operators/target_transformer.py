"""BST's user: a transformer over what was clicked and the candidate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tastebench.recommenders.ctr.bert_encoder import BertEncoder
from tastebench.recommenders.ctr.bricks import Clicks, check_heads
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.user_operators import TargetTransformerConfig
from tastebench.recommenders.ctr.user_operators.history import fitted, item_vectors

_BRICK = "target-transformer"


class TargetTransformer(nn.Module):
    """Blocks of attention over the candidate and the clicks; the order of clicks matters.

    The candidate has position 0, the latest click 1, the one before it 2, and so on. For someone
    who clicked nothing the candidate is the whole sequence.
    """

    def __init__(self, config: TargetTransformerConfig, content: Content, width: int) -> None:
        super().__init__()
        check_heads(_BRICK, width, config.heads)
        self.length = config.length or content.history_length
        self.encoder = BertEncoder(
            width,
            self.length + 1,
            layers=config.layers,
            heads=config.heads,
            inner=config.inner_factor * width,
            dropout=config.dropout,
        )
        concat = config.readout == "concat"
        self.out = nn.Linear((self.length + 1) * width, width) if concat else None

    def forward(self, clicks: Clicks, candidate: Tensor) -> Tensor:
        """Vectors `[b, s, width]` and candidates `[b, width]` to `[b, width]`."""
        s = fitted(_BRICK, clicks.mask, self.length)
        clicked = clicks.mask[:, :s]
        x = torch.cat([candidate[:, None], item_vectors(clicks)[:, :s]], dim=1)
        mask = torch.cat([clicked.new_ones(len(clicked), 1), clicked], dim=1)
        count = clicked.sum(1, keepdim=True)
        back = count - torch.arange(s, device=count.device)
        positions = torch.cat([torch.zeros_like(count), back.clamp_min(0)], dim=1)
        states: Tensor = self.encoder(x, mask, positions)
        if self.out is None:
            return states[:, 0]
        return self._read(states, mask, positions)

    def _read(self, states: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """All states end to end by position, zeros where there are none, projected."""
        assert self.out is not None
        ordered = states.new_zeros(len(states), self.length + 1, states.shape[2])
        rows, places = mask.nonzero(as_tuple=True)
        ordered = ordered.index_put((rows, positions[rows, places]), states[rows, places])
        out: Tensor = self.out(ordered.flatten(1))
        return out
