from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.stats import binom

from tastebench.metrics.interval import LARGE, bootstrap

NAN = float("nan")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([], (NAN, NAN, NAN, 0, 0)),
        ([NAN, NAN], (NAN, NAN, NAN, 0, 2)),
        ([0.3, NAN], (0.3, NAN, NAN, 1, 1)),
        ([0.5, 0.5, NAN, 0.5], (0.5, 0.5, 0.5, 3, 1)),
    ],
)
def test_few_units(values: list[float], want: tuple[float, ...]) -> None:
    np.testing.assert_equal(tuple(bootstrap(np.array(values, float), rng())), want)


def test_hits_follow_the_binomial() -> None:
    # The bootstrap mean of 40 ones among 100 is binomial(100, 0.4) / 100.
    values = np.repeat([1.0, 0.0], [40, 60])
    got = bootstrap(values, rng(), resamples=200_000)
    low, high = binom.ppf([0.025, 0.975], 100, 0.4) / 100
    assert (got.mean, got.low, got.high) == pytest.approx((0.4, low, high), abs=1e-12)


@pytest.mark.parametrize("n", [100, 400, 5000, LARGE + 1])
def test_every_way_gives_the_same_deterministic_interval(n: int) -> None:
    values = rng(1).exponential(size=n)
    got, again, other = (bootstrap(values, rng(seed)) for seed in (7, 7, 8))
    assert got == again
    half = 1.96 * values.std(ddof=1) / np.sqrt(n)
    for one in (got, other):
        assert one.mean == values.mean()
        assert one.low == pytest.approx(one.mean - half, abs=0.15 * half)
        assert one.high == pytest.approx(one.mean + half, abs=0.15 * half)
    if n <= LARGE:
        assert got != other


def test_a_higher_level_is_wider() -> None:
    values = rng(2).random(300)
    narrow, wide = (bootstrap(values, rng(), level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


@pytest.mark.parametrize(
    ("n", "draw"),
    [
        # A hit rate, a skewed gain with many zeros, and a smooth metric.
        (300, lambda g, n: (g.random(n) < 0.2).astype(float)),
        (600, lambda g, n: g.random(n) ** 2 * (g.random(n) < 0.3)),
        (300, lambda g, n: g.beta(2, 5, n)),
    ],
    ids=["hits", "sparse", "smooth"],
)
def test_coverage(n: int, draw: object) -> None:
    # 400 samples of a population: a true coverage of 95 % lies within 92 .. 98 % (3 sigma).
    generator = rng(3)
    truth = draw(rng(4), 2_000_000).mean()  # type: ignore[operator]
    inside = 0
    for _ in range(400):
        got = bootstrap(draw(generator, n), generator, resamples=300)  # type: ignore[operator]
        inside += got.low <= truth <= got.high
    assert 0.92 <= inside / 400 <= 0.98


def test_coverage_with_many_units() -> None:
    generator = rng(5)
    inside = 0
    for _ in range(300):
        got = bootstrap(generator.exponential(size=LARGE + 1) ** 1.5, generator)
        inside += got.low <= 1.329340388 <= got.high  # Gamma(2.5)
    assert 0.91 <= inside / 300 <= 0.985


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "no interval of level 0.95 from 1000 resamples of (2, 2)"),
        (np.zeros(2), {"level": 1.0}, "level 1.0"),
        (np.zeros(2), {"resamples": 0}, "from 0 resamples"),
        (np.array([0.0, np.inf]), {}, "values[1] is infinite"),
    ],
)
def test_what_has_no_interval(values: np.ndarray, options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        bootstrap(values, rng(), **options)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------- weights


def test_a_weighted_interval_resamples_units_whole() -> None:
    # Two kinds of units, 30 of value 1 and weight 3 among 80: with j of them in a resample the mean
    # is 3 j / (3 j + 80 - j), and j is binomial.
    values = np.repeat([1.0, 0.0], [30, 50])
    weights = np.repeat([3.0, 1.0], [30, 50])
    got = bootstrap(values, rng(), resamples=200_000, weights=weights)
    low, high = (3 * j / (2 * j + 80) for j in binom.ppf([0.025, 0.975], 80, 30 / 80))
    assert (got.mean, got.low, got.high) == pytest.approx((90 / 140, low, high), abs=1e-12)
    assert (got.n, got.undefined) == (80, 0)


@pytest.mark.parametrize("n", [100, 3000, LARGE + 2])
def test_every_way_gives_the_same_weighted_interval(n: int) -> None:
    generator = rng(1)
    weights = generator.integers(1, 9, n).astype(float) ** 2
    values = (generator.random(n) + weights / 81) / 2
    if n == 100:
        values = values.round(1)  # few kinds
    values[3], weights[3] = np.nan, 0.0
    got = bootstrap(values, rng(7), weights=weights)
    means = []
    for _ in range(2000):  # the definition, unit by unit
        drawn = np.delete(np.arange(n), 3)[generator.integers(0, n - 1, n - 1)]
        means.append(np.average(values[drawn], weights=weights[drawn]))
    half = 1.96 * np.std(means)
    near = (0.15 if n <= LARGE else 0.08) * half  # the normal interval is not drawn
    assert got.mean == pytest.approx(
        np.average(np.delete(values, 3), weights=np.delete(weights, 3))
    )
    assert got.low == pytest.approx(got.mean - half, abs=near)
    assert got.high == pytest.approx(got.mean + half, abs=near)
    assert (got.n, got.undefined) == (n - 1, 1)


@pytest.mark.parametrize("n", [50, 600, LARGE + 2])
def test_equal_weights_weigh_nothing(n: int) -> None:
    values = rng(3).random(n)
    values[0] = np.nan
    plain = bootstrap(values, rng())
    assert bootstrap(values, rng(), weights=np.where(np.isnan(values), 0.0, 4.0)) == plain


def test_coverage_of_a_mean_over_rows_of_users() -> None:
    # A user's rows resemble each other: taken as units of their own they promise too much.
    generator = rng(8)
    inside, naive = 0, 0
    for _ in range(200):
        rows = generator.integers(1, 12, 150)
        taste = generator.normal(0.5, 1, 150)
        each = np.repeat(taste, rows) + generator.normal(0, 0.3, rows.sum())
        user = np.repeat(np.arange(150), rows)
        got = bootstrap(
            np.bincount(user, each) / rows, generator, resamples=200, weights=rows.astype(float)
        )
        wrong = bootstrap(each, generator, resamples=200)
        assert got.mean == pytest.approx(wrong.mean)
        inside += got.low <= 0.5 <= got.high
        naive += wrong.low <= 0.5 <= wrong.high
    assert 0.9 <= inside / 200 <= 0.99
    assert naive / 200 < 0.75


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "(1,) weights do not fit (2,) values"),
        ([1.0, 0.0], "weights[1] is 0.0: a weight is a number above 0"),
        ([np.nan, 1.0], "weights[0] is nan"),
        ([1.0, np.inf], "weights[1] is inf"),
    ],
)
def test_what_is_no_weight(weights: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        bootstrap(np.zeros(2), rng(), weights=np.array(weights))
