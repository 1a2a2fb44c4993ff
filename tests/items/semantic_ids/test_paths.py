from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tastebench.items.semantic_ids.paths import order_within, prefix_groups, same_path, tie_codes

codes = arrays(
    np.int64, st.tuples(st.integers(0, 30), st.integers(1, 4)), elements=st.integers(-1, 3)
)


def test_groups_by_hand():
    values = np.array([[1, 0, 5], [0, 2, 2], [1, 0, 5], [1, 1, 0], [1, 0, -1]])
    assert prefix_groups(values).tolist() == [[1, 1, 2], [0, 0, 0], [1, 1, 2], [1, 2, 3], [1, 1, 1]]
    assert same_path(values).tolist() == [2, 0, 2, 3, 1]


@given(codes)
def test_groups_are_those_of_the_rows_themselves(values):
    groups = prefix_groups(values)
    for level in range(values.shape[1]):
        if len(values):
            _, expected = np.unique(values[:, : level + 1], axis=0, return_inverse=True)
            assert groups[:, level].tolist() == expected.ravel().tolist()


@pytest.mark.parametrize(
    ("always", "expected"), [(False, [0, -1, 1, -1, 2]), (True, [0, 0, 1, 0, 2])]
)
def test_tie_codes_by_hand(always, expected):
    values = np.array([[1, 7], [7, 1], [1, 7], [0, 0], [1, 7]])
    assert tie_codes(values, always).tolist() == expected


def test_nothing_of_no_rows():
    assert tie_codes(np.empty((0, 3), np.int64), False).tolist() == []
    assert order_within(np.empty(0, np.int64)).tolist() == []


@given(arrays(np.int64, st.integers(0, 40), elements=st.integers(0, 5)))
def test_places_within_groups_count_up_in_the_order_of_the_rows(group):
    place = order_within(group)
    for one in np.unique(group):
        assert place[group == one].tolist() == list(range((group == one).sum()))
