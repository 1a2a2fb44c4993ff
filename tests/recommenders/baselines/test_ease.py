from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import CfProblem, Queries
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.baselines import ease
from tastebench.recommenders.baselines.history import incidence

CARD = get_recommender("ease")


@pytest.mark.parametrize(("precision", "tolerance"), [("double", 1e-6), ("single", 1e-4)])
@pytest.mark.parametrize("band", [1, 7, 1024])
def test_weights_are_those_of_the_formula(
    precision: str,
    tolerance: float,
    band: int,
    fitted: Callable[..., Any],
    problem: Callable[..., CfProblem],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ease, "_ROWS_AT_ONCE", band)
    rng = np.random.default_rng(2)
    train = [rng.choice(20, size=rng.integers(0, 9), replace=True).tolist() for _ in range(60)]
    users = incidence(Ragged.from_lists(train), 20).toarray().astype(np.float64)
    inverse = np.linalg.inv(users.T @ users + 3.0 * np.eye(20))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    recommender = fitted(CARD, problem(train, 20), l2=3.0, precision=precision)
    np.testing.assert_allclose(recommender.weights, expected, atol=tolerance)


def test_weights_solve_the_constrained_least_squares(
    fitted: Callable[..., Any], problem: Callable[..., CfProblem]
) -> None:
    # Column j of B is the ridge regression of column j of X on the other columns.
    train = [[0, 1], [0, 1, 2], [2, 3], [1, 3], [0, 2, 3], [1]]
    users = incidence(Ragged.from_lists(train), 4).toarray().astype(np.float64)
    weights = fitted(CARD, problem(train, 4), l2=0.5).weights
    for j in range(4):
        others = [i for i in range(4) if i != j]
        x = users[:, others]
        ridge = np.linalg.solve(x.T @ x + 0.5 * np.eye(3), x.T @ users[:, j])
        np.testing.assert_allclose(weights[others, j], ridge, rtol=1e-5)
        assert weights[j, j] == 0


def test_scores_sum_the_history_once_each(
    fitted: Callable[..., Any],
    problem: Callable[..., CfProblem],
    histories: Callable[..., Queries],
) -> None:
    recommender = fitted(CARD, problem([[0, 1], [0, 1, 2], [2]], 3), l2=1.0)
    weights = recommender.weights
    scores = recommender.scores(histories([0, 2, 0], []), slice(1, 3))
    np.testing.assert_allclose(scores[0], (weights[0] + weights[2])[1:3], rtol=1e-6)
    assert scores[1].tolist() == [0, 0]


def test_a_catalogue_that_does_not_fit_is_refused_before_work(
    fitted: Callable[..., Any], problem: Callable[..., CfProblem]
) -> None:
    with pytest.raises(UsageError, match=r"EASE needs .* GiB for 5,000,000 x 5,000,000") as error:
        fitted(CARD, problem([[0]], 5_000_000))
    assert "item-knn" in str(error.value)
