"""Attention of many beams a user: one history for all of them, and a few steps of each."""

from __future__ import annotations

import torch
from torch import Tensor


class BeamCache:
    """Keys and values of the steps that lead to each beam, in all layers.

    They are few and narrow, so that they are copied into the order of the new beams at every step;
    keys and values of the history are not here: a user's beams share them.

    Args:
        users: Users decoded together, `b`.
        layers: Layers that attend to steps.
        heads: Attention heads.
        width: Of a head.
        device: Where they lie.
    """

    def __init__(
        self, users: int, *, layers: int, heads: int, width: int, device: torch.device
    ) -> None:
        self._shape = (layers, 2, heads, width)
        self._users = users
        self._kept = torch.empty(users, 1, 0, *self._shape, device=device)

    def advance(self, parents: Tensor | None, beams: int) -> None:
        """Makes room for a step of `beams` beams a user.

        Args:
            parents: Which of the last step's beams each continues, int64 `[b, beams]`; None where
                there was one, or none.
            beams: How many.
        """
        kept = self._kept
        room = kept.new_empty(self._users, beams, kept.shape[2] + 1, *self._shape)
        if kept.shape[2] and parents is None:
            room[:, :, :-1] = kept[:, :1]
        elif kept.shape[2] and parents is not None:
            begin = torch.arange(self._users, device=kept.device)[:, None] * kept.shape[1]
            rows = (begin + parents.clamp(min=0)).flatten()
            room[:, :, :-1] = kept.flatten(0, 1).index_select(0, rows).view_as(room[:, :, :-1])
        self._kept = room

    def put(self, layer: int, keys_values: Tensor) -> tuple[Tensor, Tensor]:
        """Stores a layer's step `[b, k, 2, heads, width]`.

        Returns:
            Keys and values of all steps so far, `[b, k, steps, heads, width]` each.
        """
        self._kept[:, :, -1, layer] = keys_values
        steps = self._kept[:, :, :, layer]
        return steps[:, :, :, 0], steps[:, :, :, 1]


def score_steps(queries: Tensor, keys: Tensor) -> Tensor:
    """Inner products of each beam's query with its own steps.

    Args:
        queries: `[b, k, heads, width]`.
        keys: `[b, k, steps, heads, width]`.

    Returns:
        `[b, heads, k, steps]`.
    """
    return (keys * queries[:, :, None]).sum(-1).permute(0, 3, 1, 2)


def mix_steps(weights: Tensor, values: Tensor) -> Tensor:
    """Each beam's own steps, weighed.

    Args:
        weights: `[b, heads, k, steps]`.
        values: `[b, k, steps, heads, width]`.

    Returns:
        `[b, k, heads, width]`.
    """
    return (weights.permute(0, 2, 3, 1)[..., None] * values).sum(2)
