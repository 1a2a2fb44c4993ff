"""The k best of every row, the same on every machine."""

from __future__ import annotations

import numpy as np


def best_columns(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the `k` highest scores of each row, best first, equal scores by column.

    A partial sort leaves open which of several equal scores it takes, and takes others on another
    processor; here the lower column wins.

    Args:
        scores: `[n, width]`, no NaN.
        k: At most `width` columns are returned.

    Returns:
        int64 `[n, min(k, width)]`.
    """
    n, width = scores.shape
    if k >= width:
        return np.argsort(-scores, axis=1, kind="stable")
    edge = np.partition(scores, width - k, axis=1)[:, width - k, None]
    keep = scores >= edge
    crowded = np.flatnonzero(np.count_nonzero(keep, axis=1) > k)
    if len(crowded):
        keep[crowded] = _first_equals(scores[crowded], edge[crowded], k)
    columns = np.nonzero(keep)[1].reshape(n, k)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _first_equals(scores: np.ndarray, edge: np.ndarray, k: int) -> np.ndarray:
    """All above the edge, and of those on it the first that fill up to `k`."""
    above, level = scores > edge, scores == edge
    missing = k - np.count_nonzero(above, axis=1, keepdims=True)
    chosen: np.ndarray = above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= missing))
    return chosen
