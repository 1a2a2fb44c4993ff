from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tastebench.board.correlate import average_ranks, kendall, pearson, spearman

LISTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=5)


def test_eight_models_with_squared_differences_of_124() -> None:
    """T3: any such order has rho = 1 - 6 * 124 / 504 and p = 0.233.

    The published 0.23315 is the p of the rounded rho, -0.476; that of -0.47619 is 0.23294.
    """
    orders = np.array(list(itertools.permutations(range(1, 9))), float)
    squares = ((orders - np.arange(1, 9)) ** 2).sum(axis=1)
    some = orders[squares == 124][::100]
    assert len(some) > 3
    for order in some:
        found = spearman(np.arange(1.0, 9.0), order)
        assert found.value == pytest.approx(-0.47619, abs=5e-6)
        assert found.p == pytest.approx(0.23294, abs=5e-6)
        # Counted over all 40,320 orders, with the same squares: rho depends on nothing else.
        extreme = np.abs(1 - squares / 84) >= 124 / 84 - 1 - 1e-9
        assert found.p_exact == pytest.approx(extreme.mean())


@pytest.mark.parametrize(
    ("x", "y", "rho", "tau"),
    [
        ([1, 2, 3], [1, 2, 3], 1.0, 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0, -1.0),
        ([1, 2, 3, 4], [2, 1, 4, 3], 0.6, 1 / 3),  # d^2 = 4: 1 - 24/60; 4 pairs agree, 2 do not
        ([1, 1, 2], [1, 2, 3], np.sqrt(3) / 2, 2 / np.sqrt(6)),  # ranks 1.5 1.5 3 and 1 2 3
    ],
)
def test_worked_out_by_hand(x: list[int], y: list[int], rho: float, tau: float) -> None:
    a, b = np.array(x, float), np.array(y, float)
    assert spearman(a, b).value == pytest.approx(rho)
    assert kendall(a, b).value == pytest.approx(tau)


def test_an_exact_p_by_hand() -> None:
    # Of the 6 orders of three, two are as far from 0 as 1: the same and the reverse.
    assert spearman(np.arange(3.0), np.arange(3.0)).p_exact == pytest.approx(1 / 3)
    assert kendall(np.arange(3.0), np.arange(3.0)).p_exact == pytest.approx(1 / 3)


@settings(max_examples=30, deadline=None)
@given(LISTS)
def test_scipy_says_the_same(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs, float).T
    found = [spearman(x, y), pearson(x, y), kendall(x, y)]
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert [one.value for one in found] == [None, None, None]
        assert [one.p for one in found] == [None, None, None]
        return
    oracles = [stats.spearmanr(x, y), stats.pearsonr(x, y), stats.kendalltau(x, y)]
    for one, oracle in zip(found, oracles, strict=True):
        assert one.value == pytest.approx(oracle.statistic)
    assert found[0].p == pytest.approx(oracles[0].pvalue, abs=1e-6)
    assert found[1].p == pytest.approx(oracles[1].pvalue, abs=1e-6)
    assert average_ranks(x) == pytest.approx(stats.rankdata(x))
    ranks = stats.rankdata(y)
    orders = [np.array(order) for order in itertools.permutations(stats.rankdata(x))]
    all_rhos = np.abs([np.corrcoef(order, ranks)[0, 1] for order in orders])
    extreme = all_rhos >= abs(oracles[0].statistic) - 1e-9
    assert found[0].p_exact == pytest.approx(extreme.mean())


def test_more_than_nine_models_have_no_counted_p_and_ties_none_for_tau() -> None:
    ten = np.arange(10.0)
    assert spearman(ten[:9], ten[:9]).p_exact == pytest.approx(2 / 362_880)
    assert spearman(ten, ten).p_exact is None
    assert kendall(np.array([1.0, 1, 2, 3]), ten[:4]).p_exact is None
    assert kendall(ten, ten[::-1]).p_exact == pytest.approx(2 / 3_628_800)


def test_too_few_models_have_no_coefficient_or_no_p() -> None:
    one, two = np.array([1.0]), np.array([1.0, 2.0])
    for measure in (pearson, spearman, kendall):
        assert (measure(one, one).value, measure(one, one).n) == (None, 1)
        assert (measure(two, two).value, measure(two, two).p) == (1.0, None)
