"""A plan that reads texts made from its test part is refused before anything is encoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import tastebench as tb
from tastebench.data.catalog import datasets_folder, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.provenance import Provenance
from tastebench.data.questions.people import rows_of_test
from tastebench.data.split import TEST, default_split, split
from tastebench.errors import ProtocolError
from tastebench.runs import expand
from tastebench.runs.guard import check_texts
from tastebench.tasks import TASKS

PLAN: dict[str, Any] = {
    "name": "study",
    "datasets": ["tiny"],
    "tasks": ["cf"],
    "latency_seconds": 0,
    "encoders": ["random"],
    "recommenders": [{"name": "alpharec", "params": {"epochs": 1}}],
}


def titled_by_a_model(tiny: Dataset, rows: np.ndarray) -> Dataset:
    made = Provenance("item text", ("items.title",), "a-model", tiny.fingerprint, rows=rows)
    dataset = replace(tiny, provenance=(made,))
    dataset.save(datasets_folder() / "tiny")
    return dataset


def held_out(tiny: Dataset) -> np.ndarray:
    events = tiny.events()
    found: np.ndarray = events.row[split(tiny, default_split(tiny, "cf")) == TEST]
    return found


def test_a_plan_is_refused_while_it_is_planned(tiny: Dataset, tmp_path: Path) -> None:
    titled_by_a_model(tiny, held_out(tiny)[:3])
    with pytest.raises(ProtocolError, match=r"items.title was written by a-model .* 3 of the"):
        tb.run(PLAN, out=tmp_path / "out", workers=1, progress=False)
    assert not (tmp_path / "out").exists()
    results = tb.run(
        {**PLAN, "recommenders": ["ease"]}, out=tmp_path / "out", workers=1, progress=False
    )
    assert [record.status for record in results.records] == ["ok"]


def test_a_run_is_refused_where_the_data_became_such_after_planning(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titled_by_a_model(tiny, held_out(tiny)[:3])
    monkeypatch.setattr(expand, "check_texts", lambda *given: None)
    [record] = tb.run(PLAN, out=tmp_path / "out", workers=1, progress=False).records
    assert record.status == "failed" and record.error is not None
    assert record.error.kind == "ProtocolError"
    assert "3 of the" in record.error.what


def test_texts_from_training_rows_run(tiny: Dataset, tmp_path: Path) -> None:
    rows = np.setdiff1d(tiny.events().row, held_out(tiny))
    titled_by_a_model(tiny, rows)
    [record] = tb.run(PLAN, out=tmp_path / "out", workers=1, progress=False).records
    assert record.status == "ok", record.error


def shown_and_titled(tiny: Dataset, rows: np.ndarray, **tables: Any) -> Dataset:
    """Everyone's last two events were shown as a list, the one clicked and the other not."""
    frame = tiny.tables.interactions
    assert frame is not None
    last = frame.sort("user_id", "time", "row").group_by("user_id", maintain_order=True).tail(2)
    shown = last.select(
        "user_id",
        "item_id",
        impression_id=pl.col("user_id"),
        label=(pl.int_range(pl.len()) % 2).cast(pl.Int8),
        part=pl.when(pl.col("user_id") < "u5").then(pl.lit("train")).otherwise(pl.lit("test")),
    )
    tables = {"impressions": shown, **tables}
    card = tiny.card.model_copy(update={"tasks": ("ctr",)})
    dataset = Dataset.create(card, replace(tiny.tables, **tables))
    made = Provenance("item text", ("items.title",), "a-model", dataset.fingerprint, rows=rows)
    return replace(dataset, provenance=(made,))


@pytest.mark.parametrize("source", ["impressions", "labels"])
def test_what_was_shown_is_asked_about_too(tiny: Dataset, source: str) -> None:
    """Clicks of test lists and labelled rows of the test part, not those of another cut."""
    frame = tiny.tables.interactions
    assert frame is not None
    rated = frame.with_columns(rating=pl.Series(np.tile([5.0, 1.0, 4.0], len(frame) // 3)))
    tables = {"interactions": rated, "impressions": None} if source == "labels" else {}
    ctr = TASKS.get("ctr")
    dataset = shown_and_titled(tiny, np.arange(0), **tables)
    protocol = ctr.protocol(dataset, rows=source)
    check_texts(dataset, protocol, "title")
    problem = ctr.problem(dataset, protocol)
    test = problem.test if source == "labels" else problem.test[problem.test.label == 1]
    people, names = dataset.everyone, dataset.item_ids
    asked = frame.with_row_index("at").join(
        pl.DataFrame({"user_id": people[test.user[-1:]], "item_id": names[test.item[-1:]]}),
        on=["user_id", "item_id"],
    )["at"]
    with pytest.raises(ProtocolError, match=r"items.title was written by a-model from .* include"):
        check_texts(shown_and_titled(tiny, asked.to_numpy(), **tables), protocol, "title")


@pytest.mark.parametrize("recipe", [None, "title"])
def test_what_questions_are_about_is_looked_at_in_whatever_form(recipe: str | None) -> None:
    """A brand that a model wrote from what a test user did, though no text recipe reads it."""
    shop = load_dataset("storefront")
    protocol = TASKS.get("userqa").protocol(shop)
    assert protocol.questions is not None
    test = rows_of_test(shop, protocol.questions)
    made = Provenance("item text", ("items.brand",), "a-model", shop.fingerprint, rows=test[:1])
    with pytest.raises(ProtocolError, match=r"items.brand was written by a-model"):
        check_texts(replace(shop, provenance=(made,)), protocol, recipe)
    other = replace(made, fields=("items.description",))
    check_texts(replace(shop, provenance=(other,)), protocol, recipe)
