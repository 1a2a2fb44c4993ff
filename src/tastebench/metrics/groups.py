"""Values of rows by the group that each row is of."""

from __future__ import annotations

import numpy as np


def mean_by(
    group: np.ndarray, values: np.ndarray, n_groups: int, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of each group's values that are not NaN, and the sum of their weights.

    Args:
        group: Group of each value, integers `[n]`.
        values: NaN where undefined, float64 `[n]`.
        n_groups: Number of groups.
        weights: Above 0 where a value is defined, `[n]`; None counts every value once.

    Returns:
        Means, NaN where a group has none, and weights, float64 `[n_groups]` each.

    >>> mean_by(np.array([0, 0, 1]), np.array([1.0, 0.0, np.nan]), 2)
    (array([0.5, nan]), array([2., 0.]))
    """
    defined = ~np.isnan(values)
    group, values = group[defined], values[defined]
    weights = np.ones(len(values)) if weights is None else weights[defined]
    total = np.bincount(group, weights * values, n_groups)
    weight = np.bincount(group, weights, n_groups)
    mean = np.full(n_groups, np.nan)
    np.divide(total, weight, out=mean, where=weight > 0)
    return mean, weight


def dense(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids as 0 .. g - 1 without gaps, and the id that each stands for, ascending.

    >>> dense(np.array([7, 5, 7]))
    (array([1, 0, 1]), array([5, 7]))
    """
    low = int(ids.min()) if len(ids) else 0
    span = int(ids.max()) - low + 1 if len(ids) else 0
    if span <= 4 * len(ids):
        # Counting is several times faster than the sort in np.unique.
        shifted = ids - low
        present = np.zeros(span, dtype=bool)
        present[shifted] = True
        return (np.cumsum(present) - 1)[shifted], np.flatnonzero(present) + low
    found, index = np.unique(ids, return_inverse=True)
    return index, found.astype(np.int64)
