"""Baselines of click prediction: by hand, and against loops over rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tastebench.contracts import Candidates, CtrProblem, Items, Pairs
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.baselines.popularity import PRIOR
from tastebench.testing.tiny import tiny

HISTORY = [[0, 1], [], [2], [2, 3, 2]]
"""By context: users 0, 0, 1 and 2."""

ROWS = [
    (0, 0, 4, 1),
    (0, 0, 5, 0),
    (1, 0, 4, 0),
    (2, 1, 4, 1),
    (2, 1, 0, 0),
    (3, 2, 5, 0),
    (3, 2, 2, 1),
    (3, 2, 3, 1),
]
"""Context, user, item, label."""


def problem(rows: list[tuple[int, int, int, int]] = ROWS) -> CtrProblem:
    context, user, item, label = (np.array(column) for column in zip(*rows, strict=True))
    train = Pairs(context, user, item.astype(np.int32), label.astype(np.int8), user)
    return CtrProblem(6, 4, 3, Ragged.from_lists(HISTORY), train, train[:0], train[:0])


ASKED = Candidates(
    history=Ragged.from_lists([[0, 1], [2, 2, 4], []]),
    user=np.array([0, 1, 3]),
    items=Ragged.from_lists([[4, 1], [2, 5], [0, 3, 2]]),
)


def test_popularity_is_the_smoothed_rate_of_clicks(fitted: Callable[..., Any]) -> None:
    made = fitted(get_recommender("popularity"), problem())
    overall = (4 + 1) / (8 + 2)
    clicked, shown = [0, 0, 1, 1, 2, 0], [1, 0, 1, 1, 3, 2]
    rate = [(c + PRIOR * overall) / (n + PRIOR) for c, n in zip(clicked, shown, strict=True)]
    expected = [np.log(rate[item] / (1 - rate[item])) for item in (4, 1, 2, 5, 0, 3, 2)]
    np.testing.assert_allclose(made.score(ASKED), expected, rtol=1e-12)


def test_vector_knn_is_the_cosine_of_candidate_and_mean_direction(
    fitted: Callable[..., Any],
) -> None:
    """What is clicked twice counts twice; lengths of vectors do not count."""
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    vectors[5] = 0
    items = Items(6, vector=vectors)
    made = fitted(get_recommender("vector-knn"), problem(), items)
    unit = [v / np.linalg.norm(v) if v.any() else v for v in vectors]
    expected = []
    for history, candidates in zip(ASKED.history, ASKED.items, strict=True):
        mean = sum((unit[item] for item in history), np.zeros(4))
        length = np.linalg.norm(mean)
        expected += [float(unit[c] @ mean / length) if length else 0.0 for c in candidates]
    scores = made.score(ASKED)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores[3] == 0 and scores[4:].tolist() == [0, 0, 0]  # no vector, no history
    scaled = replace(items, vector=vectors * np.float32(7))
    again = fitted(get_recommender("vector-knn"), problem(), scaled)
    np.testing.assert_allclose(again.score(ASKED), scores, atol=1e-6)


def test_vectors_are_needed(fitted: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="the items have none"):
        fitted(get_recommender("vector-knn"), problem(), Items(6))


def features(user: int, item: int, history: list[int], own: int | None) -> list[float]:
    """Of one row, counted one by one; `own` is the training row that it is, if it is one."""
    others = [row for place, row in enumerate(ROWS) if place != own]
    shown = sum(row[2] == item for row in others)
    clicked = sum(row[2] == item and row[3] == 1 for row in others)
    people = {0: 0, 1: 0, 2: 1, 3: 2}
    taken = sum(HISTORY[c].count(item) for c, person in people.items() if person != user)
    overall = (4 + 1) / (8 + 2)
    rate = (clicked + PRIOR * overall) / (shown + PRIOR)
    return [
        np.log(1 + shown),
        np.log(1 + clicked),
        np.log(1 + taken),
        np.log(rate / (1 - rate)),
        np.log(1 + len(history)),
        float(item in history),
    ]


def test_logistic_leaves_each_row_and_each_user_out_of_their_own_counts(
    fitted: Callable[..., Any],
) -> None:
    train = [features(u, i, HISTORY[c], place) for place, (c, u, i, _) in enumerate(ROWS)]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.5))
    model.fit(np.array(train), [row[3] for row in ROWS])
    asked = [
        features(int(user), int(item), history.tolist(), None)
        for user, history, items in zip(ASKED.user, ASKED.history, ASKED.items, strict=True)
        for item in items
    ]
    made = fitted(get_recommender("logistic"), problem(), c=0.5)
    expected = model.decision_function(np.array(asked))
    np.testing.assert_allclose(made.score(ASKED), expected, rtol=1e-9)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_is_nothing_to_tell_apart(fitted: Callable[..., Any], label: int) -> None:
    rows = [(*row[:3], label) for row in ROWS]
    with pytest.raises(UsageError, match="all or none of the training rows were clicked"):
        fitted(get_recommender("logistic"), problem(rows))


def test_random_scores_are_those_of_a_pair_and_uniform(fitted: Callable[..., Any]) -> None:
    made = fitted(get_recommender("random"), tiny("ctr").problem)
    n, k = 300, 40
    items = Ragged.from_lists([range(k)] * n)
    many = Candidates(Ragged.from_lists([[]] * n), np.arange(n), items)
    scores = made.score(many).reshape(n, k)
    assert made.score(many[7:9]).tolist() == scores[7:9].ravel().tolist()
    assert abs(scores.mean() - 0.5) < 0.01 and 0 <= scores.min() < scores.max() < 1
    np.testing.assert_allclose(np.histogram(scores, 10, (0, 1))[0] / (n * k), 0.1, atol=0.01)
    assert abs(np.corrcoef(scores[0], scores[1])[0, 1]) < 0.5
