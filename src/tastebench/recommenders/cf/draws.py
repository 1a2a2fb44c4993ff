"""Training pairs drawn user by user, with items that the user does not have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tastebench.ragged import Ragged


@dataclass(frozen=True, eq=False)
class DrawnPairs:
    """Some pairs and their negatives.

    Attributes:
        users: Who, int64 `[n]`.
        items: What they have, int64 `[n]`.
        negatives: What they do not have, int64 `[n, k]`; an item may come twice.
    """

    users: np.ndarray
    items: np.ndarray
    negatives: np.ndarray


class PairDraws:
    """Draws a user evenly, then one of their items evenly, then items that they do not have.

    That is the paper's definition. Its code goes through the users in turn instead, which visits
    each of them equally often within an epoch; on average it is the same. Neither draws
    interactions evenly: who took much is not heard more often. Users without items, or with all of
    them, teach nothing and are not drawn.

    Args:
        train: Items per user, sorted ascending, unique.
        n_items: Size of the catalogue.
        k: Negatives a pair.
    """

    def __init__(self, train: Ragged, n_items: int, k: int) -> None:
        self.train = train
        self.n_items = n_items
        self.k = k
        lengths = train.lengths
        self.users = np.flatnonzero((lengths > 0) & (lengths < n_items))
        # Before the j-th item of a user lie (item - j) that they do not have. Each user's counts
        # rise, so with the user in front all of them together are sorted.
        place = np.arange(len(train.values)) - np.repeat(train.offsets[:-1], lengths)
        self._missing_before = train.rows * n_items + train.values - place

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[DrawnPairs]:
        """As many pairs as there are in training, `batch_size` at a time."""
        n = len(self.train.values) if len(self.users) else 0
        for begin in range(0, n, batch_size):
            yield self.draw(rng, min(batch_size, n - begin))

    def draw(self, rng: np.random.Generator, n: int) -> DrawnPairs:
        """`n` pairs."""
        users = rng.choice(self.users, n)
        place = rng.integers(self.train.lengths[users])
        items = self.train.values[self.train.offsets[users] + place].astype(np.int64)
        return DrawnPairs(users, items, self.missing(rng, users))

    def missing(self, rng: np.random.Generator, users: np.ndarray) -> np.ndarray:
        """Per user `k` items that they do not have, each equally likely, int64 `[n, k]`.

        The r-th such item is `r` plus the number of their items that come before it, so nothing is
        drawn twice because it was no negative.
        """
        users = users[:, None]
        free = self.n_items - self.train.lengths[users]
        r = rng.integers(free, size=(len(users), self.k))
        before = np.searchsorted(self._missing_before, users * self.n_items + r, side="right")
        negatives: np.ndarray = r + before - self.train.offsets[users]
        return negatives
