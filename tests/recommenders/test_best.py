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
