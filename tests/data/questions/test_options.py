"""Other options: different, likely, and no hint of which is right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chisquare

from tastebench.data.questions.options import Popularity, mirror, near, pick


@pytest.mark.parametrize(
    ("candidates", "barred", "n", "expected", "enough"),
    [
        ([4, 4, 2, 7], [9], 3, [4, 2, 7], True),
        ([4, -1, 4, 2], [2], 2, [4], False),
        ([1, 2, 3, 4], [1, 3], 2, [2, 4], True),
    ],
)
def test_the_first_that_differ(
    candidates: list[int], barred: list[int], n: int, expected: list[int], enough: bool
) -> None:
    picked, fits = pick(np.array([candidates]), np.array([barred]), n)
    assert picked[0, : len(expected)].tolist() == expected
    assert fits.tolist() == [enough]


def test_keys_decide_the_order() -> None:
    picked, _ = pick(np.array([[5, 6, 7, 6]]), np.array([[5]]), 2, np.array([[0.0, 3.0, 2.0, 1.0]]))
    # 6 counts where its key is smallest.
    assert picked.tolist() == [[6, 7]]


@given(
    arrays(np.int64, (4, 9), elements=st.integers(-1, 6)),
    arrays(np.int64, (4, 2), elements=st.integers(-1, 6)),
)
def test_what_is_picked_is_a_set_without_the_barred(
    candidates: np.ndarray, barred: np.ndarray
) -> None:
    picked, enough = pick(candidates, barred, 3)
    for row in range(4):
        there = set(candidates[row].tolist()) - set(barred[row].tolist()) - {-1}
        assert enough[row] == (len(there) >= 3)
        if enough[row]:
            chosen = picked[row].tolist()
            assert len(set(chosen)) == 3
            assert set(chosen) <= there


def test_from_each_of_the_four_lists_the_others_look_alike() -> None:
    rng = np.random.default_rng(3)
    gold = rng.integers(6, size=(500, 3))
    lists, found = mirror(gold, rng.integers(-1, 10, size=(500, 3)), rng)
    assert found.mean() > 0.8
    assert (lists[:, 0] == gold).all()
    lists = lists[found]
    agree = (lists[:, :, None, :] == lists[:, None, :, :]).sum(axis=3)
    # How many places each shares with the others: the same three numbers from each.
    seen_from = np.sort(agree, axis=2)
    assert (seen_from == seen_from[:, :1]).all()
    sizes = np.array([[len(set(row)) for row in question] for question in lists.tolist()])
    assert (sizes == sizes[:, :1]).all()
    assert (agree[:, np.arange(4), np.arange(4)] == 3).all()
    assert ((agree == 3).sum(axis=2) == 1).all()  # pairwise different
    assert (lists >= 0).all()


def test_a_list_of_one_value_cannot_be_changed_round() -> None:
    rng = np.random.default_rng(0)
    _, found = mirror(np.array([[2, 2, 2], [1, 2, 2]]), np.array([[5], [5]]), rng)
    assert found.tolist() == [False, True]


@given(st.integers(1, 10_000), st.integers(0, 5))
def test_numbers_near_are_positive_and_differ(gold: int, seed: int) -> None:
    others = near(np.full(20, gold), 3, np.random.default_rng(seed))
    allowed = {gold - 3, gold - 2, gold - 1, gold + 1, gold + 2, gold + 3, gold // 2, 2 * gold}
    for row in others.tolist():
        assert len({*row, gold}) == 4
        assert min(row) >= 1
        assert set(row) <= allowed


@pytest.mark.parametrize(("gold", "places"), [(1, {0}), (2, {0, 1}), (3, {0, 1, 2})])
def test_small_numbers_have_few_below(gold: int, places: set[int]) -> None:
    others = near(np.full(300, gold), 3, np.random.default_rng(1))
    assert set((others < gold).sum(axis=1).tolist()) == places


def test_the_right_number_is_as_often_the_smallest_as_any_other() -> None:
    others = near(np.full(4000, 40), 3, np.random.default_rng(2))
    counts = np.bincount((others < 40).sum(axis=1), minlength=4)
    assert chisquare(counts).pvalue > 1e-3
    assert {38, 39, 20, 41, 42, 80} == set(others.ravel().tolist())


def test_values_are_drawn_from_those_as_popular_in_proportion() -> None:
    rates = np.concatenate([np.full(30, 1.0), np.full(30, 80.0), np.full(30, 120.0)])
    found = Popularity.of(rates)
    drawn = found.draw(np.array([3, 40]), 30_000, np.random.default_rng(0))
    assert set(drawn[0].tolist()) == set(range(30))
    assert set(drawn[1].tolist()) == set(range(30, 90))
    # 80 and 120 lie between the same powers of two; the share of the more popular is 60 %.
    assert (drawn[1] >= 60).mean() == pytest.approx(0.6, abs=0.01)


def test_small_bands_join_others() -> None:
    rates = 2.0 ** np.arange(10)
    assert set(Popularity.of(rates).band.tolist()) == {0}
    five = Popularity.of(rates, least=4).band.tolist()
    assert Counter(five) == {0: 4, 1: 6}
