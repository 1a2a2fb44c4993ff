"""Means of resamples of units, of several models at once.

Models that answered the same questions are compared on the same resamples (Efron & Tibshirani 1993,
ch. 8): what makes a question hard for all of them then cancels, and differences are as sure as they
are.
"""

from __future__ import annotations

import numpy as np

LARGE = 20_000
"""Above so many units, means are taken as normal rather than drawn: their distribution tends to it,
with an error of order skewness / sqrt(n) (Hall 1992, ch. 3), at a cost that does not grow."""

_TOGETHER = 64  # resamples


def resampled_means(
    values: np.ndarray, weights: np.ndarray | None, rng: np.random.Generator, n_resamples: int
) -> np.ndarray:
    """The weighted mean of each model in each resample of the units.

    Units without any value are left out first. Models with the same values have the same means, to
    the last bit, so that what ties goes on to tie.

    Args:
        values: Of each unit and model, float64 `[n, models]`; NaN where undefined.
        weights: How much each unit counts, `[n]`; None counts every unit once.
        rng: Where resamples come from.
        n_resamples: How many to draw.

    Returns:
        float64 `[n_resamples, models]`; NaN where no unit of the resample has a value.
    """
    known = ~np.isnan(values)
    used, able = known.any(axis=1), known.any(axis=0)
    means = np.full((n_resamples, len(able)), np.nan)
    if not able.any():
        return means
    known, values = known[used][:, able], values[used][:, able]
    counts = known * (np.ones(len(known)) if weights is None else weights[used])[:, None]
    sums = np.where(known, values, 0.0) * counts
    distinct, model = _distinct(np.concatenate([sums, counts]))
    sums, counts = np.split(distinct, 2)
    draw = _normal if len(sums) > LARGE else _drawn
    means[:, able] = draw(sums, counts, rng, n_resamples)[:, model]
    return means


def _distinct(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The columns that differ from those before them, and which of these each column is."""
    seen: dict[bytes, int] = {}
    which = [seen.setdefault(column.tobytes(), len(seen)) for column in columns.T]
    return columns[:, np.unique(which, return_index=True)[1]], np.array(which, dtype=np.int64)


def _drawn(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, n_resamples: int
) -> np.ndarray:
    n, models = sums.shape
    means = np.full((n_resamples, models), np.nan)
    for start in range(0, n_resamples, _TOGETHER):
        rows = range(start, min(start + _TOGETHER, n_resamples))
        # How often each unit is in each resample: one matrix product then does all models.
        times = np.empty((len(rows), n))
        for row in times:
            row[:] = np.bincount(rng.integers(0, n, size=n, dtype=np.int32), minlength=n)
        total = times @ counts
        np.divide(times @ sums, total, out=means[rows.start : rows.stop], where=total > 0)
    return means


def _normal(
    sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, n_resamples: int
) -> np.ndarray:
    """Draws from the joint normal distribution of ratios of sums (Cochran 1977, sec. 6.3)."""
    n = len(sums)
    mean = sums.sum(axis=0) / counts.sum(axis=0)
    pull = (sums - counts * mean) / counts.mean(axis=0)
    spread = pull.T @ pull / (n * (n - 1))
    return rng.multivariate_normal(mean, spread, size=n_resamples, method="eigh")
