from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Items, Queries
from tastebench.errors import UsageError
from tastebench.recommenders import get_recommender
from tastebench.tasks.protocol import TaskName
from tastebench.testing.tiny import tiny

CARD = get_recommender("oracle")


class Recording:
    """A truth that remembers which task it was asked about."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def scores(self, task: str, queries: Queries, items: slice) -> np.ndarray:
        self.tasks.append(task)
        return np.zeros((len(queries), items.stop - items.start))


@pytest.mark.parametrize("task", ["seqrec", "cf", "search"])
def test_the_truth_is_asked_about_the_task(task: TaskName, fitted: Callable[..., Any]) -> None:
    truth = Recording()
    recommender = fitted(CARD, tiny(task).problem, Items(n=12, truth=truth))
    assert recommender.scores(Queries(3), slice(2, 6)).shape == (3, 4)
    assert truth.tasks == [task]


def test_it_is_a_ceiling_and_needs_generated_data(fitted: Callable[..., Any]) -> None:
    assert CARD.kind == "ceiling" and CARD.representations == ("truth",)
    with pytest.raises(UsageError, match="only generated data have"):
        fitted(CARD, tiny("cf").problem, Items(n=12))
