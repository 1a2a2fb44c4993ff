"""How sure a mean over units is: the bootstrap of users or queries.

The units (users, queries, groups) are what was sampled, so they are what is resampled (Efron &
Tibshirani 1993, ch. 13: the percentile interval). Three ways to the same interval, by cost:

- At most 256 distinct values (hit rates, one relevant item a user): how often a resample holds each
  value is multinomial, whatever the number of units.
- More values, up to 20,000 units: indices are drawn.
- More values and more units: the normal interval, mean +- z s / sqrt(n), to which the percentile
  interval tends; its ends differ by terms of order skewness x s / n (Hall 1992, ch. 3), which is
  below a hundredth of the interval's width.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LARGE = 20_000
_FEW = 256
_CHUNK = 2**21  # indices drawn at a time


class Interval(NamedTuple):
    """A mean and how sure it is.

    Attributes:
        mean: Mean over the units for which the value is defined; NaN if there is none.
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
) -> Interval:
    """The interval of the mean of `values` over resamples of its units.

    Args:
        values: One value a unit, float64 `[n]`; NaN where undefined, which is left out and counted.
        rng: Where resamples come from; the same generator state gives the same interval.
        level: Share of resamples within the interval, above 0 and below 1.
        resamples: How many to draw.

    Raises:
        ValueError: An impossible `level`, `resamples` or shape of `values`, or an infinite value.
    """
    if values.ndim != 1 or not 0 < level < 1 or resamples < 1:
        raise ValueError(
            f"no interval of level {level} from {resamples} resamples of {values.shape}"
        )
    if np.isinf(values).any():
        raise ValueError(f"values[{np.flatnonzero(np.isinf(values))[0]}] is infinite")
    defined = values[~np.isnan(values)].astype(np.float64, copy=False)
    n, undefined = len(defined), int(len(values) - len(defined))
    if n < 2:
        mean = float(defined[0]) if n else float("nan")
        return Interval(mean, float("nan"), float("nan"), n, undefined)
    mean = float(defined.mean())
    low, high = _ends(defined, rng, level, resamples)
    return Interval(mean, min(low, mean), max(high, mean), n, undefined)


def _ends(
    values: np.ndarray, rng: np.random.Generator, level: float, resamples: int
) -> tuple[float, float]:
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= _FEW:
        drawn = rng.multinomial(len(values), counts / len(values), size=resamples)
        means = drawn @ distinct / len(values)
    elif len(values) <= LARGE:
        means = _resampled_means(values, rng, resamples)
    else:
        half = NormalDist().inv_cdf((1 + level) / 2) * values.std(ddof=1) / np.sqrt(len(values))
        mean = values.mean()
        return float(mean - half), float(mean + half)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resampled_means(values: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
    n = len(values)
    means = np.empty(resamples)
    step = max(1, _CHUNK // n)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.integers(0, n, size=(stop - start, n), dtype=np.int32)
        means[start:stop] = values[drawn].mean(axis=1)
    return means
