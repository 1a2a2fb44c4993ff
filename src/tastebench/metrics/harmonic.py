"""Sums of reciprocals of consecutive ranks, without a table as long as the catalogue."""

from __future__ import annotations

import numpy as np

_SMALL = 64
_TABLE = np.concatenate(([0.0], np.cumsum(1.0 / np.arange(1.0, _SMALL + 1.0))))


def harmonic_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """1 / (low + 1) + ... + 1 / high, to machine precision, float64 `[n]`.

    Above 64 the harmonic numbers follow ln(n + 1/2) + gamma + 1/(24 (n + 1/2)^2) - ... (DeTemple &
    Wang 1991); taking the difference inside the logarithm keeps it exact where `low` is large and
    the run short.

    Args:
        low: Integers of 0 or more, `[n]`.
        high: Integers of `low` or more, `[n]`.
    """
    edge = np.clip(_SMALL, low, high)  # where the table ends and the series begins
    head = _TABLE[np.minimum(edge, _SMALL)] - _TABLE[np.minimum(low, _SMALL)]
    a, b = np.maximum(edge, _SMALL) + 0.5, np.maximum(high, _SMALL) + 0.5
    tail = np.log1p((b - a) / a) + (_correction(b) - _correction(a))
    return np.where(high - low == 1, 1.0 / (low + 1.0), head + tail)


def _correction(x: np.ndarray) -> np.ndarray:
    square = 1.0 / (x * x)
    series: np.ndarray = square * (1 / 24 + square * (-7 / 960 + square * 31 / 8064))
    return series
