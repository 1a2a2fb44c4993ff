from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from tastebench.board.borda import borda_points, final_ranks, overall_average, task_average

NAN = float("nan")

# The table of the paper whose suite this count comes from: printed rank, Borda count, averages over
# the 14 datasets and the 4 tasks, and the task means over 5, 6, 1 and 2 datasets.
PUBLISHED = {
    "roberta-large": (11, 15.0, 0.0263, 0.0190, 0.0393, 0.0269, 0.0096, 0.0001),
    "Qwen3-Embedding-0.6B": (10, 35.5, 0.0507, 0.0829, 0.0415, 0.0274, 0.1876, 0.0750),
    "sup-simcse-roberta-large": (9, 37.0, 0.0397, 0.0536, 0.0426, 0.0265, 0.1063, 0.0389),
    "sentence-t5-large": (8, 42.5, 0.0513, 0.0801, 0.0418, 0.0304, 0.1691, 0.0790),
    "Qwen3-Embedding-4B": (7, 69.5, 0.0620, 0.1036, 0.0416, 0.0350, 0.2258, 0.1120),
    "Qwen3-Embedding-8B": (6, 54.0, 0.0637, 0.1069, 0.0415, 0.0362, 0.2328, 0.1172),
    "gemini-embedding-001": (5, 96.5, 0.0629, 0.1040, 0.0434, 0.0355, 0.2233, 0.1140),
    "SFR-Embedding-Mistral": (4, 98.0, 0.0679, 0.1160, 0.0433, 0.0372, 0.2560, 0.1273),
    "e5-mistral-7b-instruct": (3, 101.0, 0.0666, 0.1120, 0.0434, 0.0377, 0.2437, 0.1232),
    "GritLM-7B": (2, 105.0, 0.0685, 0.1161, 0.0434, 0.0385, 0.2537, 0.1290),
    "text-embedding-3-large": (1, 116.0, 0.0665, 0.1112, 0.0440, 0.0366, 0.2366, 0.1278),
}


def test_a_tie_shares_the_points() -> None:
    points = borda_points(np.array([[0.2, 0.3], [0.2, 0.1], [0.1, 0.2]]))
    assert points.tolist() == [[1.5, 2.0], [1.5, 0.0], [0.0, 1.0]]
    assert final_ranks(points.sum(axis=1)).tolist() == [1, 2, 3]


def test_a_missing_score_has_no_points_and_the_others_keep_theirs() -> None:
    points = borda_points(np.array([[0.2, 0.3], [0.2, NAN], [0.1, 0.2]]))
    assert points.tolist() == [[1.5, 2.0], [1.5, 0.0], [0.0, 1.0]]


def test_equal_totals_share_the_best_rank() -> None:
    assert final_ranks(np.array([2.0, 5.0, 2.0, 0.5])).tolist() == [2, 1, 2, 4]


def test_the_published_counts_add_up_and_contradict_two_printed_ranks() -> None:
    counts = np.array([row[1] for row in PUBLISHED.values()])
    assert counts.sum() == 14 * 11 * 10 / 2 == 770
    ranks = dict(zip(PUBLISHED, final_ranks(counts).tolist(), strict=True))
    assert ranks["Qwen3-Embedding-4B"] == 6
    assert ranks["Qwen3-Embedding-8B"] == 7
    for name, row in PUBLISHED.items():
        if not name.startswith("Qwen3-Embedding-") or name.endswith("0.6B"):
            assert ranks[name] == row[0], name


def test_the_published_averages_follow_from_the_task_means() -> None:
    tasks = ["seq"] * 5 + ["cf"] * 6 + ["short"] + ["complex"] * 2
    scores = np.array([np.repeat(row[4:], [5, 6, 1, 2]) for row in PUBLISHED.values()])
    printed = np.array([row[2:4] for row in PUBLISHED.values()])
    np.testing.assert_allclose(overall_average(scores), printed[:, 0], atol=1.01e-4)
    np.testing.assert_allclose(task_average(scores, tasks), printed[:, 1], atol=1.01e-4)


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
