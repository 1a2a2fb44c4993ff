from __future__ import annotations

import math
import re

import pytest

from tastebench.metrics.green import apc


@pytest.mark.parametrize(
    ("auc", "grams", "value"),
    [
        (0.75, 50.0, 50.0),
        (0.5, 10.0, 0.0),
        (0.25, 10.0, -250.0),
        (1.0, 1e-3, 5e6),
        (0.75, 0.0, math.nan),
        (0.25, 0.0, math.nan),
        (math.nan, 10.0, math.nan),
        (0.75, math.nan, math.nan),
    ],
)
def test_by_hand(auc: float, grams: float, value: float) -> None:
    assert apc(auc, grams) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize(
    ("percent", "grams", "published"),
    [
        (50.13, 19.1, 0.68),  # NAML: ids, texts, PLM-NR, PREC
        (60.14, 42.0, 24.14),
        (62.06, 177.9, 6.78),
        (62.95, 22.0, 58.86),
        (53.92, 60.0, 6.53),  # DCN, likewise
        (62.63, 63.0, 20.05),
        (63.32, 1776.0, 0.75),
        (64.57, 62.0, 23.50),
    ],
)
def test_published_rows_follow_by_arithmetic_which_is_no_evidence_of_their_carbon(
    percent: float, grams: float, published: float
) -> None:
    # The published table has AUC and ApC; the carbon is what they imply, rounded.
    assert round(apc(percent / 100, grams), 2) == published


@pytest.mark.parametrize(
    ("auc", "grams", "message"),
    [
        (60.14, 42.0, "an AUC lies in [0, 1], got 60.14: give 60.14 % as 0.6014"),
        (-0.1, 42.0, "an AUC lies in [0, 1], got -0.1"),
        (0.6, -1.0, "emitted carbon is 0 g or more, got -1.0"),
        (0.6, math.inf, "emitted carbon is 0 g or more, got inf"),
    ],
)
def test_what_cannot_be(auc: float, grams: float, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        apc(auc, grams)
