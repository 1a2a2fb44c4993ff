from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import kstest

from tastebench.contracts import CfProblem, Queries
from tastebench.errors import UsageError
from tastebench.recommenders import get_recommender

CARD = get_recommender("random")


@pytest.fixture(scope="module")
def scores(fitted: Callable[..., Any], problem: Callable[..., CfProblem]) -> Any:
    recommender = fitted(CARD, problem([[0]], 500), seed=4)
    return recommender.scores(Queries(400, user=np.arange(400)), slice(0, 500))


def test_scores_are_uniform_over_users_and_over_items(scores: np.ndarray) -> None:
    assert scores.dtype == np.float32
    assert kstest(scores.ravel(), "uniform").pvalue > 0.001
    assert np.abs(scores.mean(axis=0) - 0.5).max() < 5 * np.sqrt(1 / 12 / 400)
    assert np.abs(scores.mean(axis=1) - 0.5).max() < 5 * np.sqrt(1 / 12 / 500)


def test_neighbouring_users_and_items_are_unrelated(scores: np.ndarray) -> None:
    for a, b in ((scores[:-1], scores[1:]), (scores[:, :-1], scores[:, 1:])):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.01


@pytest.mark.parametrize("seed", [5, 2**40 + 5])
def test_the_seed_changes_everything(
    seed: int, scores: np.ndarray, fitted: Callable[..., Any], problem: Callable[..., CfProblem]
) -> None:
    other = fitted(CARD, problem([[0]], 500), seed=seed)
    again = other.scores(Queries(400, user=np.arange(400)), slice(0, 500))
    assert abs(np.corrcoef(scores.ravel(), again.ravel())[0, 1]) < 0.01


def test_events_of_one_user_get_orders_of_their_own(
    fitted: Callable[..., Any], problem: Callable[..., CfProblem]
) -> None:
    recommender = fitted(CARD, problem([[0]], 50))
    queries = Queries(2, user=np.array([7, 7]), row=np.array([1, 2]))
    first, second = recommender.scores(queries, slice(0, 50))
    assert not np.array_equal(first, second)


def test_queries_are_told_apart_by_their_words(
    fitted: Callable[..., Any], problem: Callable[..., CfProblem]
) -> None:
    recommender = fitted(CARD, problem([[0]], 50))
    one, two, three = recommender.scores(Queries(3, text=["tea", "sea", "tea"]), slice(0, 50))
    np.testing.assert_array_equal(one, three)
    assert not np.array_equal(one, two)
    with pytest.raises(UsageError, match="these queries name none"):
        recommender.scores(Queries(1), slice(0, 50))
