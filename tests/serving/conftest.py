"""Records of many recommenders on a small shop, made once, with what they trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tastebench as tb
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.runs import store

SMALL: dict[str, Any] = {"epochs": 1, "hidden_size": 8, "layers": 1, "heads": 1}
CLICKS: dict[str, Any] = {"epochs": 1, "hidden_size": 8}
RECOMMENDERS: list[Any] = [
    {"name": "unisrec", "params": SMALL},
    {"name": "sasrec", "params": SMALL},
    {"name": "sasrec-text", "params": SMALL},
    {"name": "walk-blend", "params": {**SMALL, "search": 4}},
    {"name": "sid-sasrec", "params": {**SMALL, "beams": 20}},
    {"name": "tiger", "params": {**SMALL, "head_size": 4, "user_tokens": 16, "beams": 20}},
    {"name": "graph-walk", "representations": ["vector"]},
    {"name": "alpharec", "params": {"epochs": 2}},
    {"name": "alpharec-original", "params": {"epochs": 1, "mapping": "homo"}},
    {"name": "dnn", "params": CLICKS, "representations": ["id", "text", "vector", "code"]},
    "vector-knn",
    "logistic",
    "item-knn",
    {"name": "ease", "tasks": ["cf"]},
    {"name": "popularity", "tasks": ["seqrec"]},
    {"name": "random", "tasks": ["seqrec"]},
    "dot",
    "bm25",
]
PLAN: dict[str, Any] = {
    "name": "kept",
    "datasets": ["tiny"],
    "tasks": ["seqrec", "cf", "ctr", "search"],
    "encoders": ["tfidf-svd"],
    "codes": [{"method": "rk-means", "levels": 2, "size": 4, "ties": "always"}],
    "recommenders": RECOMMENDERS,
    "row_by": "run",
    "latency_seconds": 0,
    "keep_models": True,
}


def make_shop() -> Dataset:
    """60 items of four kinds, 60 users who favour one each, and a query for every kind."""
    rng, n_items, n_users, n_events = np.random.default_rng(0), 60, 60, 10
    nouns = ["shirt", "lamp", "book", "cup"]
    items = pl.DataFrame(
        {
            "item_id": [str(100 + i) for i in range(n_items)],
            "title": [f"{nouns[i % 4]} number {i}" for i in range(n_items)],
        }
    )
    user = np.repeat(np.arange(n_users), n_events)
    own = rng.integers(n_items // 4, size=len(user)) * 4 + user % 4
    item = np.where(rng.random(len(user)) < 0.7, own, rng.integers(n_items, size=len(user)))
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{u}" for u in user],
            "item_id": [str(100 + i) for i in item],
            "time": 1_600_000_000_000 + rng.integers(10**9, size=len(user)) * 10,
            "row": np.arange(len(user)),
        }
    )
    queries = pl.DataFrame({"query_id": nouns, "text": [f"a {noun}" for noun in nouns]})
    relevance = pl.DataFrame(
        {
            "query_id": [nouns[i % 4] for i in range(n_items)],
            "item_id": items["item_id"],
            "grade": [1.0] * n_items,
        }
    )
    card = DatasetCard(name="tiny", title="Tiny", tasks=("seqrec", "cf", "ctr", "search"))
    return Dataset.create(card, Tables(items, interactions, queries=queries, relevance=relevance))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Home and results of the plan above."""
    root = tmp_path_factory.mktemp("serving")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASTEBENCH_HOME", str(root / "home"))
        make_shop().save(datasets_folder() / "tiny")
        results = tb.run(PLAN, out=root / "results", workers=1, progress=False)
    assert [record.error for record in results.records if record.error] == []
    return root / "home", root / "results"


@pytest.fixture
def results(made: tuple[Path, Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The records, read in the home that they were made in."""
    monkeypatch.setenv("TASTEBENCH_HOME", str(made[0]))
    return made[1]


RecordOf = Callable[[str, str], Path]


@pytest.fixture
def record_of(results: Path) -> RecordOf:
    """The folder of a task's only record whose recommender and representation begin so."""
    folders = [path.parent for path in store.find_records(results)]

    def find(task: str, name: str) -> Path:
        (found,) = (
            folder
            for folder in folders
            if folder.parents[1].name == task and f"{folder.parent.name}-".startswith(f"{name}-")
        )
        return found

    return find
