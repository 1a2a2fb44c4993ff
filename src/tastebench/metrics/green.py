"""Accuracy for carbon."""

from __future__ import annotations

import math


def apc(auc: float, grams: float) -> float:
    """Accuracy per carbon (GreenRec, Liu et al. 2024): points of AUC above chance for 100 g CO2e.

    (100 AUC - 50) / grams * 100. Not above 0 where the AUC is no better than chance; undefined
    (NaN) where nothing was emitted or either is unknown (NaN). It divides by what was emitted, so
    that a model near chance that costs next to nothing may have more of it than a good one: read it
    beside the AUC.

    Args:
        auc: AUC or GAUC, within [0, 1].
        grams: Emitted carbon, g CO2e, 0 or more. The scope (what was metered) is the caller's to
            state, and the same for all that are compared.

    Raises:
        ValueError: An AUC outside [0, 1], or carbon that is negative or infinite.

    >>> apc(auc=0.625, grams=50.0)
    25.0
    >>> apc(auc=0.45, grams=10.0)
    -50.0
    >>> apc(auc=0.625, grams=0.0)
    nan
    """
    if auc < 0 or auc > 1:
        raise ValueError(f"an AUC lies in [0, 1], got {auc}: give 60.14 % as 0.6014")
    if grams < 0 or math.isinf(grams):
        raise ValueError(f"emitted carbon is 0 g or more, got {grams}")
    if grams == 0:
        return math.nan
    return (100 * auc - 50) / grams * 100
