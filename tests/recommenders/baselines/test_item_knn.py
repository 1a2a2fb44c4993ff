from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

from tastebench.contracts import CfProblem, Queries
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.baselines import item_knn
from tastebench.recommenders.baselines.history import incidence
from tastebench.recommenders.baselines.item_knn import neighbours

CARD = get_recommender("item-knn")


def brute(users: np.ndarray, k: int, shrinkage: float) -> np.ndarray:
    """Row i keeps its k most similar others, ties by index."""
    together = users.T @ users
    count = np.diag(together)
    root = np.sqrt(count[:, None] * count[None, :]) + shrinkage
    similar = np.divide(together, root, out=np.zeros_like(root), where=root > 0)
    np.fill_diagonal(similar, 0)
    kept = np.zeros_like(similar)
    for i, row in enumerate(similar):
        for j in sorted(range(len(row)), key=lambda j: (-row[j], j))[:k]:
            kept[i, j] = row[j]
    return kept


def test_with_all_neighbours_it_is_scikit_learns_cosine() -> None:
    rng = np.random.default_rng(3)
    users = (rng.random((40, 15)) < 0.3).astype(np.float32)
    expected = cosine_similarity(users.T)
    np.fill_diagonal(expected, 0)
    found = neighbours(csr_matrix(users), k=15, shrinkage=0).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 7), max_size=9), min_size=1, max_size=9),
    st.integers(1, 9),
    st.sampled_from([0.0, 1.0, 10.0]),
    st.sampled_from([1, 5, 2**23]),
)
def test_neighbours_equal_brute_force(
    lists: list[list[int]], k: int, shrinkage: float, at_once: int
) -> None:
    users = incidence(Ragged.from_lists(lists), 8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(item_knn, "_AT_ONCE", at_once)
        found = neighbours(users, k, shrinkage).toarray()
    expected = brute(users.toarray().astype(np.float64), k, shrinkage)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_scores_by_hand(
    fitted: Callable[..., Any],
    problem: Callable[..., CfProblem],
    histories: Callable[..., Queries],
) -> None:
    # Items 0 and 1 share two users of three and two; 1 and 2 share one.
    recommender = fitted(CARD, problem([[0, 1], [0, 1, 1], [0], [2]], 4), shrinkage=0)
    close = 2 / np.sqrt(3 * 2)
    scores = recommender.scores(histories([0], [1, 1, 2], [3], []), slice(0, 4))
    expected = [[0, close, 0, 0], [close, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    damped = fitted(CARD, problem([[0, 1], [0, 1], [0], [2]], 4), shrinkage=1.0)
    score = damped.scores(histories([0]), slice(1, 2))
    np.testing.assert_allclose(score, [[2 / (np.sqrt(6) + 1)]], rtol=1e-6)


def test_a_history_is_not_changed_by_asking(
    fitted: Callable[..., Any],
    problem: Callable[..., CfProblem],
    histories: Callable[..., Queries],
) -> None:
    recommender = fitted(CARD, problem([[0, 1], [1, 2]], 3))
    queries = histories([2, 0, 2])
    recommender.scores(queries, slice(0, 3))
    assert queries.history is not None and queries.history.to_lists() == [[2, 0, 2]]
