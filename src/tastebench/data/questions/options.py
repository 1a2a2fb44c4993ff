"""Other options: likely ones, all different, and none that can be told from the options alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TRIES = 16
"""Draws of a way to change a list, before a question is given up."""


def pick(
    candidates: np.ndarray, barred: np.ndarray, n: int, key: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Some different candidates of each row that are values and are not barred.

    Args:
        candidates: Codes, -1 for none, `[q, m]`.
        barred: Codes that may not be picked, `[q, b]`.
        n: How many.
        key: Those of the smallest keys are picked, float `[q, m]`; the first ones if None.

    Returns:
        The picked codes, `[q, n]`, and which rows have so many, bool `[q]`.

    >>> pick(np.array([[5, 5, 3, 7]]), np.array([[3]]), 2)[0].tolist()
    [[5, 7]]
    """
    if key is not None:
        order = np.argsort(key, axis=1, kind="stable")
        candidates = np.take_along_axis(candidates, order, axis=1)
    is_barred = (candidates[:, :, None] == barred[:, None, :]).any(axis=2)
    good = once(np.where(is_barred, -1, candidates)) >= 0
    order = np.argsort(~good, axis=1, kind="stable")[:, :n]
    return np.take_along_axis(candidates, order, axis=1), good.sum(axis=1) >= n


def once(codes: np.ndarray) -> np.ndarray:
    """The codes of each row with -1 for one that stands before already, `[q, m]`.

    >>> once(np.array([[4, 2, 4, 4]])).tolist()
    [[4, 2, -1, -1]]
    """
    kept = codes.copy()
    for i in range(1, codes.shape[1]):
        kept[(codes[:, :i] == codes[:, i : i + 1]).any(axis=1), i] = -1
    return kept


def mirror(
    gold: np.ndarray, others: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Lists like the right one: two places changed round, two values changed round, and both.

    Changing places and changing values do not interfere, and each undoes itself: seen from any of
    the four lists the other three look alike. Options that are all changes of the right one would
    give it away as the one in their middle.

    Args:
        gold: Codes in order, `[q, w]`.
        others: Codes that may take the place of one of them, -1 for none, `[q, m]`.
        rng: Draws the changes.

    Returns:
        `[q, 4, w]` with the right list first, and which rows have four different lists, bool `[q]`.
    """
    n, width = gold.shape
    found, done = np.repeat(gold[:, None, :], 4, axis=1), np.zeros(n, dtype=bool)
    pool = np.concatenate([others, gold], axis=1)
    row = np.arange(n)
    for _ in range(_TRIES):
        i, j = rng.integers(width, size=(2, n))
        out = gold[row, rng.integers(width, size=n)]
        new = pool[row, rng.integers(pool.shape[1], size=n)]
        swapped = gold.copy()
        swapped[row, i], swapped[row, j] = gold[row, j], gold[row, i]
        lists = np.stack([gold, swapped, _renamed(gold, out, new), _renamed(swapped, out, new)], 1)
        fits = (new >= 0) & ~done & _all_differ(lists)
        found[fits] = lists[fits]
        done |= fits
    return found, done


def _renamed(lists: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    is_one, is_other = lists == one[:, None], lists == other[:, None]
    return np.where(is_one, other[:, None], np.where(is_other, one[:, None], lists))


def _all_differ(lists: np.ndarray) -> np.ndarray:
    """Whether the lists of each row are pairwise different, bool `[q]`."""
    same = (lists[:, :, None, :] == lists[:, None, :, :]).all(axis=3)
    different: np.ndarray = same.sum(axis=(1, 2)) == lists.shape[1]
    return different


def near(gold: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Other numbers near the right one: one or two off, half of it or twice as many; all positive.

    How many of them are smaller is uniform as far as there are smaller ones, so that the right one
    is not to be found in the middle.

    Args:
        gold: At least 1, int64 `[q]`.
        n: How many, at most 3.
        rng: Draws them.

    Returns:
        int64 `[q, n]`, different from each other and from `gold`.
    """
    half, twice = gold // 2, 2 * gold
    below = np.stack([gold - 1, gold - 2, np.where(half < gold - 2, half, gold - 3)], axis=1)
    above = np.stack([gold + 1, gold + 2, np.where(twice > gold + 2, twice, gold + 3)], axis=1)
    there = below >= 1
    smaller = np.minimum(rng.integers(n + 1, size=len(gold)), there.sum(axis=1))
    key = np.where(there, rng.random(below.shape), 2.0)
    below = np.take_along_axis(below, np.argsort(key, axis=1), axis=1)
    above = rng.permuted(above, axis=1)
    place = np.arange(n)
    take = place < smaller[:, None]
    return np.where(
        take, below[:, :n], np.take_along_axis(above, np.maximum(place - smaller[:, None], 0), 1)
    )


@dataclass(frozen=True, eq=False)
class Popularity:
    """Values in bands of like popularity.

    Attributes:
        band: Of each value, int64 `[v]`.
        order: Values by band, int64 `[v]`.
        total: Running sum of weights along `order`, float64 `[v]`.
        starts: Where each band begins in `order`, and the end of the last.
    """

    band: np.ndarray
    order: np.ndarray
    total: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, rates: np.ndarray, least: int = 20) -> Popularity:
        """Bands by powers of two of how often a value is taken; small ones join the next.

        Args:
            rates: How often each value is taken, above 0, `[v]`.
            least: Values of a band.
        """
        level = np.log2(rates / rates.min(initial=np.inf)).astype(np.int64)
        joined, size, band = np.zeros(int(level.max(initial=0)) + 1, dtype=np.int64), 0, 0
        for i, more in enumerate(np.bincount(level, minlength=1)):
            joined[i] = band
            size += int(more)
            if size >= least:
                size, band = 0, band + 1
        if 0 < size < least and band:
            joined[joined == band] = band - 1
        of_value = joined[level]
        order = np.argsort(of_value, kind="stable")
        starts = np.searchsorted(of_value[order], np.arange(int(of_value.max(initial=0)) + 2))
        return cls(of_value, order, np.cumsum(rates[order]), starts)

    def draw(self, like: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray:
        """Values as popular as others: from their bands, in proportion to how often they are taken.

        Args:
            like: Values, int64 `[q]`.
            m: How many to each.
            rng: Draws them.

        Returns:
            int64 `[q, m]`; a value may be drawn several times, and may be the one it is like.
        """
        band = self.band[like]
        before = np.concatenate([[0.0], self.total])
        low, high = before[self.starts[band]], before[self.starts[band + 1]]
        at = low[:, None] + rng.random((len(like), m)) * (high - low)[:, None]
        place = np.searchsorted(self.total, at, side="right")
        place = np.clip(place, self.starts[band][:, None], self.starts[band + 1][:, None] - 1)
        drawn: np.ndarray = self.order[place]
        return drawn
