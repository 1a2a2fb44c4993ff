"""A shop small enough to compute with again and again."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables

WORDS = ("red", "lamp", "steel", "kettle", "wool", "socks", "tent", "chair")
N_ITEMS, N_USERS, N_EVENTS = 40, 40, 8


def make_shop() -> Dataset:
    """40 items of four kinds, 40 users who each favour one kind."""
    rng = np.random.default_rng(0)
    titles = [f"{WORDS[i % 8]} {WORDS[(3 * i + 1) % 8]} number {i}" for i in range(N_ITEMS)]
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(N_ITEMS)], "title": titles})
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
    card = DatasetCard(name="shop", title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=interactions))


@pytest.fixture(scope="session")
def shop() -> Dataset:
    """The shop."""
    return make_shop()
