"""A recommender that says what it is told, and datasets of a few written-out events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.contracts import Queries
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables


class Told:
    """Scores from a matrix; a query is a row of it by `row`."""

    name = "told"

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        assert queries.row is not None
        return self.matrix[queries.row][:, items]


@pytest.fixture(scope="session")
def told() -> Callable[[Any], Told]:
    return lambda matrix: Told(np.asarray(matrix))


@pytest.fixture(scope="session")
def shop() -> Callable[..., Dataset]:
    """`shop("a x 1, a y 2, b x 3")`: events as user, item and time; items in order of `items`."""

    def make(events: str, items: str = "", **card: Any) -> Dataset:
        rows = [event.split() for event in events.split(",")]
        frame = pl.DataFrame(
            {
                "user_id": [row[0] for row in rows],
                "item_id": [row[1] for row in rows],
                "time": [int(row[2]) for row in rows],
                "row": range(len(rows)),
            }
        )
        names = items.split() or sorted(set(frame["item_id"]))
        table = pl.DataFrame({"item_id": names, "title": names})
        return Dataset.create(DatasetCard(name="shop", title="Shop", **card), Tables(table, frame))

    return make
