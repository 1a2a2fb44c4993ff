from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tastebench.board import significance
from tastebench.board.significance import (
    Paired,
    benjamini_hochberg,
    detectable,
    effect_size,
    holm,
    mcnemar,
    paired,
    seed_weights,
    sign_flip,
    standard_error,
    wilcoxon,
)
from tastebench.metrics.interval import bootstrap

# ---------------------------------------------------------------------------------- by hand


def test_four_users_by_hand() -> None:
    a, b = np.array([[0.8], [0.5], [0.6], [0.2]]), np.array([[0.4], [0.3], [0.6], [0.3]])
    found = paired(a, b)  # differences .4 .2 0 -.1
    assert (found.mean_a, found.mean_b) == (pytest.approx(0.525), pytest.approx(0.4))
    assert found.difference == pytest.approx(0.125)
    assert (found.wins, found.ties, found.losses) == (2, 1, 1)
    # Of the 8 ways to sign .4 .2 .1, those as far from 0 as .5: +.7 +.5 -.5 -.7.
    assert found.p == 0.5
    deviations = [0.275, 0.075, -0.125, -0.225]
    sd = math.sqrt(sum(d * d for d in deviations) / 3)
    assert found.effect == pytest.approx(0.125 / sd)
    assert found.detectable == pytest.approx((1.959964 + 0.841621) * sd / 2, rel=1e-6)
    assert (found.low_seeds, found.high_seeds) == (None, None)
    assert found.widest == (found.low, found.high)


def test_where_lower_is_better_the_lower_wins() -> None:
    a, b = np.array([[0.1], [0.2], [0.3]]), np.array([[0.2], [0.3], [0.3]])
    found = paired(a, b, higher_is_better=False)
    assert (found.wins, found.ties, found.losses) == (2, 1, 0)
    assert found.difference < 0


def test_weights_count_rows_in_the_mean_the_test_and_the_error() -> None:
    a, b = np.array([[0.5], [0.1], [0.4]]), np.array([[0.1], [0.2], [0.2]])
    weights = np.array([1.0, 3.0, 2.0])
    found = paired(a, b, weights)
    assert found.difference == pytest.approx((0.4 - 0.3 + 0.4) / 6)
    # weight x difference is .4 -.3 .4, its sum .5; other signs of them sum to 1.1, .3 and .3.
    assert found.p == 0.5
    mean = 0.5 / 6
    pulls = [(0.4 - mean) / 2, 3 * (-0.1 - mean) / 2, 2 * (0.2 - mean) / 2]
    error = math.sqrt(sum(x * x for x in pulls) / (3 * 2))
    assert standard_error(np.array([0.4, -0.1, 0.2]), weights) == pytest.approx(error)
    assert found.detectable == pytest.approx(detectable(error))


@pytest.mark.parametrize(
    ("p", "by_holm", "by_bh"),
    [
        ([], [], []),
        ([0.2], [0.2], [0.2]),
        ([0.01, 0.02, 0.03, 0.5], [0.04, 0.06, 0.06, 0.5], [0.04, 0.04, 0.04, 0.5]),
        ([0.5, 0.01, 0.6, 0.01], [1.0, 0.04, 1.0, 0.04], [0.6, 0.02, 0.6, 0.02]),
        # What a larger p-value would be below its predecessor is raised to it, and vice versa.
        ([0.010, 0.011, 0.012], [0.03, 0.03, 0.03], [0.012, 0.012, 0.012]),
    ],
)
def test_many_comparisons_by_hand(p: list[float], by_holm: list[float], by_bh: list[float]) -> None:
    assert holm(p) == pytest.approx(by_holm)
    assert benjamini_hochberg(p) == pytest.approx(by_bh)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (1, 3, 10 / 16), (4, 4, 1.0)]
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(p)


def test_eighty_percent_are_two_point_eight_errors() -> None:
    assert detectable(1.0) == pytest.approx(2.8016, abs=1e-4)


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.0, 0.0], 0.0), ([0.1, 0.1], None), ([0.1], None), ([1.0, 3.0], 2 / math.sqrt(2))],
)
def test_effect_where_nothing_varies(differences: list[float], expected: float | None) -> None:
    found = effect_size(np.array(differences), np.ones(len(differences)))
    assert found == (None if expected is None else pytest.approx(expected))


def test_one_unit_says_nothing_of_spread() -> None:
    found = paired(np.array([[0.4]]), np.array([[0.1]]))
    assert (found.low, found.high, found.effect, found.detectable) == (None,) * 4
    assert found.p == 1.0
    assert found.widest is None


# ---------------------------------------------------------------------------------- oracles


def scipy_flip(x: np.ndarray, n_resamples: float) -> float:
    found = stats.permutation_test(
        (x,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        n_resamples=n_resamples,
        vectorized=True,
        rng=np.random.default_rng(1),
    )
    return float(found.pvalue)


def test_few_signs_as_scipy_enumerates_them() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 9):
        x = rng.normal(0.3, 1, n)
        assert sign_flip(x, rng) == pytest.approx(scipy_flip(x, np.inf))
    x = np.array([1.0, 1.0, 1.0, -1.0, 2.0])  # ties with what was observed
    assert sign_flip(x, rng) == pytest.approx(scipy_flip(x, np.inf))


def test_drawn_signs_of_one_size_are_the_exact_binomial() -> None:
    x = np.repeat([1.0, -1.0, 0.0], [60, 40, 50])
    exact = stats.binomtest(60, 100, 0.5).pvalue
    found = sign_flip(x, np.random.default_rng(0), 20_000)
    assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))


def test_drawn_signs_as_scipy_draws_them() -> None:
    x = np.random.default_rng(3).normal(0.2, 1, 80)
    theirs = scipy_flip(x, 9999)
    assert sign_flip(x, np.random.default_rng(0), 9999) == pytest.approx(theirs, abs=0.015)


def test_many_signs_are_normal_with_the_same_p(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(3).normal(0.04, 1, 2000)
    drawn = sign_flip(x, np.random.default_rng(0), 20_000)
    monkeypatch.setattr(significance, "LARGE", 1000)
    normal = sign_flip(x, np.random.default_rng(0))
    assert normal == pytest.approx(2 * stats.norm.sf(abs(x.sum()) / math.sqrt((x**2).sum())))
    assert drawn == pytest.approx(normal, abs=0.01)


def test_p_of_drawn_signs_is_never_zero() -> None:
    assert sign_flip(np.ones(100), np.random.default_rng(0), 999) == 1 / 1000


def test_wilcoxon_as_scipy_and_without_zeros() -> None:
    d = np.random.default_rng(0).normal(0.3, 1, 30)
    assert wilcoxon(d) == pytest.approx(stats.wilcoxon(d, method="exact").pvalue)
    assert wilcoxon(np.append(d, [0.0, 0.0])) == wilcoxon(d)
    assert wilcoxon(np.zeros(4)) == 1.0
    assert wilcoxon(np.array([1.0, 2.0, 3.0])) == 0.25


def test_the_interval_is_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(400)
    a, b = base + rng.normal(0.02, 0.1, 400), base
    weights = rng.integers(1, 4, 400).astype(float)
    for given_weights in (None, weights):
        found = paired(a[:, None], b[:, None], given_weights)
        own = bootstrap(a - b, np.random.default_rng(9), resamples=10_000, weights=given_weights)
        assert found.low == pytest.approx(own.low, abs=0.05 * (own.high - own.low))
        assert found.high == pytest.approx(own.high, abs=0.05 * (own.high - own.low))
    theirs = stats.bootstrap(
        (a, b),
        lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(2),
    ).confidence_interval
    found = paired(a[:, None], b[:, None])
    width = theirs.high - theirs.low
    assert found.low == pytest.approx(theirs.low, abs=0.05 * width)
    assert found.high == pytest.approx(theirs.high, abs=0.05 * width)


# ------------------------------------------------------------------------------------ seeds


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_resampled_seeds_have_the_variance_of_a_mean(n_seeds: int) -> None:
    means = np.random.default_rng(n_seeds).normal(size=n_seeds)
    weights = seed_weights(n_seeds, 200_000, np.random.default_rng(0))
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert (weights @ means).var() == pytest.approx(means.var(ddof=1) / n_seeds, rel=0.02)


def test_one_seed_counts_whole() -> None:
    assert seed_weights(1, 3, np.random.default_rng(0)).tolist() == [[1.0]] * 3


def test_seeds_that_differ_widen_the_second_interval_alone() -> None:
    rng = np.random.default_rng(0)
    users = rng.random((2000, 1))
    shifts = np.array([-0.05, 0.0, 0.05])
    a = users + 0.01 + shifts + rng.normal(0, 0.01, (2000, 3))
    b = users + rng.normal(0, 0.01, (2000, 1))
    found = paired(a, b)
    assert found.low is not None and found.low > 0
    assert found.low_seeds is not None and found.high_seeds is not None
    assert found.low_seeds < 0 < found.high_seeds
    # Three seeds of sd .05: their mean has .05 / sqrt(3), and draws go no farther than to 3 of one.
    assert found.high_seeds - found.low_seeds == pytest.approx(2 * 1.96 * 0.05 / 3**0.5, rel=0.25)
    alike = paired(np.tile(a[:, :1], 3), b)
    assert (alike.low_seeds, alike.high_seeds) == (
        pytest.approx(alike.low),
        pytest.approx(alike.high),
    )


# ------------------------------------------------------------------------------- properties


def negated(found: Paired) -> Paired:
    def minus(x: float | None) -> float | None:
        return None if x is None else -x

    return replace(
        found,
        mean_a=found.mean_b,
        mean_b=found.mean_a,
        difference=-found.difference,
        low=minus(found.high),
        high=minus(found.low),
        low_seeds=minus(found.high_seeds),
        high_seeds=minus(found.low_seeds),
        effect=minus(found.effect),
        wins=found.losses,
        losses=found.wins,
    )


def same(one: Paired, other: Paired) -> None:
    for name, value in vars(one).items():
        expected = getattr(other, name)
        close = None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert value == close, name


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 40),
    seeds=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    draw=st.integers(0, 2**32 - 1),
    coarse=st.booleans(),
    weighted=st.booleans(),
)
def test_exchanged_models_are_the_negative(
    n: int, seeds: tuple[int, int], draw: int, coarse: bool, weighted: bool
) -> None:
    rng = np.random.default_rng(draw)
    a, b = (rng.random((n, s)) for s in seeds)
    if coarse:
        a, b = np.round(a, 1), np.round(b, 1)
    weights = rng.random(n) + 0.1 if weighted else None
    same(paired(a, b, weights, resamples=200), negated(paired(b, a, weights, resamples=200)))


def test_exchanged_models_are_the_negative_where_draws_are_normal() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((20_500, 2)), rng.random((20_500, 1))
    same(paired(a, b, resamples=500), negated(paired(b, a, resamples=500)))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 60), draw=st.integers(0, 2**32 - 1))
def test_equal_models_are_equal(n: int, draw: int) -> None:
    a = np.random.default_rng(draw).random((n, 1))
    found = paired(a, a.copy(), resamples=100)
    assert (found.p, found.p_wilcoxon, found.difference, found.effect) == (1.0, 1.0, 0.0, 0.0)
    assert (found.wins, found.ties, found.losses) == (0, n, 0)
    assert found.low in (None, 0.0) and found.high in (None, 0.0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=30))
def test_adjusted_p_values_keep_order_and_bounds(p: list[float]) -> None:
    strict, mild = holm(p), benjamini_hochberg(p)
    for raw, high, low in zip(p, strict, mild, strict=True):
        assert raw - 1e-12 <= low <= high + 1e-12 <= 1 + 1e-12
    for adjusted in (strict, mild):
        ordered = [adjusted[i] for i in np.argsort(p, kind="stable")]
        assert ordered == sorted(ordered)
    assert mild == pytest.approx(list(stats.false_discovery_control(p)) if p else [])


def test_equal_seeds_make_equal_numbers() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((50, 2)), rng.random((50, 2))
    assert paired(a, b, seed=3, resamples=300) == paired(a, b, seed=3, resamples=300)
    assert paired(a, b, seed=3, resamples=300) != paired(a, b, seed=4, resamples=300)


def test_the_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        truth = rng.normal(0.1, 0.3, (60, 1))
        found = paired(truth, np.zeros((60, 1)), resamples=300)
        assert found.low is not None and found.high is not None
        inside.append(found.low <= 0.1 <= found.high)
    assert 0.89 <= np.mean(inside) <= 0.99


# ----------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("a", "b", "weights", "message"),
    [
        (np.ones((3, 1)), np.ones((2, 1)), None, "do not pair"),
        (np.ones(3), np.ones(3), None, "do not pair"),
        (np.ones((0, 1)), np.ones((0, 1)), None, "do not pair"),
        (np.ones((3, 1)), np.ones((3, 1)), np.ones(2), "do not pair"),
        (np.array([[np.nan]]), np.ones((1, 1)), None, "is no number"),
        (np.ones((1, 1)), np.ones((1, 1)), np.zeros(1), "above 0"),
    ],
)
def test_what_does_not_pair_is_refused(
    a: np.ndarray, b: np.ndarray, weights: np.ndarray | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired(a, b, weights)
