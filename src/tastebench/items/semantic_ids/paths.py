"""Paths as arrays: which are equal, and the code that tells equal ones apart."""

from __future__ import annotations

import numpy as np


def prefix_groups(codes: np.ndarray) -> np.ndarray:
    """Which rows begin alike: column `j` numbers the distinct prefixes of `j + 1` codes.

    Args:
        codes: int64 `[n, width]`, -1 or more.

    Returns:
        int64 `[n, width]`; numbers ascend with the prefix, code by code.
    """
    n, width = codes.shape
    out = np.empty((n, width), dtype=np.int64)
    group = np.zeros(n, dtype=np.int64)
    span = int(codes.max(initial=-1)) + 2  # codes and -1; at most n groups: no product overflows
    for level in range(width):
        _, group = np.unique(group * span + codes[:, level] + 1, return_inverse=True)
        out[:, level] = group
    return out


def same_path(codes: np.ndarray) -> np.ndarray:
    """A number for each distinct path, int64 `[n]`."""
    return prefix_groups(codes)[:, -1]


def order_within(group: np.ndarray) -> np.ndarray:
    """The place of each row among those of its group, from 0, in the order of the rows.

    >>> order_within(np.array([3, 1, 3, 3, 1])).tolist()
    [0, 0, 1, 2, 1]
    """
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1 if len(ordered) == 0 else ordered[0] - 1))
    lengths = np.diff(begins, append=len(group))
    out = np.empty(len(group), dtype=np.int64)
    out[order] = np.arange(len(group)) - np.repeat(begins, lengths)
    return out


def tie_codes(codes: np.ndarray, always: bool) -> np.ndarray:
    """The code that tells equal paths apart, int64 `[n]`.

    Numbered within a path in the order of the rows. Where it is not needed it is 0 if `always`,
    else -1: the path ends.
    """
    group = same_path(codes)
    place = order_within(group)
    if always:
        return place
    return np.where(np.bincount(group)[group] > 1, place, -1) if len(group) else place
