from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from tastebench.board.borda import borda_points, final_ranks, overall_average, task_average

NAN = float("nan")


def test_a_tie_shares_the_points() -> None:
    """T1."""
    points = borda_points(np.array([[0.2, 0.3], [0.2, 0.1], [0.1, 0.2]]))
    assert points.tolist() == [[1.5, 2.0], [1.5, 0.0], [0.0, 1.0]]
    assert final_ranks(points.sum(axis=1)).tolist() == [1, 2, 3]


def test_a_missing_score_has_no_points_and_the_others_keep_theirs() -> None:
    """T1."""
    points = borda_points(np.array([[0.2, 0.3], [0.2, NAN], [0.1, 0.2]]))
    assert points.tolist() == [[1.5, 2.0], [1.5, 0.0], [0.0, 1.0]]


def test_equal_totals_share_the_best_rank() -> None:
    assert final_ranks(np.array([2.0, 5.0, 2.0, 0.5])).tolist() == [2, 1, 2, 4]


def test_a_missing_column_leaves_no_average() -> None:
    scores = np.array([[0.2, NAN], [0.2, 0.4]])
    np.testing.assert_allclose(overall_average(scores), [NAN, 0.3])
    np.testing.assert_allclose(task_average(scores, ["a", "b"]), [NAN, 0.3])


def test_without_columns_there_is_nothing_to_count() -> None:
    nothing = np.empty((2, 0))
    assert borda_points(nothing).sum(axis=1).tolist() == [0.0, 0.0]
    assert np.isnan(overall_average(nothing)).all()
    assert np.isnan(task_average(nothing, [])).all()


@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, 3))] * 4), min_size=1, max_size=7))
def test_points_equal_those_of_an_independent_ranking(rows: list[tuple[int | None, ...]]) -> None:
    scores = np.array([[NAN if x is None else x for x in row] for row in rows], float)
    points = borda_points(scores)
    n = len(rows)
    for j in range(4):
        column = scores[:, j]
        here = ~np.isnan(column)
        assert points[here, j].tolist() == (n - rankdata(-column[here])).tolist()
        assert (points[~here, j] == 0).all()
    if not np.isnan(scores).any():
        assert points.sum() == 4 * n * (n - 1) / 2


def test_ranks_equal_scipys() -> None:
    totals = np.random.default_rng(0).integers(0, 5, 30).astype(float)
    assert final_ranks(totals).tolist() == rankdata(-totals, method="min").tolist()


@pytest.mark.parametrize("scores", [[[1.0]], [[NAN]]])
def test_one_model_alone_has_no_points(scores: list[list[float]]) -> None:
    assert borda_points(np.array(scores)).tolist() == [[0.0]]
