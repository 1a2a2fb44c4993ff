from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.item_graph import (
    columns,
    damped,
    standing,
    takes_again,
    transitions,
)
from tastebench.ragged import Ragged

N = 6
SEQUENCES = st.lists(st.lists(st.integers(0, N - 1), max_size=8), min_size=1, max_size=8)


def brute(sequences: list[list[int]], distance: int, decay: float, backward: float) -> np.ndarray:
    edges = np.zeros((N, N))
    for sequence in sequences:
        for i, one in enumerate(sequence):
            for apart in range(1, distance + 1):
                if i + apart < len(sequence):
                    other = sequence[i + apart]
                    edges[one, other] += decay ** (apart - 1)
                    edges[other, one] += backward * decay ** (apart - 1)
    return edges


@settings(max_examples=100, deadline=None)
@given(SEQUENCES, st.integers(1, 10), st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 0.3, 1.0]))
def test_transitions_equal_brute_force(
    sequences: list[list[int]], distance: int, decay: float, backward: float
) -> None:
    found = transitions(
        Ragged.from_lists(sequences), N, distance=distance, decay=decay, backward=backward
    )
    expected = brute(sequences, distance, decay, backward)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert found.nnz == np.count_nonzero(expected)


def test_transitions_by_hand() -> None:
    # 0 1 2: 0-1 and 1-2 next to each other, 0-2 two apart; 1 1: a repeat is a transition.
    sequences = Ragged.from_lists([[0, 1, 2], [1, 1], [], [2]])
    found = transitions(sequences, 3, distance=2, decay=0.5, backward=0.25)
    expected = [[0, 1, 0.5], [0.25, 1.25, 1], [0.125, 0.25, 0]]
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)


def test_nothing_follows_across_sequences() -> None:
    assert transitions(Ragged.from_lists([[0], [1], [2]]), 3, distance=3).nnz == 0
    assert transitions(Ragged.from_lists([]), 3, distance=3, backward=1).nnz == 0


def test_a_history_of_ten_thousand_items() -> None:
    long = np.arange(10_000, dtype=np.int32)
    found = transitions(Ragged.from_lists([long]), 10_000, distance=3)
    assert found.nnz == 9_999 + 9_998 + 9_997


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        (0.0, [[0, 3, 1], [0, 0, 0], [4, 0, 0]]),
        (0.5, [[0, 1.5, 0.5], [0, 0, 0], [2, 0, 0]]),
        (1.0, [[0, 0.75, 0.25], [0, 0, 0], [1, 0, 0]]),
    ],
)
def test_damped_by_hand(power: float, expected: list[list[float]]) -> None:
    edges = transitions(Ragged.from_lists([[0, 1]] * 3 + [[0, 2]] + [[2, 0]] * 4), 3)
    np.testing.assert_allclose(damped(edges, power).toarray(), expected, rtol=1e-6)


def test_standing_by_hand() -> None:
    # 2 is the last and the third last: (1 + 1/4) / (1 + 1/2 + 1/4); 0 is too long ago.
    histories = Ragged.from_lists([[0, 2, 1, 2], [3], []])
    found = standing(histories, 4, last=3, recency=0.5)
    expected = [[0, 0.5 / 1.75, 1.25 / 1.75, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    assert histories.to_lists() == [[0, 2, 1, 2], [3], []]


@settings(max_examples=50, deadline=None)
@given(SEQUENCES, st.integers(1, 9), st.sampled_from([0.3, 1.0]))
def test_standing_adds_up_to_one(sequences: list[list[int]], last: int, recency: float) -> None:
    found = standing(Ragged.from_lists(sequences), N, last=last, recency=recency)
    total = np.asarray(found.sum(axis=1)).ravel()
    np.testing.assert_allclose(total, [1.0 if one else 0.0 for one in sequences], rtol=1e-6)


def test_columns_are_those_of_the_items() -> None:
    edges = transitions(Ragged.from_lists([[0, 1, 2, 3]]), 4, distance=3)
    assert columns(edges, slice(0, 4)) is edges
    np.testing.assert_array_equal(columns(edges, slice(1, 3)).toarray(), edges.toarray()[:, 1:3])


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [([[0, 1], [1, 0]], False), ([[0, 1], [2, 0, 2]], True), ([], False), ([[1, 1]], True)],
)
def test_takes_again(sequences: list[list[int]], expected: bool) -> None:
    assert takes_again(Ragged.from_lists(sequences), 3) is expected
