"""A small shop that plans can name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables

N_ITEMS, N_USERS, N_EVENTS = 40, 50, 8


@pytest.fixture
def shop(home: Path) -> Dataset:
    """40 items, 50 users with 8 events each; prepared under the name `shop`."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(N_USERS), N_EVENTS)
    item = rng.integers(N_ITEMS, size=len(user))
    tables = Tables(
        items=pl.DataFrame(
            {
                "item_id": [f"i{i}" for i in range(N_ITEMS)],
                "title": [f"{('lamp', 'book', 'cup')[i % 3]} {i}" for i in range(N_ITEMS)],
            }
        ),
        interactions=pl.DataFrame(
            {
                "user_id": [f"u{u}" for u in user],
                "item_id": [f"i{i}" for i in item],
                "time": 1_600_000_000_000 + np.arange(len(user)) * 1000,
                "row": np.arange(len(user)),
            }
        ),
    )
    dataset = Dataset.create(DatasetCard(name="shop", title="Shop"), tables)
    dataset.save(datasets_folder() / "shop")
    return dataset
