"""Candidate pools."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tastebench.data.pool import sample_pool


@given(
    category=st.lists(st.integers(-1, 4), min_size=1, max_size=60),
    per_target=st.integers(0, 12),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_targets_and_items_of_their_categories(
    category: list[int], per_target: int, seed: int, data: st.DataObject
) -> None:
    """T15: targets inside, at most `(per_target + 1) * n` items, negatives of a target's category.

    Of each category there are at least as many others as one target draws, or all.
    """
    kinds = np.array(category)
    target = np.array(data.draw(st.lists(st.integers(0, len(kinds) - 1), max_size=8)), np.int64)
    pool = sample_pool(target, kinds, per_target, np.random.default_rng(seed))
    assert pool.dtype == np.int64
    assert (np.diff(pool) > 0).all()
    assert set(target) <= set(pool)
    assert len(pool) <= (per_target + 1) * len(target)
    assert set(kinds[pool]) == set(kinds[target])
    for kind in set(kinds[target]):
        one = min(per_target + 1, int((kinds == kind).sum()))
        assert (kinds[pool] == kind).sum() >= one


def test_one_target_draws_exactly_that_many() -> None:
    kinds = np.array([0, 1] * 100)
    pool = sample_pool(np.array([7]), kinds, 50, np.random.default_rng(1))
    assert len(pool) == 51
    assert 7 in pool
    assert (kinds[pool] == 1).all()


def test_a_small_category_gives_all_it_has() -> None:
    kinds = np.array([2, 0, 2, 0, 2, 1])
    for per_target in (2, 3, 50):
        pool = sample_pool(np.array([4]), kinds, per_target, np.random.default_rng(1))
        assert pool.tolist() == [0, 2, 4]


def test_draws_are_uniform_and_the_target_is_no_draw_of_its_own() -> None:
    kinds = np.array([0, 1, 0, 0, 1, 0, 0])
    counts = np.zeros(len(kinds))
    rng = np.random.default_rng(5)
    for _ in range(4_000):
        counts[sample_pool(np.array([3]), kinds, 2, rng)] += 1
    assert counts[[1, 4]].tolist() == [0, 0]
    assert counts[3] == 4_000
    # Each of the four others is in half of the pools: 2,000, standard deviation 32.
    assert np.abs(counts[[0, 2, 5, 6]] - 2_000).max() < 5 * 32


def test_the_generator_decides() -> None:
    kinds, target = np.zeros(1_000, dtype=np.int16), np.array([3, 3, 900])
    first, again, other = (
        sample_pool(target, kinds, 50, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert 51 < len(first) <= 153  # a target that repeats draws again


def test_no_targets_no_pool() -> None:
    none = sample_pool(np.array([], dtype=np.int64), np.zeros(5), 50, np.random.default_rng(0))
    assert none.tolist() == []
