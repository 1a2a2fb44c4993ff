"""LSTUR's short-term user."""

from __future__ import annotations

from torch import Tensor, nn

from tastebench.recommenders.ctr.bricks import Clicks
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.user_operators import UserGruConfig
from tastebench.recommenders.ctr.user_operators.history import item_vectors


class Gru(nn.Module):
    """The state after the last click; the order of clicks matters."""

    def __init__(self, config: UserGruConfig, content: Content, width: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, width) if config.variant == "reference" else nn.Identity()

    def forward(self, clicks: Clicks) -> Tensor:
        """Vectors `[b, s, width]` to `[b, width]`."""
        # Padding comes after the last click, so the state there knows nothing of it: packing the
        # sequences would give the same state.
        states, _ = self.gru(item_vectors(clicks))
        last = (clicks.mask.sum(1) - 1).clamp_min(0)
        state = states.take_along_dim(last[:, None, None], dim=1).squeeze(1)
        user: Tensor = self.out(state)
        return user.masked_fill(~clicks.mask.any(1, keepdim=True), 0.0)
