"""What a frozen encoder knows of users, computed once for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tastebench.ragged import Ragged
from tastebench.recommenders.userqa.user_network import UserNetwork

KEPT_BYTES = 2 << 30
"""States that would take more are computed whenever they are asked for."""

_TOGETHER = 16384
"""Positions read at once, padding included."""


class UserVectors:
    """Users by their histories, as an adapter wants them.

    A user without history has one state of zeros: nothing is known, and the adapter says so.

    Args:
        network: The encoder, frozen; in eval mode whatever happens around it.
        adapter: Its `summarise` makes of states what is kept.
        histories: Items, oldest first, one list a user.
        length: Items of a history that are read, the latest ones.
    """

    def __init__(self, network: UserNetwork, adapter: Any, histories: Ragged, length: int) -> None:
        self._network, self._adapter = network, adapter
        self._histories = histories.tail(length)
        self._kept: tuple[Tensor, np.ndarray] | None = None
        size = self._kept_lengths(np.arange(len(histories))).sum() * network.width * 4
        if size <= KEPT_BYTES:
            self._kept = self._read_all()

    def __len__(self) -> int:
        return len(self._histories)

    @property
    def events(self) -> int:
        """Items that are read of all of them."""
        return len(self._histories.values)

    def take(self, users: np.ndarray) -> tuple[Tensor, Tensor]:
        """Vectors of some users `[b, k, w]`, on the encoder's device, and which are real."""
        if self._kept is None:
            return self._read(users)
        values, offsets = self._kept
        lengths = np.diff(offsets)[users]
        real = np.arange(int(lengths.max())) < lengths[:, None]
        place = np.where(real, offsets[users][:, None] + np.arange(real.shape[1]), 0)
        device = self._network.out.weight.device
        mask = torch.from_numpy(real).to(device)
        return values[torch.from_numpy(place)].to(device) * mask[:, :, None], mask

    def _kept_lengths(self, users: np.ndarray) -> np.ndarray:
        """Vectors of each user that are kept."""
        lengths = np.maximum(self._histories.lengths[users], 1)
        tokens = getattr(self._adapter, "kept", None)
        return lengths if tokens is None else np.full_like(lengths, tokens)

    def _read_all(self) -> tuple[Tensor, np.ndarray]:
        """Vectors of all users end to end on the CPU, and where each begins."""
        lengths = self._kept_lengths(np.arange(len(self)))
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        values = torch.empty(int(offsets[-1]), self._network.width)
        for users in self._batches():
            vectors, real = self._read(users)
            begin = torch.from_numpy(offsets[users])[:, None]
            places = (begin + torch.arange(real.shape[1]))[real.cpu()]
            values[places] = vectors[real].float().cpu()
        return values, offsets

    def _batches(self) -> list[np.ndarray]:
        """Users of like length together, the longest first."""
        lengths = np.maximum(self._histories.lengths, 1)
        order, found, begin = np.argsort(-lengths, kind="stable"), [], 0
        while begin < len(order):
            step = max(1, _TOGETHER // int(lengths[order[begin]]))
            found.append(order[begin : begin + step])
            begin += step
        return found

    def _read(self, users: np.ndarray) -> tuple[Tensor, Tensor]:
        """What is kept of some users, computed."""
        network = self._network.eval()
        device = network.out.weight.device
        histories = self._histories[users]
        lengths = histories.lengths
        width = max(int(lengths.max()), 1)
        items = torch.from_numpy(histories.padded(width, fill=0).astype(np.int64)).to(device)
        known = torch.from_numpy(lengths).to(device)
        with torch.no_grad():
            states = network.users(network.embed(items.flatten()).view(*items.shape, -1))
            real = torch.arange(width, device=device) < known.clamp(min=1)[:, None]
            states = states.float() * (known > 0)[:, None, None] * real[:, :, None]
            vectors: Tensor
            vectors, real = self._adapter.summarise(states, real)
        return vectors, real
