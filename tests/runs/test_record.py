from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tastebench.errors import DataError
from tastebench.runs.compose import explain
from tastebench.runs.record import SCHEMA_VERSION, Budget, MetricValue, Record
from tastebench.runs.spec import RunSpec


def a_record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "status": "ok",
        "suite": "study",
        "row_by": "encoder",
        "spec": RunSpec(task="cf", dataset="shop", recommender="ease", representation="id"),
        "given": {"params": {}},
        "spec_hash": "0123456789abcdef",
        "protocol": {"task": "cf"},
        "protocol_id": "aaaaaaaaaaaa",
        "budget": Budget(),
        "budget_id": "bbbbbbbbbbbb",
        "kind": "model",
        "headline": "ndcg@10",
        "metrics": {"ndcg@10": MetricValue(mean=0.5, low=0.4, high=0.6, n=10)},
        "created": "2026-01-01T00:00:00+00:00",
    }
    return Record(**{**fields, **changes})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = a_record()
    record.write(tmp_path)
    assert Record.read(tmp_path / "record.json") == record


def test_undefined_is_null_and_never_nan(tmp_path: Path) -> None:
    a_record(metrics={"mrr": MetricValue(mean=None, n=0, undefined=7)}).write(tmp_path)
    assert json.loads((tmp_path / "record.json").read_text())["metrics"]["mrr"]["mean"] is None
    with pytest.raises(ValueError, match="Out of range float"):
        a_record(metrics={"mrr": MetricValue(mean=float("nan"), n=0)}).write(tmp_path / "bad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "reads up to 1"),
        ({"schema_version": "1"}, "this file is no record"),
        ({"status": "fine"}, "broken record: Input should be 'ok' or 'failed'"),
        ({"colour": "blue"}, "broken record: Extra inputs"),
    ],
)
def test_what_is_no_record_of_ours_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps({**a_record().model_dump(mode="json"), **change}))
    with pytest.raises(DataError, match=message) as caught:
        Record.read(path)
    assert str(path) in (caught.value.where or "")


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00"])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(DataError, match="record"):
        Record.read(path)


def test_a_record_names_folders_and_not_where_they_lie(tmp_path: Path) -> None:
    from tastebench.runs.compose import named

    (tmp_path / "my-model").mkdir()
    given = {"item": {"model": str(tmp_path / "my-model"), "lr": 1}, "texts": ["a/b", "title"]}
    assert named(given) == {"item": {"model": "my-model", "lr": 1}, "texts": ["a/b", "title"]}


@pytest.mark.parametrize(
    ("error", "says"),
    [(torch.OutOfMemoryError("CUDA out of memory. Process 1 has"), "the GPU has no memory left"),
     (MemoryError(), "there is no memory left")],
)  # fmt: skip
def test_want_of_memory_says_what_to_do(error: BaseException, says: str) -> None:
    failure = explain(error)
    assert failure.what.startswith(says)
    assert failure.fix is not None and "--workers 1" in failure.fix and "batch_size" in failure.fix
    assert "Process" not in failure.what
