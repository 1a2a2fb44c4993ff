"""Keys and values of many beams a user: one history for all of them, and a tree of steps.

Beams share most of their past. What was computed for a step is kept once, in the order in which it
was computed, and a beam is told which of it is its own past: nothing is copied when beams branch,
and attention is one product of all beams with all that is kept, most of a step's masked.
"""

from __future__ import annotations

import torch
from torch import Tensor


class BeamCache:
    """What was kept of `b` users, in all layers.

    Args:
        users: Users decoded together, `b`.
        places: Places of the history, 0 or more, which every beam may see.
        layers: Layers that attend.
        heads: Attention heads.
        width: Of a head.
        device: Where it lies.

    Attributes:
        visible: Which of the steps' places are the past of each beam, itself among them, bool
            `[b, k, places of steps]`.
        step: Which step each of these places belongs to, int64 `[places of steps]`.
    """

    def __init__(
        self, users: int, places: int, *, layers: int, heads: int, width: int, device: torch.device
    ) -> None:
        self._history, self._used = places, places
        self._kept = torch.empty(layers, 2, users, heads, places, width, device=device)
        self._past = torch.empty(users, 1, 0, dtype=torch.int64, device=device)
        self.visible = torch.empty(users, 1, 0, dtype=torch.bool, device=device)
        self.step = torch.empty(0, dtype=torch.int64, device=device)

    def put_history(self, layer: int, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps a layer's keys and values of the history, `[b, places, 2, heads, width]`.

        Returns:
            Keys and values as attention wants them, `[b, heads, places, width]` each.
        """
        kept = self._kept[layer].narrow(3, 0, self._history)
        keys, values = kept.copy_(keys_values.permute(2, 0, 3, 1, 4)).unbind(0)
        return keys, values

    def advance(self, parents: Tensor | None, beams: int, steps_left: int) -> None:
        """Makes room for one place of each of `beams` beams a user.

        Args:
            parents: Which of the last step's beams each continues, int64 `[b, beams]`; None at the
                first step.
            beams: How many.
            steps_left: Steps there may be from now on: room is made for as many at once.
        """
        if self._used + beams > self._kept.shape[4]:
            self._grow(beams * steps_left)
        new = torch.arange(beams, device=self.step.device) + (self._used - self._history)
        own = new.expand(len(self._past), beams)[..., None]
        if parents is not None and self._past.shape[2]:
            own = torch.cat([self._past.take_along_dim(parents[..., None], dim=1), own], dim=2)
        self._past = own
        self._used += beams
        self.step = torch.cat([self.step, torch.full_like(new, own.shape[2] - 1)])
        unseen = own.new_zeros(*own.shape[:2], len(self.step), dtype=torch.bool)
        self.visible = unseen.scatter_(2, own, True)

    def put(self, layer: int, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Keeps a layer's keys and values of the step, `[b, k, 2, heads, width]`.

        Returns:
            Keys and values of the history and all steps so far, `[b, heads, places, width]` each.
        """
        kept, k = self._kept[layer], keys_values.shape[1]
        kept.narrow(3, self._used - k, k).copy_(keys_values.permute(2, 0, 3, 1, 4))
        keys, values = kept.narrow(3, 0, self._used).unbind(0)
        return keys, values

    def _grow(self, room: int) -> None:
        layers, two, b, heads, _, width = self._kept.shape
        kept = self._kept.new_empty(layers, two, b, heads, self._used + room, width)
        kept[..., : self._used, :] = self._kept[..., : self._used, :]
        self._kept = kept
