from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tastebench.contracts import CfProblem, Items, Queries
from tastebench.errors import UsageError
from tastebench.recommenders import get_recommender
from tastebench.testing.tiny import tiny

CARD = get_recommender("popularity")


def test_counts_by_hand_repeats_included(
    fitted: Callable[..., Any], problem: Callable[..., CfProblem]
) -> None:
    recommender = fitted(CARD, problem([[0, 1, 1], [1], []], 4))
    assert recommender.scores(Queries(2), slice(0, 4)).tolist() == [[1, 3, 0, 0]] * 2
    assert recommender.scores(Queries(1), slice(1, 3)).tolist() == [[3, 0]]


def test_search_has_nothing_to_count(fitted: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="learns from interactions"):
        fitted(CARD, tiny("search").problem, Items(n=12))
