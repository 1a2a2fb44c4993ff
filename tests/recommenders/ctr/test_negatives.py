"""Negatives of matching: whose they are, how many, and how often each is drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.contracts import CtrProblem, Pairs
from tastebench.ragged import Ragged
from tastebench.recommenders.ctr.negatives import OwnNegatives, _distinct


def problem(
    rows: list[tuple[int, int, int, int]], history: list[list[int]], n_items: int
) -> CtrProblem:
    """Rows of (user = context, item, label, group)."""
    user, item, label, group = (np.array(column) for column in zip(*rows, strict=True))
    train = Pairs(user, user, item.astype(np.int32), label.astype(np.int8), group)
    return CtrProblem(
        n_items, len(history), 5, Ragged.from_lists(history), train, train[:0], train[:0]
    )


ROWS = [
    (0, 1, 1, 0),
    (0, 2, 0, 0),
    (0, 3, 0, 0),
    (0, 4, 0, 0),
    (1, 5, 1, 1),
    (1, 6, 0, 1),
    (2, 7, 1, 2),
]


def test_a_group_lends_its_own_and_the_rest_is_drawn() -> None:
    own = OwnNegatives.of(problem(ROWS, [[0], [0, 1], []], 9))
    rng = np.random.default_rng(0)
    rows = np.array([0, 4, 6])
    for _ in range(200):
        drawn = own.draw(rows, 3, rng)
        assert sorted(drawn[0].tolist()) == [2, 3, 4]
        assert 6 in drawn[1] and len(set(drawn[1].tolist())) == 3
        assert not set(drawn[1].tolist()) & {0, 1, 5}  # neither clicked nor had before
        assert len(set(drawn[2].tolist())) == 3 and 7 not in drawn[2]


def test_what_was_clicked_in_the_end_is_not_lent() -> None:
    """Shown twice to group 0 and clicked once; to group 1, an impression of the same user, not."""
    rows = [(0, 1, 0, 0), (0, 1, 1, 0), (0, 2, 0, 0), (0, 1, 0, 1), (0, 3, 1, 1)]
    own = OwnNegatives.of(problem(rows, [[]], 9))
    rng = np.random.default_rng(4)
    for _ in range(100):
        drawn = own.draw(np.array([1, 4]), 2, rng)
        assert 2 in drawn[0] and not set(drawn[0].tolist()) & {1, 3}
        assert 1 in drawn[1] and 3 not in drawn[1]


def test_of_more_than_enough_each_is_lent_as_often() -> None:
    own = OwnNegatives.of(problem(ROWS, [[0], [], []], 9))
    drawn = own.draw(np.zeros(30_000, np.int64), 2, np.random.default_rng(1))
    assert set(np.unique(drawn)) == {2, 3, 4}
    np.testing.assert_allclose(np.bincount(drawn.ravel())[2:] / 30_000, 2 / 3, atol=0.02)
    assert (drawn[:, 0] != drawn[:, 1]).all()


def test_at_most_a_hundred_of_a_group_are_kept() -> None:
    rows = [(0, 0, 1, 0)] + [(0, item, 0, 0) for item in range(1, 300)]
    own = OwnNegatives.of(problem(rows, [[]], 300))
    drawn = own.draw(np.zeros(2_000, np.int64), 4, np.random.default_rng(2))
    assert drawn.max() == 100 and drawn.min() == 1


def test_whoever_clicked_everything_is_still_told_apart_from_something() -> None:
    rows = [(0, item, 1, 0) for item in range(4)]
    own = OwnNegatives.of(problem(rows, [[]], 4))
    drawn = own.draw(np.arange(4), 2, np.random.default_rng(3))
    assert ((drawn >= 0) & (drawn < 4)).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 6), st.integers(0, 99))
def test_places_are_distinct_and_cover_a_short_list(lengths: list[int], k: int, seed: int) -> None:
    length = np.array(lengths)
    places = _distinct(length, k, np.random.default_rng(seed))
    for n, row in zip(length, places.tolist(), strict=True):
        assert len(set(row)) == k and min(row) >= 0 and max(row) < max(n, k)
        if n < k:
            assert set(range(n)) <= set(row)
