from __future__ import annotations

import numpy as np
import pytest

from tastebench.items.semantic_ids.random_codes import more_random_codes, random_codes


def rng(seed=0):
    return np.random.default_rng(seed)


def distinct(codes):
    return len(np.unique(codes, axis=0))


@pytest.mark.parametrize(
    ("n", "levels", "size"), [(0, 2, 3), (1, 1, 2), (9, 2, 3), (500, 4, 256), (40, 16, 65536)]
)
def test_every_item_has_a_path_of_its_own(n, levels, size):
    codes = random_codes(n, levels, size, rng())
    assert codes.shape == (n, levels)
    assert distinct(codes) == n
    assert n == 0 or 0 <= codes.min() <= codes.max() < size


def test_more_items_than_paths_share_them_evenly():
    codes = random_codes(20, 2, 3, rng())
    _, count = np.unique(codes, axis=0, return_counts=True)
    assert sorted(count.tolist()) == [2] * 7 + [3] * 2


def test_codes_are_uniform_and_levels_independent():
    codes = random_codes(20_000, 3, 16, rng())  # more items than 16^3 paths
    codes = random_codes(30_000, 4, 16, rng())
    for level in range(4):
        count = np.bincount(codes[:, level], minlength=16)
        expected = len(codes) / 16
        assert ((count - expected) ** 2 / expected).sum() < 37.7  # chi-squared(15), p = 0.001
    assert abs(np.corrcoef(codes.T) - np.eye(4)).max() < 0.03


def test_a_seed_gives_the_same_codes_and_another_others():
    first, again, other = (random_codes(50, 4, 256, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("old", "new"), [(3, 10), (20, 7), (26, 1), (0, 27)])
def test_later_items_have_paths_that_nobody_has(old, new):
    taken = random_codes(old, 3, 3, rng())
    more = more_random_codes(new, 3, taken, rng(1))
    assert distinct(np.concatenate([taken, more])) == old + new


def test_when_no_path_is_left_later_items_share():
    taken = random_codes(9, 2, 3, rng())
    assert more_random_codes(4, 3, taken, rng(1)).shape == (4, 2)
    # Two are left: two of four have them.
    more = more_random_codes(4, 3, taken[:7], rng(1))
    assert distinct(np.concatenate([taken[:7], more])) == 9
