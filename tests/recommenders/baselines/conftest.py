from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import CfProblem, Items, Queries, RecommenderCard
from tastebench.ragged import Ragged
from tastebench.training.fit import FabricTrainer


@pytest.fixture(scope="session")
def problem() -> Callable[..., CfProblem]:
    """`problem([[0, 1], [1]], 3)`: training items per user, nothing held out."""

    def make(train: Sequence[Sequence[int]], n_items: int) -> CfProblem:
        none = Ragged.from_lists([[] for _ in train])
        return CfProblem(n_items, len(train), Ragged.from_lists(train), none, none)

    return make


@pytest.fixture(scope="session")
def fitted() -> Callable[..., Any]:
    """Builds and fits a card's recommender; keyword arguments are its hyper-parameters."""

    def make(
        card: RecommenderCard,
        problem: Any,
        items: Items | None = None,
        seed: int = 0,
        **params: Any,
    ) -> Any:
        recommender = card.build(card.config(**params))
        n_items = problem.n_items if problem is not None else 0
        recommender.fit(problem, items or Items(n=n_items), FabricTrainer(seed=seed))
        return recommender

    return make


@pytest.fixture(scope="session")
def histories() -> Callable[..., Queries]:
    def make(*lists: Sequence[int]) -> Queries:
        return Queries(len(lists), history=Ragged.from_lists(lists), user=np.arange(len(lists)))

    return make
