"""Candidate pools for search: the right answers among items of their own kind."""

from __future__ import annotations

import numpy as np


def sample_pool(
    target: np.ndarray, category: np.ndarray, per_target: int, rng: np.random.Generator
) -> np.ndarray:
    """The targets, and for each `per_target` other items of its category, drawn uniformly.

    Draws of one target are without replacement, those of two targets independent, and the pool is
    the union of them all, so it has at most `(per_target + 1) * len(target)` items. A category with
    too few items gives all it has. This is how Amazon-C4's pool was made (Hou et al. 2024,
    arXiv:2403.03952, with 50 a query); a right answer is never drawn as its own negative.

    Args:
        target: Item row of each right answer, int64 `[n]`; one that repeats draws again.
        category: Category of each item, integers `[n_items]`.
        per_target: Items to draw for each target.
        rng: Decides the draws.

    Returns:
        Item rows, int64, ascending, each once.
    """
    by_category = np.argsort(category, kind="stable")
    position = np.empty(len(category), dtype=np.int64)
    position[by_category] = np.arange(len(category))
    ordered = category[by_category]
    own = category[target]
    start = np.searchsorted(ordered, own)
    others = np.searchsorted(ordered, own, side="right") - start - 1
    small = others < per_target
    chosen = np.isin(category, own[small])
    chosen[target] = True
    start, place = start[~small], (position[target] - start)[~small]
    drawn = _subsets(others[~small], per_target, rng)
    drawn += drawn >= place[:, None]  # the target itself is passed over
    chosen[by_category[start[:, None] + drawn]] = True
    return np.flatnonzero(chosen)


def _subsets(size: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform subset of `k` of `range(size[i])` for each i, int64 `[n, k]`; `k <= size[i]`.

    Floyd's algorithm (Bentley and Floyd 1987, CACM 30, 9), one step for all rows at a time.
    """
    chosen = np.empty((len(size), k), dtype=np.int64)
    for step in range(k):
        last = size - k + step
        drawn = rng.integers(0, last, endpoint=True)
        taken = (chosen[:, :step] == drawn[:, None]).any(axis=1)
        chosen[:, step] = np.where(taken, last, drawn)
    return chosen
