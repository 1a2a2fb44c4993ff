"""What a click is told apart from in matching: the user's own unclicked items first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tastebench.contracts import CtrProblem
from tastebench.ragged import Ragged

MOST_KEPT = 100
"""Unclicked items kept of a group, the first ones."""


@dataclass(frozen=True, eq=False)
class OwnNegatives:
    """Draws of negatives for the clicks of the training part.

    A group (a user, or an impression where the protocol compares within impressions) lends its
    unclicked items, each row at most once a click; what is lacking is drawn from all items that its
    user is not known to have clicked. An item that the group has clicked as well, shown once more,
    is none of its unclicked ones: a click would be told apart from itself.

    Attributes:
        unclicked: Unclicked items by group, dense numbers.
        group: Group of every training row, dense numbers, int64 `[n]`.
        user: User of every training row, int64 `[n]`.
        clicked: `user * n_items + item` of what users are known to have clicked, sorted.
    """

    n_items: int
    unclicked: Ragged
    group: np.ndarray
    user: np.ndarray
    clicked: np.ndarray

    @classmethod
    def of(cls, problem: CtrProblem) -> OwnNegatives:
        """The negatives of a problem's training part; valid and test lend none."""
        train = problem.train
        groups, group = np.unique(train.group, return_inverse=True)
        not_clicked = train.label == 0
        shown = group * problem.n_items + train.item
        lent = not_clicked & ~np.isin(shown, shown[~not_clicked])
        unclicked = Ragged.from_rows(group[lent], train.item[lent], len(groups))
        lengths = np.minimum(unclicked.lengths, MOST_KEPT)
        unclicked = Ragged.windows(unclicked.values, unclicked.offsets[:-1] + lengths, lengths)
        # A user has several contexts where histories grow; each tells what was clicked before.
        contexts, first = np.unique(train.context, return_index=True)
        known = problem.history[contexts]
        before = np.repeat(train.user[first], known.lengths) * problem.n_items + known.values
        clicks = train.user[~not_clicked] * problem.n_items + train.item[~not_clicked]
        return cls(
            problem.n_items, unclicked, group, train.user, np.unique(np.append(before, clicks))
        )

    def draw(self, rows: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        """Items for each of some training rows, int64 `[len(rows), k]`.

        Of a group's own unclicked items `k` different rows are taken; drawn ones are different too
        unless the catalogue is too small for that.
        """
        group = self.group[rows]
        own = self.unclicked.lengths[group]
        place = _distinct(own, k, rng)
        start = self.unclicked.offsets[group]
        lent = place < own[:, None]
        at = np.where(lent, start[:, None] + np.minimum(place, own[:, None] - 1), 0)
        values = self.unclicked.values if len(self.unclicked.values) else np.zeros(1, np.int32)
        items = np.where(lent, values[at], -1).astype(np.int64)
        return self._filled(items, self.user[rows], rng)

    def _filled(self, items: np.ndarray, user: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same with every -1 drawn from what its user is not known to have clicked."""
        for _ in range(_ROUNDS):
            row, column = np.nonzero(items < 0)
            if not len(row):
                return items
            # The first gap of each row only, so that two gaps are not filled with one item.
            row, first = np.unique(row, return_index=True)
            column = column[first]
            drawn = rng.integers(self.n_items, size=len(row))
            key = user[row] * self.n_items + drawn
            at = np.minimum(np.searchsorted(self.clicked, key), len(self.clicked) - 1)
            known = self.clicked[at] == key
            twice = (items[row] == drawn[:, None]).any(axis=1)
            fine = ~(known | twice)
            items[row[fine], column[fine]] = drawn[fine]
        # Whoever clicked nearly everything is told apart from anything.
        row, column = np.nonzero(items < 0)
        items[row, column] = rng.integers(self.n_items, size=len(row))
        return items


_ROUNDS = 100


def _distinct(length: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """`k` different places below each length, at random; all of them, then more, where shorter.

    Floyd's sampling, a column at a time: the j-th draw is from the first `length - k + j + 1`
    places, and takes the last of these where it has been drawn before (Bentley & Floyd 1987).
    """
    n = np.maximum(length, k)
    places = np.empty((len(length), k), dtype=np.int64)
    for j in range(k):
        last = n - k + j
        drawn = (rng.random(len(length)) * (last + 1)).astype(np.int64)
        before = (places[:, :j] == drawn[:, None]).any(axis=1)
        places[:, j] = np.where(before, last, drawn)
    return places
