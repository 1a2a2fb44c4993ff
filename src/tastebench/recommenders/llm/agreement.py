"""How alike two ways of scoring the same candidates order them."""

from __future__ import annotations

import numpy as np

from tastebench.ragged import spans


def agreement(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> float:
    """Kendall's tau-a over all pairs of candidates of one asker; NaN where there is no pair.

    1 is the same order, -1 the reverse, 0 no relation; a pair that is tied in either adds 0.

    Args:
        a: Scores, `[n]`.
        b: Other scores of the same candidates, `[n]`.
        lengths: Candidates of each asker, in their order, `[q]`.

    >>> agreement(np.array([3, 2, 1]), np.array([3, 1, 2]), np.array([3]))
    0.3333333333333333
    """
    ends = np.repeat(np.cumsum(lengths), lengths)
    own = np.arange(len(a))
    behind = ends - own - 1
    first, second = np.repeat(own, behind), spans(own + 1, behind)
    if not len(first):
        return float("nan")
    return float((np.sign(a[first] - a[second]) * np.sign(b[first] - b[second])).mean())


def place_correlation(order: np.ndarray) -> float:
    """Spearman's correlation of where candidates were shown and where a model put them.

    Args:
        order: Shown places, best first: a permutation of `0 .. n - 1`, `n` of 2 or more.

    >>> place_correlation(np.array([0, 1, 2])), place_correlation(np.array([2, 1, 0]))
    (1.0, -1.0)
    """
    n = len(order)
    squares = float(((order - np.arange(n)) ** 2).sum())
    return 1 - 6 * squares / (n * (n * n - 1))
