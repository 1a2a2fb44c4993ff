"""The k best of every row, the same on every machine."""

from __future__ import annotations

import numpy as np

from tastebench.ragged import Ragged

_GROUPS = 8  # groups of columns per wanted item
_WIDE = 32  # columns per wanted item from which narrowing pays


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
    if width < _WIDE * k:
        return _partitioned(scores, k)
    # Columns fall into groups; at least k scores reach the k-th highest of the groups' maxima, and
    # seldom many more do. What lies below needs no sorting, which would cost the most.
    groups, depth = _GROUPS * k, width // (_GROUPS * k)
    maxima = scores[:, : groups * depth].reshape(n, depth, groups).max(axis=1)
    bound = np.partition(maxima, groups - k, axis=1)[:, groups - k, None]
    candidates = scores >= bound
    count = np.count_nonzero(candidates, axis=1)
    few = count <= width // 8
    best = np.empty((n, k), np.int64)
    best[~few] = _partitioned(scores[~few], k)
    best[few] = _among(scores, candidates, few, count, k)
    return best


def _among(
    scores: np.ndarray, candidates: np.ndarray, rows: np.ndarray, count: np.ndarray, k: int
) -> np.ndarray:
    """The best of the candidates in the rows of a mask."""
    if not rows.any():
        return np.empty((0, k), np.int64)
    row, column = np.divmod(np.flatnonzero(candidates[rows]), scores.shape[1])
    columns = Ragged.from_lengths(column, count[rows])
    values = Ragged(scores[np.flatnonzero(rows)[row], column], columns.offsets)
    widest = int(columns.lengths.max())
    # Candidates keep the order of their columns and the filling comes last: ties stay as they are.
    place = _partitioned(values.padded(widest, fill=-np.inf), k)
    return np.take_along_axis(columns.padded(widest), place, axis=1)


def _partitioned(scores: np.ndarray, k: int) -> np.ndarray:
    """The same by a partial sort of whole rows."""
    n, width = scores.shape
    if k >= width:
        return np.argsort(-scores, axis=1, kind="stable")
    edge = np.partition(scores, width - k, axis=1)[:, width - k, None]
    keep = scores >= edge
    crowded = np.flatnonzero(np.count_nonzero(keep, axis=1) > k)
    if len(crowded):
        keep[crowded] = _first_equals(scores[crowded], edge[crowded], k)
    columns = (np.flatnonzero(keep) % width).reshape(n, k)
    order = np.argsort(-np.take_along_axis(scores, columns, axis=1), axis=1, kind="stable")
    return np.take_along_axis(columns, order, axis=1)


def _first_equals(scores: np.ndarray, edge: np.ndarray, k: int) -> np.ndarray:
    """All above the edge, and of those on it the first that fill up to `k`."""
    above, level = scores > edge, scores == edge
    missing = k - np.count_nonzero(above, axis=1, keepdims=True)
    chosen: np.ndarray = above | (level & (np.cumsum(level, axis=1, dtype=np.int32) <= missing))
    return chosen
