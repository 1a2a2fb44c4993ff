"""How sure a mean over units is: the bootstrap of users or queries.

The units (users, queries, groups) are what was sampled, so they are what is resampled (Efron &
Tibshirani 1993, ch. 13: the percentile interval). Three ways to the same interval, by cost:

- At most 256 distinct values (hit rates, one relevant item a user): how often a resample holds each
  value is multinomial, whatever the number of units.
- More values, up to 20,000 units: indices are drawn.
- More values and more units: the normal interval, mean +- z s / sqrt(n), to which the percentile
  interval tends; its ends differ by terms of order skewness x s / n (Hall 1992, ch. 3), which is
  below a hundredth of the interval's width.

A unit that stands for several rows has a weight. It is drawn whole, as clusters are (Davison &
Hinkley 1997, sec. 3.8): the mean of a resample is its sum of weight x value over its sum of
weights, and `s` above is that of weight x (value - mean) over the mean weight (Cochran 1977, sec.
2.11).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from tastebench.metrics.resample import LARGE, resampled_means

_FEW = 256


class Interval(NamedTuple):
    """A mean and how sure it is.

    Attributes:
        mean: Weighted mean over the units for which the value is defined; NaN if there is none.
        low: Lower end; NaN with fewer than two units, which say nothing of their spread.
        high: Upper end, likewise.
        n: Units for which the value is defined.
        undefined: Units for which it is not.
    """

    mean: float
    low: float
    high: float
    n: int
    undefined: int


def bootstrap(
    values: np.ndarray,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
    weights: np.ndarray | None = None,
) -> Interval:
    """The interval of the mean of `values` over resamples of its units.

    Args:
        values: One value a unit, float64 `[n]`; NaN where undefined, which is left out and counted.
        rng: Where resamples come from; the same generator state gives the same interval.
        level: Share of resamples within the interval, above 0 and below 1.
        resamples: How many to draw.
        weights: How much each unit counts, above 0 where its value is defined, `[n]`; None counts
            every unit once.

    Raises:
        ValueError: An impossible `level`, `resamples` or shape of `values`, an infinite value, or
            weights that do not fit.
    """
    if values.ndim != 1 or not 0 < level < 1 or resamples < 1:
        raise ValueError(
            f"no interval of level {level} from {resamples} resamples of {values.shape}"
        )
    if np.isinf(values).any():
        raise ValueError(f"values[{np.flatnonzero(np.isinf(values))[0]}] is infinite")
    known = ~np.isnan(values)
    defined = values[known].astype(np.float64, copy=False)
    weights = None if weights is None else _checked_weights(weights, known)
    n, undefined = len(defined), int(len(values) - len(defined))
    if n < 2:
        mean = float(defined[0]) if n else float("nan")
        return Interval(mean, float("nan"), float("nan"), n, undefined)
    mean = float(np.average(defined, weights=weights))
    low, high = _ends(defined, weights, rng, level, resamples)
    return Interval(mean, min(low, mean), max(high, mean), n, undefined)


def _checked_weights(weights: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """The weights of the units whose value is defined, float64; None where they are all equal."""
    if weights.shape != known.shape:
        raise ValueError(f"{weights.shape} weights do not fit {known.shape} values")
    bad = np.flatnonzero(known & ~((weights > 0) & np.isfinite(weights)))
    if len(bad):
        raise ValueError(f"weights[{bad[0]}] is {weights[bad[0]]}: a weight is a number above 0")
    kept = weights[known].astype(np.float64, copy=False)
    return None if (kept == kept[:1]).all() else kept


def _ends(
    values: np.ndarray,
    weights: np.ndarray | None,
    rng: np.random.Generator,
    level: float,
    resamples: int,
) -> tuple[float, float]:
    n = len(values)
    kinds, counts = _kinds(values, weights)
    if len(counts) <= _FEW:
        drawn = rng.multinomial(n, counts / n, size=resamples)
        if weights is None:
            means = drawn @ values[kinds] / n
        else:
            means = drawn @ (weights * values)[kinds] / (drawn @ weights[kinds])
    elif n <= LARGE:
        means = resampled_means(values[:, None], weights, rng, resamples)
    else:
        mean = np.average(values, weights=weights)
        pull = values if weights is None else weights * (values - mean) / weights.mean()
        half = NormalDist().inv_cdf((1 + level) / 2) * pull.std(ddof=1) / np.sqrt(n)
        return float(mean - half), float(mean + half)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _kinds(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """A unit of each kind, equal value and weight, and how many there are of the kind."""
    if weights is None:
        return np.unique(values, return_index=True, return_counts=True)[1:]
    kind = np.unique(values, return_inverse=True)[1]
    weight, weight_kind = np.unique(weights, return_inverse=True)
    pair = kind * len(weight) + weight_kind
    return np.unique(pair, return_index=True, return_counts=True)[1:]
