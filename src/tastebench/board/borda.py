"""The Borda count: one order of models over columns that cannot be averaged.

Exactly as MTEB counts (Enevoldsen et al. 2025; Colombo et al. 2022): within a column the models are
ranked by falling score, ties share the mean rank, and a model gets `n - rank` points, `n` being all
models of the table. A missing score gets none. Counted on unrounded scores.
"""

from __future__ import annotations

import numpy as np


def borda_points(scores: np.ndarray) -> np.ndarray:
    """Points of each model in each column, float64 `[n, c]`.

    Args:
        scores: Higher is better, `[n, c]`; NaN where missing.

    >>> borda_points(np.array([[0.2, 0.3], [0.2, 0.1], [0.1, 0.2]])).sum(axis=1).tolist()
    [3.5, 1.5, 1.0]
    """
    points = np.zeros(scores.shape)
    for column, into in zip(scores.T, points.T, strict=True):
        known = np.flatnonzero(~np.isnan(column))
        above, tied = _above_and_tied(column[known])
        into[known] = len(scores) - (above + (tied + 1) / 2)
    return points


def final_ranks(totals: np.ndarray) -> np.ndarray:
    """Ranks by falling total, ties share the best rank, int64 `[n]`.

    >>> final_ranks(np.array([3.0, 5.0, 3.0, 1.0])).tolist()
    [2, 1, 2, 4]
    """
    return 1 + _above_and_tied(totals)[0]


def _above_and_tied(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many are higher than each, and how many as high, itself included; int64 `[n]` each."""
    rising = np.sort(values)
    left, right = (np.searchsorted(rising, values, side=side) for side in ("left", "right"))
    return len(values) - right, right - left


def overall_average(scores: np.ndarray) -> np.ndarray:
    """Avg(Overall): the mean over all columns, float64 `[n]`; NaN if one is missing."""
    if not scores.shape[1]:
        return np.full(len(scores), np.nan)
    average: np.ndarray = scores.mean(axis=1)
    return average


def task_average(scores: np.ndarray, tasks: list[str]) -> np.ndarray:
    """Avg(Task): the mean over tasks of the mean over each task's columns, float64 `[n]`.

    Args:
        scores: `[n, c]`; a model with a missing score has no average (NaN).
        tasks: The task of each column.
    """
    parts = [
        scores[:, [other == task for other in tasks]].mean(axis=1) for task in dict.fromkeys(tasks)
    ]
    return np.mean(parts, axis=0) if parts else np.full(len(scores), np.nan)
