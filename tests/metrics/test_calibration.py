from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve

from tastebench.metrics.calibration import reliability
from tastebench.metrics.click import ece

NAN = float("nan")


def drawn(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.choice([0.0, 0.05, 0.2, 1 / 3, 0.5, 0.51, 0.9, 1.0], n)
    return rng.integers(0, 2, n), np.where(rng.random(n) < 0.5, p, rng.random(n))


def test_bins_of_equal_width_by_hand() -> None:
    # An edge opens the next bin, 1 is in the last; the bin from 1/4 to 1/2 is empty.
    p = np.array([0.1, 0.2, 0.5, 0.7, 0.75, 1.0])
    got = reliability(np.array([0, 1, 1, 0, 1, 1]), p, bins=4)
    np.testing.assert_array_equal(got.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(got.rows, [2, 0, 2, 2])
    np.testing.assert_allclose(got.probability, [0.15, NAN, 0.6, 0.875])
    np.testing.assert_allclose(got.rate, [0.5, NAN, 0.5, 1.0])
    assert np.isnan([got.low[1], got.high[1]]).all()
    assert got.ece == pytest.approx((2 * 0.35 + 2 * 0.1 + 2 * 0.125) / 6)


@pytest.mark.parametrize(
    ("p", "bins", "edges", "rows"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 3, [0, 0.3, 0.5, 1], [2, 2, 2]),
        ([0.5, 0.1, 0.4, 0.2, 0.3], 2, [0, 0.3, 1], [2, 3]),
        ([0.2, 0.2, 0.2, 0.2, 0.9], 3, [0, 1], [5]),  # both cuts are at 0.2: equal rows stay
        ([0.1, 0.2, 0.2, 0.2], 4, [0, 0.2, 1], [1, 3]),
        ([0.3], 4, [0, 1], [1]),
        ([], 4, [0, 1], [0]),
        ([0.0, 0.0, 1.0, 1.0], 2, [0, 1, 1], [2, 2]),
    ],
)
def test_bins_of_equal_mass_by_hand(
    p: list[float], bins: int, edges: list[float], rows: list[int]
) -> None:
    label = np.zeros(len(p))
    got = reliability(label, np.array(p, float), bins=bins, spacing="mass")
    np.testing.assert_array_equal(got.edges, edges)
    np.testing.assert_array_equal(got.rows, rows)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 20))
def test_no_row_is_lost_and_no_bin_of_equal_mass_is_empty(seed: int, n: int, bins: int) -> None:
    label, p = drawn(seed, n)
    for spacing in ("width", "mass"):
        got = reliability(label, p, bins=bins, spacing=spacing)  # type: ignore[arg-type]
        used = got.rows > 0
        assert got.rows.sum() == n
        assert used.all() or spacing == "width"
        assert len(got.rows) == len(got.edges) - 1 <= bins
        assert (np.diff(got.edges) >= 0).all()
        assert (got.rate[used] @ got.rows[used]) == pytest.approx(label.sum())
        assert (got.edges[:-1][used] <= got.probability[used] + 1e-12).all()
        assert (got.probability[used] <= got.edges[1:][used] + 1e-12).all()
        assert (got.low[used] <= got.rate[used] + 1e-12).all()
        assert (got.rate[used] <= got.high[used] + 1e-12).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 80))
def test_its_error_is_the_metric(seed: int, n: int) -> None:
    label, p = drawn(seed, n)
    np.testing.assert_allclose(reliability(label, p).ece, ece(label, p), atol=1e-15)


def test_rates_equal_sklearn() -> None:
    rng = np.random.default_rng(1)
    p = rng.random(3000)
    label = (rng.random(3000) < p**2).astype(int)
    got = reliability(label, p, bins=12)
    rate, mean = calibration_curve(label, p, n_bins=12)
    np.testing.assert_allclose(got.rate, rate, atol=1e-12)
    np.testing.assert_allclose(got.probability, mean, atol=1e-12)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (3, 3), (0, 20), (7, 20), (19, 20)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_wilsons(k: int, n: int, level: float) -> None:
    label, p = np.repeat([1, 0], [k, n - k]), np.full(n, 0.4)
    want = binomtest(k, n).proportion_ci(level, method="wilson")
    for unit in (None, np.arange(n) * 5 - 3):  # rows of users with one row each are independent
        got = reliability(label, p, bins=1, unit=unit, level=level)
        assert (got.low[0], got.high[0]) == pytest.approx((want.low, want.high), abs=1e-12)


def test_rows_of_one_user_count_less_by_hand() -> None:
    # Residual sums +1 and -1: variance of the rate 2/1 x (1 + 1) / 4^2 = 1/4, of independent rows
    # 4/3 x (1/4) / 4 = 1/12. The effect is 3, so that 4 rows are 4/3.
    got = reliability(np.array([1, 1, 0, 0]), np.full(4, 0.5), bins=1, unit=np.array([1, 1, 2, 2]))
    z2, n = 1.959963984540054**2, 4 / 3
    half = np.sqrt(z2 * 0.25 / n + (z2 / (2 * n)) ** 2) / (1 + z2 / n)
    assert (got.low[0], got.high[0]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)


def test_users_are_counted_where_their_labels_do_not_differ() -> None:
    got = reliability(np.ones(6), np.full(6, 0.5), bins=1, unit=np.array([1, 1, 1, 2, 2, 3]))
    want = binomtest(3, 3).proportion_ci(method="wilson")
    assert (got.low[0], got.high[0]) == pytest.approx((want.low, want.high), abs=1e-12)


def test_users_who_balance_do_not_make_rows_worth_more() -> None:
    label, unit = np.array([1, 0] * 20), np.repeat(np.arange(20), 2)
    alone, users = (reliability(label, np.full(40, 0.5), bins=1, unit=u) for u in (None, unit))
    np.testing.assert_array_equal([users.low, users.high], [alone.low, alone.high])


def test_coverage_of_the_rate_of_clustered_rows() -> None:
    # Each user has a rate of its own, 0.3 on average.
    rng = np.random.default_rng(2)
    unit = np.repeat(np.arange(60), 10)
    inside, naive = 0, 0
    for _ in range(300):
        label = (rng.random(600) < rng.beta(0.6, 1.4, 60)[unit]).astype(int)
        users, alone = (reliability(label, np.full(600, 0.3), 1, unit=u) for u in (unit, None))
        inside += users.low[0] <= 0.3 <= users.high[0]
        naive += alone.low[0] <= 0.3 <= alone.high[0]
    assert 0.91 <= inside / 300 <= 0.985
    assert naive / 300 < 0.8


def test_no_rows() -> None:
    got = reliability(np.empty(0), np.empty(0), unit=np.empty(0, np.int64))
    assert np.isnan(got.ece)
    assert got.rows.tolist() == [0] * 15
    assert np.isnan([got.rate, got.low, got.high]).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"probability": np.array([0.5, np.nan])}, "probability[1] is nan: a probability lies in"),
        ({"probability": np.array([1.5, 0.2])}, "probability[0] is 1.5"),
        ({"label": np.array([1, 2])}, "label[1] is 2: a label is 0 or 1"),
        ({"label": np.array([1])}, "must be equally long"),
        ({"unit": np.array([1])}, "must be equally long"),
        ({"bins": 0}, "no 0 bins"),
        ({"level": 1.0}, "of level 1.0"),
        ({"spacing": "log"}, "of equal log"),
    ],
)
def test_what_has_no_diagram(given: dict[str, Any], message: str) -> None:
    good = {"label": np.array([1, 0]), "probability": np.array([0.5, 0.2])}
    with pytest.raises(ValueError, match=re.escape(message)):
        reliability(**(good | given))
