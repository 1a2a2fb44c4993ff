"""How far two lists of numbers about the same models agree.

Pearson's r on the numbers, Spearman's rho on their average ranks, both with a two-sided p from
t = r sqrt((n - 2) / (1 - r^2)) with n - 2 degrees of freedom; Kendall's tau-b (Kendall 1945) on the
pairs that agree and disagree. For few models the t distribution is an approximation that nobody
needs: up to nine, Spearman's p is also counted over all orders, Kendall's where nothing ties.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

EXACT = 9
"""Up to so many models all orders are counted: 9! = 362,880."""

FEW = 5
"""Below so many models a coefficient says next to nothing."""

_EXACT_TAU = 33  # SciPy's own limit for the exact distribution of tau


@dataclass(frozen=True)
class Correlation:
    """A coefficient and how likely one as large is by chance.

    Attributes:
        value: From -1 to 1; None where it is undefined: fewer than two models, or all equal.
        n: Models in both lists.
        p: Two-sided, from an approximate distribution; None below three models.
        p_exact: Two-sided, over all orders of the models; None where there are too many.
    """

    name: Literal["spearman", "kendall", "pearson"]
    value: float | None
    n: int
    p: float | None = None
    p_exact: float | None = None


def pearson(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Pearson's r of two lists, float64 `[n]` each.

    >>> found = pearson(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    >>> round(found.value, 4), round(found.p, 4)
    (0.5, 0.6667)
    """
    value = _r(x, y)
    return Correlation("pearson", value, len(x), _p_of_t(value, len(x)))


def spearman(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Spearman's rho of two lists, float64 `[n]` each; ties share their average rank."""
    x, y = average_ranks(x), average_ranks(y)
    value, n = _r(x, y), len(x)
    exact = _p_of_orders(x, y) if value is not None and n <= EXACT else None
    return Correlation("spearman", value, n, _p_of_t(value, n), exact)


def kendall(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Kendall's tau-b of two lists, float64 `[n]` each."""
    from scipy.stats import kendalltau

    n, tau = len(x), kendalltau(x, y).statistic if _r(x, y) is not None else None
    if tau is None or n < 3:
        return Correlation("kendall", None if tau is None else float(tau), n)
    p = float(kendalltau(x, y, method="asymptotic").pvalue)
    untied = len(np.unique(x)) == len(np.unique(y)) == n
    counted = untied and n <= _EXACT_TAU
    exact = float(kendalltau(x, y, method="exact").pvalue) if counted else None
    return Correlation("kendall", float(tau), n, p, exact)


def average_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1 for the smallest, float64 `[n]`; ties share their average.

    >>> average_ranks(np.array([0.5, 0.1, 0.5])).tolist()
    [2.5, 1.0, 2.5]
    """
    below = (values[None] < values[:, None]).sum(axis=1)
    tied = (values[None] == values[:, None]).sum(axis=1)
    ranks: np.ndarray = below + (tied + 1) / 2
    return ranks


def _r(x: np.ndarray, y: np.ndarray) -> float | None:
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    r = float(x @ y / math.sqrt((x @ x) * (y @ y)))
    return min(1.0, max(-1.0, r))


def _p_of_t(r: float | None, n: int) -> float | None:
    from scipy.special import stdtr

    if r is None or n < 3:
        return None
    if abs(r) == 1:
        return 0.0
    return float(2 * stdtr(n - 2, -abs(r) * math.sqrt((n - 2) / (1 - r * r))))


def _p_of_orders(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the orders of `y` whose coefficient is at least as far from 0."""
    x = x - x.mean()
    sums = np.abs(y[_orders(len(y))] @ x)
    return float((sums >= abs(float(y @ x)) - 1e-9).mean())


def _orders(n: int) -> np.ndarray:
    """All orders of `n` things, int8 `[n!, n]`."""
    orders = np.zeros((1, 1), dtype=np.int8)
    for new in range(1, n):
        placed = [np.insert(orders, place, new, axis=1) for place in range(new + 1)]
        orders = np.concatenate(placed)
    return orders
