"""Reliability: whether what is predicted with 30 % happens in 30 % of the cases."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from tastebench.metrics.click import ECE_BINS

Spacing = Literal["width", "mass"]


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram as arrays: a bin of probabilities each, rising.

    Attributes:
        edges: Where bins begin, and the end of the last, float64 `[b + 1]`, from 0 to 1. A bin
            holds its lower edge, the last also 1.
        rows: Rows of each bin, int64 `[b]`.
        probability: Mean predicted probability, float64 `[b]`; NaN in a bin without rows, as below.
        rate: Share of rows with label 1, float64 `[b]`.
        low: Lower end of the interval of the rate, float64 `[b]`.
        high: Upper end, likewise.
    """

    edges: np.ndarray
    rows: np.ndarray
    probability: np.ndarray
    rate: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error in these bins; NaN without rows.

        With 15 bins of equal width it is the metric `ece`.
        """
        used = self.rows > 0
        if not used.any():
            return float("nan")
        gaps = np.abs(self.rate[used] - self.probability[used])
        return float(np.average(gaps, weights=self.rows[used]))


def reliability(
    label: np.ndarray,
    probability: np.ndarray,
    bins: int = ECE_BINS,
    spacing: Spacing = "width",
    unit: np.ndarray | None = None,
    level: float = 0.95,
) -> Reliability:
    """Predicted against observed rates, bin by bin (Murphy & Winkler 1977).

    The interval of a rate is Wilson's (1927), which holds for few rows and for rates of 0 and 1.
    Rows of one user resemble each other; where `unit` says whose a row is, the bin's number of rows
    is divided by its design effect before (Korn & Graubard 1998): the variance of the rate over
    units, by that over independent rows, 1 at least. Where all labels of a bin are equal there is
    no variance to compare, and its units are what is counted.

    Args:
        label: 0 or 1, `[n]`.
        probability: Of label 1, within [0, 1], `[n]`.
        bins: How many at most: with `mass`, equal probabilities are never put into two bins.
        spacing: Bins of equal width, or of equal numbers of rows.
        unit: User of each row, integers `[n]`; None takes rows for independent.
        level: Of the intervals, above 0 and below 1.

    Raises:
        ValueError: Arrays that do not fit, another label, a probability outside [0, 1] or NaN, or
            an impossible `bins`, `spacing` or `level`.

    >>> shown = reliability(np.array([0, 1, 1]), np.array([0.2, 0.3, 0.8]), bins=2)
    >>> shown.rows.tolist(), shown.rate.tolist(), round(shown.ece, 2)
    ([2, 1], [0.5, 1.0], 0.23)
    """
    _check(label, probability, unit)
    if bins < 1 or not 0 < level < 1 or spacing not in ("width", "mass"):
        raise ValueError(f"no {bins} bins of equal {spacing} with intervals of level {level}")
    truth, p = label.astype(np.float64), probability.astype(np.float64)
    edges = equal_width(bins) if spacing == "width" else _equal_mass(p, bins)
    bin_of_row = bins_of(p, edges)
    n_bins = len(edges) - 1
    rows = np.bincount(bin_of_row, minlength=n_bins)
    predicted = _ratio(np.bincount(bin_of_row, p, n_bins), rows)
    rate = _ratio(np.bincount(bin_of_row, truth, n_bins), rows)
    counted = rows if unit is None else _effective_rows(truth, bin_of_row, unit, rate, rows)
    low, high = _wilson(rate, counted, level)
    return Reliability(edges, rows, predicted, rate, low, high)


def equal_width(bins: int) -> np.ndarray:
    """Edges of bins of [0, 1] that are equally wide, float64 `[bins + 1]`."""
    return np.arange(bins + 1) / bins


def bins_of(probability: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each probability: a bin holds its lower edge, the last also its upper."""
    return np.searchsorted(edges[1:-1], probability, side="right")


def _equal_mass(p: np.ndarray, bins: int) -> np.ndarray:
    """Edges at the quantiles of `p`; those that would leave a bin empty are left out."""
    ordered = np.sort(p)
    cuts = ordered[np.arange(1, bins) * len(p) // bins] if len(p) else ordered
    return np.concatenate(([0.0], np.unique(cuts[cuts > ordered[:1]]), [1.0]))


def _effective_rows(
    truth: np.ndarray, bins: np.ndarray, unit: np.ndarray, rate: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """How many independent rows would make the rate of each bin as sure, float64 `[b]`."""
    units, index = np.unique(unit, return_inverse=True)
    part, part_of_row = np.unique(bins * len(units) + index, return_inverse=True)
    bin_of_part = part // max(len(units), 1)
    n_units = np.bincount(bin_of_part, minlength=len(rows))
    apart = np.bincount(part_of_row, truth - rate[bins], len(part))
    # Both variances as those of a sample, so that units of one row have no effect.
    over_units = np.bincount(bin_of_part, apart**2, len(rows)) * _ratio(n_units, n_units - 1.0)
    over_rows = rows * rate * (1 - rate) * _ratio(rows, rows - 1.0)
    effect = np.maximum(_ratio(over_units, over_rows), 1.0)
    return np.where(np.isnan(effect), n_units, rows / effect)


def _wilson(rate: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Rates that would be rejected by neither side of a score test; NaN without rows."""
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    shrink = 1 / (1 + _ratio(np.full(len(n), z2), n))
    centre = rate + _ratio(np.full(len(n), z2 / 2), n)
    half = np.sqrt(_ratio(z2 * rate * (1 - rate), n) + _ratio(np.full(len(n), z2 / 2), n) ** 2)
    return np.clip((centre - half) * shrink, 0, 1), np.clip((centre + half) * shrink, 0, 1)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where `whole` is 0."""
    out = np.full(len(part), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _check(label: np.ndarray, probability: np.ndarray, unit: np.ndarray | None) -> None:
    shapes = {"label": label.shape, "probability": probability.shape}
    if unit is not None:
        shapes["unit"] = unit.shape
    if label.ndim != 1 or len(set(shapes.values())) > 1:
        raise ValueError(f"{shapes} must be equally long")
    bad = np.flatnonzero(~((label == 0) | (label == 1)))
    if len(bad):
        raise ValueError(f"label[{bad[0]}] is {label[bad[0]]}: a label is 0 or 1")
    bad = np.flatnonzero(~((probability >= 0) & (probability <= 1)))
    if len(bad):
        raise ValueError(
            f"probability[{bad[0]}] is {probability[bad[0]]}: a probability lies in [0, 1]"
        )
