"""When things happen: eighteen months from 1 January 2023 (UTC), in six periods of taste."""

from __future__ import annotations

import numpy as np

DAY = 86_400_000
"""Milliseconds."""

START = 1_672_531_200_000
"""2023-01-01T00:00:00Z."""

PERIODS = 6
PERIOD_DAYS = 91
DAYS = PERIODS * PERIOD_DAYS
END = START + DAYS * DAY

VISIT = 2 * 3_600_000
"""A pick within two hours of the one before belongs to the same visit."""


def period_of(time: np.ndarray) -> np.ndarray:
    """The period of each time, int64, `0 .. PERIODS - 1`."""
    period: np.ndarray = np.clip((time - START) // (PERIOD_DAYS * DAY), 0, PERIODS - 1)
    return period
