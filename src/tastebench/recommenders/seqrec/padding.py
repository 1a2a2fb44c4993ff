"""Rows of very different lengths, kept apart: padding costs what items do, in time and memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TRAINED_TOGETHER = 2**15  # places of a batch, padding included, that are not worth cutting it for
ASKED_PLACES = 2**16  # places, padding included, that are read together when nobody trains


def alike(length: np.ndarray, places: int = TRAINED_TOGETHER) -> list[np.ndarray]:
    """The rows of a batch in groups that hold no more padding than items, longest group first.

    A batch of at most `places` stays whole, and so does one of rows of similar length, however
    large: what is cut off are the few rows that all others would be padded to.

    Args:
        length: Of each row, int64 `[b]`.
        places: Rows times the longest of them that nobody minds.

    Returns:
        Indices of rows, ascending in a group.

    >>> [group.tolist() for group in alike(np.array([3, 90, 2, 60, 4]), places=20)]
    [[1, 3], [0, 2, 4]]
    """
    rows, groups = np.arange(len(length)), []
    while len(rows):
        longest = int(length[rows].max())
        if len(rows) * longest <= max(places, 2 * int(length[rows].sum())):
            groups.append(rows)
            break
        long = 2 * length[rows] > longest
        groups.append(rows[long])
        rows = rows[~long]
    return groups


def asked_together(
    length: np.ndarray, rows: int, places: int = ASKED_PLACES
) -> Iterator[np.ndarray]:
    """All rows in the order of their lengths, so many at once that they fit.

    Args:
        length: Of each row, int64 `[n]`.
        rows: At most as many at once.
        places: Rows times the longest of them, unless a single row has more.

    >>> [part.tolist() for part in asked_together(np.array([5, 1, 9, 2, 2]), rows=3, places=10)]
    [[1, 3, 4], [0], [2]]
    """
    order = np.argsort(length, kind="stable")
    ordered, begin = length[order], 0
    while begin < len(order):
        ends = np.arange(1, min(rows, len(order) - begin) + 1)
        padded = ends * ordered[begin : begin + len(ends)]  # grows with every row
        n = max(1, int(np.searchsorted(padded, places, side="right")))
        yield order[begin : begin + n]
        begin += n
