"""A small shop for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables

N_ITEMS, N_USERS, N_EVENTS = 60, 80, 12
NOUNS = ["shirt", "lamp", "book", "cup"]


def make_tiny() -> Dataset:
    """80 users who each favour one of four kinds of items, 12 events each."""
    rng = np.random.default_rng(0)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"{NOUNS[i % 4]} number {i}" for i in range(N_ITEMS)],
        }
    )
    user = np.repeat(np.arange(N_USERS), N_EVENTS)
    own = rng.integers(N_ITEMS // 4, size=len(user)) * 4 + user % 4
    item = np.where(rng.random(len(user)) < 0.7, own, rng.integers(N_ITEMS, size=len(user)))
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [f"i{i}" for i in item],
            "time": 1_600_000_000_000 + rng.integers(10**9, size=len(user)) * 10,
            "row": np.arange(len(user)),
        }
    )
    card = DatasetCard(name="tiny", title="Tiny")
    return Dataset.create(card, Tables(items=items, interactions=interactions))


@pytest.fixture
def tiny(home: Path) -> Dataset:
    """The small shop, also loadable by its name in this test's home."""
    dataset = make_tiny()
    dataset.save(datasets_folder() / "tiny")
    return dataset
