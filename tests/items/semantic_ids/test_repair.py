"""Optimal transport of items that share a path, against the cheapest assignment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from tastebench.items.semantic_ids.codebooks import ResidualCodebooks
from tastebench.items.semantic_ids.repair import repaired, transport
from tastebench.items.semantic_ids.rk_means import ResidualKMeans


def line(levels=1, size=5):
    """Codebooks on a line: the last level is 0, 1, 2, ..., the others are 0, 100, 200, ..."""
    step = np.where(np.arange(levels) == levels - 1, 1, 100)
    centres = (step[:, None] * np.arange(size))[..., None].astype(np.float32)
    return ResidualKMeans(ResidualCodebooks(centres, np.zeros((levels, size), np.float32)), False)


def repair(x, quantiser, rounds=30, epsilon=0.003):
    vectors = np.asarray(x, dtype=np.float32)[:, None]
    codes = quantiser.assign(vectors)
    return repaired(codes, vectors, quantiser, rounds=rounds, epsilon=epsilon)


def test_the_one_that_is_nearer_to_another_code_moves():
    # 2.0 and 2.4 share code 2: moving 2.4 to 3 costs less than moving 2.0 to 1 or 3.
    codes, notes = repair([2.0, 2.4], line())
    assert codes[:, 0].tolist() == [2, 3]
    assert notes == {"rounds": 1, "shared": 2, "moved": 1, "left": 0}


def test_a_code_of_an_item_without_a_collision_is_not_taken():
    codes, _ = repair([2.0, 2.4, 3.0], line())
    assert codes[2, 0] == 3
    assert sorted(codes[:, 0].tolist()) == [1, 2, 3]


def test_families_are_apart_and_what_collides_with_nobody_stays():
    # The same places below 0 and below 100; the item at 204 is alone.
    codes, _ = repair([2.0, 2.4, 102.0, 102.4, 204], line(levels=2))
    assert codes.tolist() == [[0, 2], [0, 3], [1, 2], [1, 3], [2, 4]]


def test_it_ends_where_there_are_more_items_than_codes():
    codes, notes = repair([2.0] * 9, line(size=5))
    assert notes["left"] == 4
    assert set(codes[:, 0].tolist()) == set(range(5))


def test_a_family_larger_than_the_level_is_dealt_out_as_far_as_it_goes():
    codes, notes = repair([2.0] * 40 + [103.0], line(levels=2, size=5))
    assert notes["left"] == 35
    assert set(codes[:40, 1].tolist()) == set(range(5))
    assert codes[40].tolist() == [1, 3]


def test_others_stay_where_they_are():
    vectors = np.array([[2.0], [2.4]], dtype=np.float32)
    others = np.array([[3], [3], [2]])
    codes, notes = repaired(
        np.array([[2], [2]]), vectors, line(), rounds=9, epsilon=0.003, others=others
    )
    assert sorted(codes[:, 0].tolist()) == [1, 4]
    assert notes["shared"] == 2


def test_no_rounds_change_nothing():
    codes, notes = repair([2.0, 2.4], line(), rounds=0)
    assert codes[:, 0].tolist() == [2, 2]
    assert notes == {"rounds": 0, "shared": 2, "moved": 0, "left": 2}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_plan_is_the_cheapest_assignment(seed, items):
    costs = np.random.default_rng(seed).random((items, 12))
    plan = transport(costs[None], np.ones((1, 12), dtype=bool), 0.003)[0]
    assert plan.sum(axis=0).max() <= 1 + 1e-9
    to = plan.argmax(axis=1)
    row, best = linear_sum_assignment(costs)
    if len(set(to.tolist())) == items:  # else the next round goes on
        assert costs[row, to].sum() <= costs[row, best].sum() + 0.01 * items
    assert len(set(to.tolist())) >= items - 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 21, width=32), min_size=1, max_size=20), st.integers(1, 30))
def test_with_room_for_all_nobody_shares_and_the_cost_is_near_the_cheapest(x, rounds):
    quantiser = line(size=20)
    codes, notes = repair(x, quantiser)
    assert notes["left"] == 0
    assert len(np.unique(codes)) == len(x)
    vectors = np.asarray(x, dtype=np.float32)[:, None]
    costs = quantiser.last_costs(vectors, codes)
    row, best = linear_sum_assignment(costs)
    nearest = quantiser.assign(vectors)[:, 0]
    alone = np.bincount(nearest, minlength=20)[nearest] == 1
    np.testing.assert_array_equal(codes[alone, 0], nearest[alone])
    if not alone.any():  # otherwise those that stay may stand in the way
        assert costs[row, codes[:, 0]].sum() <= 1.5 * costs[row, best].sum() + 1


def test_codes_without_room_get_nothing():
    room = np.array([[True, False, True]])
    plan = transport(np.zeros((1, 2, 3)), room, 0.003)
    np.testing.assert_allclose(plan[0], [[0.5, 0, 0.5]] * 2)
    assert transport(np.zeros((1, 2, 3)), np.zeros((1, 3), bool), 0.003).sum() == 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_plan_does_not_depend_on_the_scale_of_distances(scale):
    costs = np.random.default_rng(0).random((3, 4, 6))
    room = np.ones((3, 6), dtype=bool)
    np.testing.assert_allclose(
        transport(costs * scale, room, 0.01), transport(costs, room, 0.01), atol=1e-9
    )
