"""Error over size as a power law: the fit, and how sure it is.

    error(x) = min(scale * x ** -exponent, ceiling)

The usual form of scaling laws (Hestness et al. 2017, arXiv:1712.00409; Kaplan et al. 2020,
arXiv:2001.08361), with the error of guessing as its ceiling: one of `k` options is right once in
`k`, so no encoder is small enough for more than `1 - 1 / k`. There is no floor: it would be a third
number, and the few sizes that anybody trains cannot tell it from the exponent.

Both numbers are those of the straight line through log(error) over log(size), by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tastebench.metrics.resample import resampled_means

FEWEST = 3
"""Sizes that a fit needs: through two there is always a line."""

_LEVEL = 0.95


class Line(NamedTuple):
    """Power laws, one or many: both are numbers, or arrays of one shape."""

    exponent: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """A fit with its interval.

    Attributes:
        exponent, scale: Of the law.
        ceiling: The error of guessing.
        explained: Share of the variance of log(error) that the line explains.
        low, high: Ends of the 95 % interval of the exponent; None where it is not known.
        resampled: The laws of the resamples; None where there are none.
    """

    exponent: float
    scale: float
    ceiling: float
    explained: float
    low: float | None = None
    high: float | None = None
    resampled: Line | None = None

    def error(self, sizes: np.ndarray) -> np.ndarray:
        """The error at each size, float64 `[n]`."""
        return np.minimum(self.scale * sizes**-self.exponent, self.ceiling)

    def band(self, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Ends of the 95 % interval of the error at each size; None where it is not known."""
        if self.resampled is None:
            return None
        exponent, scale = (number[:, None] for number in self.resampled)
        drawn = np.minimum(scale * sizes**-exponent, self.ceiling)
        low, high = np.quantile(drawn, _ends(), axis=0)
        return low, high


def line(sizes: np.ndarray, errors: np.ndarray) -> Line:
    """Least squares of log(error) over log(size).

    Args:
        sizes: Above 0, not all alike, `[n]`.
        errors: Above 0, `[..., n]`: a law for each row.
    """
    x = np.log(sizes.astype(np.float64))
    centred = x - x.mean()
    y = np.log(errors)
    slope = y @ centred / (centred @ centred)
    return Line(-slope, np.exp(y.mean(axis=-1) - slope * x.mean()))


def fit(
    sizes: np.ndarray,
    errors: np.ndarray,
    ceiling: float,
    resampled: np.ndarray | None = None,
    floor: float = 0.0,
) -> PowerLaw | None:
    """The law through the sizes whose error is below that of guessing.

    Whoever guesses has learned nothing that could scale, and is left out; of the resamples the same
    sizes are taken as of what was measured.

    Args:
        sizes: Above 0, `[n]`.
        errors: 1 - accuracy of each, `[n]`.
        ceiling: The error of guessing.
        resampled: Errors over resamples of the users, `[resamples, n]`; None for none.
        floor: Stands for an error of 0, which has no logarithm: half an answer.

    Returns:
        None where fewer than three different sizes do better than guessing.
    """
    known = errors < ceiling
    if len(np.unique(sizes[known])) < FEWEST:
        return None
    x, y = sizes[known], np.maximum(errors[known], floor)
    own = line(x, y)
    exponent, scale = float(own.exponent), float(own.scale)
    rest = np.log(y) - np.log(scale) + exponent * np.log(x)
    spread = float(np.log(y).var())
    explained = 1 - float((rest**2).mean()) / spread if spread else 1.0
    if resampled is None:
        return PowerLaw(exponent, scale, ceiling, explained)
    drawn = line(x, np.maximum(resampled[:, known], floor))
    low, high = (float(end) for end in np.quantile(drawn.exponent, _ends()))
    return PowerLaw(
        exponent, scale, ceiling, explained, min(low, exponent), max(high, exponent), drawn
    )


def resampled_errors(
    values: np.ndarray, weights: np.ndarray, rng: np.random.Generator, resamples: int = 1000
) -> np.ndarray:
    """1 - accuracy of all sizes over resamples of the same users, `[resamples, n]`.

    A user is drawn for all sizes at once: who is hard to answer for one is for the others.

    Args:
        values: Accuracy of each user, `[users, n]`; NaN where nothing was asked.
        weights: Questions of each user, `[users]`.
        rng: Where resamples come from.
        resamples: How many to draw.
    """
    return 1 - resampled_means(values, weights, rng, resamples)


def _ends() -> tuple[float, float]:
    return (1 - _LEVEL) / 2, (1 + _LEVEL) / 2
