"""A shop of seven items and what models that always say the same recommend in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.contracts import Candidates, Queries
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.files import hash_json
from tastebench.runs.compose import intervals
from tastebench.runs.outputs import per_user, predictions
from tastebench.runs.record import Budget, Record
from tastebench.runs.spec import RunSpec
from tastebench.runs.store import folder_of
from tastebench.tasks import NO_FORMS, TASKS
from tastebench.tasks.task import measure

TITLES = ["Red scarf", "Blue scarf", "Tea", "Kettle", "Cup\x1b[2J", "Atlas", ""]
EVENTS = {
    "anna": "i0 i1 i2 i3",
    "ben": "i2 i3 i4",
    "cleo": "i5 i0 i1 i2 i4",
}


class Fixed:
    """Scores every item alike whoever asks."""

    log_odds = False

    def __init__(self, order: str) -> None:
        """`order`: items from the best to the worst, as digits."""
        self.of_item = np.zeros(7)
        self.of_item[[int(digit) for digit in order]] = np.arange(len(order), 0, -1)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return np.tile(self.of_item[items], (len(queries), 1))

    def score(self, candidates: Candidates) -> np.ndarray:
        return self.of_item[candidates.items.values]


@pytest.fixture
def shop() -> Dataset:
    """Prepared in the home of the test: last items out, some impressions, two queries."""
    rows = [(u, item) for u, items in EVENTS.items() for item in items.split()]
    taken = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_columns(
        row=pl.int_range(pl.len()), time=pl.int_range(pl.len()) * 1000
    )
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(7)], "title": TITLES})
    shown = pl.DataFrame(
        {
            "impression_id": [*["a"] * 3, *["b"] * 3, *["c"] * 3, *["d"] * 2],
            "user_id": ["ben"] * 3 + ["cleo"] * 3 + ["anna"] * 5,
            "item_id": "i0 i1 i5 i3 i6 i2 i4 i5 i6 i5 i4".split(),
            "time": [100_000] * 3 + [200_000] * 3 + [300_000] * 3 + [400_000] * 2,
            "label": [1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0],
        }
    )
    queries = pl.DataFrame({"query_id": ["q1", "q2"], "text": ["warm\x1b[1m wool", "hot drink"]})
    relevance = pl.DataFrame(
        {
            "query_id": ["q1", "q1", "q2", "q2"],
            "item_id": ["i0", "i1", "i3", "i2"],
            "grade": [1.0, 3.0, 1.0, 1.0],
        }
    )
    tables = Tables(items, taken, impressions=shown, queries=queries, relevance=relevance)
    card = DatasetCard(name="shop", title="Shop", text_columns=("title",))
    dataset = Dataset.create(card, tables)
    dataset.save(dataset_folder("shop"))
    return dataset


def ran(root: Path, dataset: Dataset, task: str, name: str, order: str, **changes: Any) -> Path:
    """Writes the record of a model that says `order`; returns its folder."""
    seed, protocol = changes.pop("seed", 0), changes.pop("protocol", {})
    asks = TASKS.get(task).protocol(dataset, **protocol)
    asked = TASKS.get(task).ask(TASKS.get(task).problem(dataset, asks), asks, "test", NO_FORMS)
    found = measure(Fixed(order), asked, asks, top_k=changes.pop("top_k", 4))
    spec = RunSpec(task=task, dataset="shop", recommender=name, representation="id", seed=seed)
    record = Record(
        status="ok",
        suite="demo",
        row_by="recommender",
        spec=spec,
        given={"params": {}, "grid": {}},
        spec_hash=hash_json([task, name, seed]),
        protocol=asks.model_dump(mode="json"),
        protocol_id=asks.fingerprint(dataset),
        budget=Budget(),
        budget_id="b",
        kind=changes.pop("kind", "model"),
        headline=asks.headline,
        metrics=intervals(found, 0),
        counts=found.counts,
        fingerprints={"dataset": dataset.fingerprint},
        created="2026-01-01T00:00:00+00:00",
        **changes,
    )
    folder = folder_of(root, record)
    record.write(folder)
    per_user(dataset, found).write_parquet(folder / "per_user.parquet")
    if task == "ctr":
        assert found.scores is not None
        pl.DataFrame(
            {
                "user_id": dataset.everyone.gather(asked.user),
                "group": asked.group,
                "item_id": dataset.item_ids.gather(asked.candidates.items.values),
                "label": asked.label,
                "score": found.scores,
            }
        ).write_parquet(folder / "predictions.parquet")
    elif found.top is not None:
        predictions(dataset, asked, found).write_parquet(folder / "predictions.parquet")
    (folder / "config.yaml").write_text("name: again\n")
    return folder


@pytest.fixture(name="ran")
def _ran(shop: Dataset, tmp_path: Path) -> Callable[..., Path]:
    """`ran(task, name, order)` below `results/`."""
    return lambda task, name, order, **changes: ran(
        tmp_path / "results", shop, task, name, order, **changes
    )
