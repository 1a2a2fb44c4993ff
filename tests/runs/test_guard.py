"""A plan that reads texts made from its test part is refused before anything is encoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tastebench as tb
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.provenance import Provenance
from tastebench.data.split import TEST, default_split, split
from tastebench.errors import ProtocolError
from tastebench.runs import expand

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
