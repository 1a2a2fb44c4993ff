from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tastebench.recommenders.best import best_columns


@given(
    hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
    ),
    st.integers(1, 10),
)
def test_best_columns_are_a_stable_sort(scores: np.ndarray[Any, Any], k: int) -> None:
    expected = [sorted(range(scores.shape[1]), key=lambda j: (-row[j], j))[:k] for row in scores]
    assert best_columns(scores, k).tolist() == expected


@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(0, 80),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 1000]),
)
def test_wide_rows_are_narrowed_without_a_difference(
    k: int, n: int, more: int, seed: int, values: int
) -> None:
    # Few distinct values crowd the edge, many do not; both ways must agree with the sort.
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, values, size=(n, 32 * k + more)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(best_columns(scores, k), expected)
