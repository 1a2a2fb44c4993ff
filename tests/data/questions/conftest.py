"""A shop whose users like one category for a while and then another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSet, QuestionSpec, generate
from tastebench.data.schema import Tables

N_ITEMS, N_USERS = 60, 300


DatasetOf = Callable[[pl.DataFrame, dict[str, list[int]]], Dataset]


def _dataset(items: pl.DataFrame, sequences: dict[str, list[int]]) -> Dataset:
    taken = pl.DataFrame(
        [
            {"user_id": user, "item_id": items["item_id"][item]}
            for user, own in sequences.items()
            for item in own
        ],
        schema={"user_id": pl.String, "item_id": pl.String},
    )
    taken = taken.with_columns(row=pl.int_range(pl.len()), time=pl.int_range(pl.len()))
    card = DatasetCard(name="shop", title="A shop")
    return Dataset.create(card, Tables(items=items, interactions=taken))


@pytest.fixture(scope="package")
def dataset_of() -> DatasetOf:
    """Makes a shop of users who took items, given by row, in this order."""
    return _dataset


@pytest.fixture(scope="package")
def shop() -> Dataset:
    rng = np.random.default_rng(5)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "category": [f"c{i % 6}" for i in range(N_ITEMS)],
            "genres": [[f"g{i % 5}", f"h{i % 7}"] for i in range(N_ITEMS)],
            "brand": [None if i % 10 == 0 else f"b{i % 8}" for i in range(N_ITEMS)],
        }
    )
    sequences = {}
    for user in range(N_USERS):
        n = int(rng.integers(2, 40))
        liked = np.repeat(rng.integers(6, size=2), [n // 2, n - n // 2])
        category = np.where(rng.random(n) < 0.6, liked, rng.integers(6, size=n))
        sequences[f"u{user}"] = (category + 6 * rng.integers(N_ITEMS // 6, size=n)).tolist()
    return _dataset(items, sequences)


@pytest.fixture(scope="package")
def spec() -> QuestionSpec:
    return QuestionSpec(
        questions=600, train_questions=900, valid_questions=120, ratios=(0.5, 0.1, 0.4)
    )


@pytest.fixture(scope="package")
def made(shop: Dataset, spec: QuestionSpec) -> QuestionSet:
    return generate(shop, spec)


@pytest.fixture(scope="package")
def chinese(shop: Dataset, spec: QuestionSpec) -> QuestionSet:
    return generate(shop, spec.model_copy(update={"language": "zh"}))
