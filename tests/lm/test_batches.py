from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.lm.batches import token_batches


@pytest.mark.parametrize(
    ("lengths", "budget", "max_rows", "expected"),
    [
        ([3, 3, 3], 6, 9, [[0, 1], [2]]),
        # Longest first; equal lengths keep their order.
        ([2, 9, 3, 2], 6, 9, [[1], [2, 0], [3]]),
        ([1, 1, 1, 1], 100, 3, [[0, 1, 2], [3]]),
        # A text without tokens takes its place like one token.
        ([0, 0, 0], 2, 9, [[0, 1], [2]]),
        ([], 6, 9, []),
    ],
)
def test_batches_by_hand(lengths, budget, max_rows, expected):
    batches = token_batches(np.array(lengths, dtype=np.int64), budget, max_rows)
    assert [batch.tolist() for batch in batches] == expected


@given(st.lists(st.integers(0, 40), max_size=80), st.integers(1, 60), st.integers(1, 10))
def test_every_text_once_and_no_batch_beyond_its_budget(lengths, budget, max_rows):
    array = np.array(lengths, dtype=np.int64)
    batches = token_batches(array, budget, max_rows)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= max_rows
        assert len(batch) == 1 or len(batch) * max(array[batch].max(), 1) <= budget
    longest = [array[batch].max() for batch in batches]
    assert longest == sorted(longest, reverse=True)
