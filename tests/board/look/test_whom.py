from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.board.load import Entry
from tastebench.board.look import extremes
from tastebench.board.look.card import some_rows, sparkline
from tastebench.errors import DataError
from tastebench.runs.record import MetricValue, Record


def entry(record: Any, folder: Path, columns: dict[str, list[Any]], headline: str) -> Entry:
    pl.DataFrame({"user_id": [f"u{i}" for i in range(5)], **columns}).write_parquet(
        folder / "per_user.parquet"
    )
    metrics = {name: MetricValue(mean=0.1, n=5) for name in columns if ":" not in name}
    metrics = {name: value for name, value in metrics.items() if name != "history"}
    one: Record = record(headline=headline).model_copy(update={"metrics": metrics})
    return Entry(one, folder)


def ids(units: Any) -> list[str]:
    return [one.id for one in units]


def test_equals_go_by_mrr_and_undefined_ones_are_neither(record: Any, tmp_path: Path) -> None:
    columns = {
        "ndcg@10": [0.0, 0.0, 1.0, None, 0.5],
        "mrr": [0.02, 0.01, 1.0, 0.5, 0.3],
        "history": ["1-4", "5-9", "1-4", "5-9", "1-4"],
    }
    found = extremes(entry(record, tmp_path, columns, "ndcg@10"), 3, 2)
    assert found is not None
    assert ids(found.worst) == ["u1", "u0", "u4"] and ids(found.best) == ["u2", "u4"]
    assert (found.n, found.equal_worst, found.equal_best) == (4, 2, 1)
    assert found.worst[0].labels == {"history": "5-9"}
    assert found.worst[0].values == {"ndcg@10": 0.0, "mrr": 0.01}


def test_lower_is_better_of_losses(record: Any, tmp_path: Path) -> None:
    columns = {"logloss": [0.3, 0.1, 0.9, 0.2, 0.2]}
    found = extremes(entry(record, tmp_path, columns, "logloss"), 1, 9)
    assert found is not None
    assert ids(found.worst) == ["u2"] and ids(found.best) == ["u1", "u3", "u4", "u0", "u2"]


def test_a_metric_of_all_rows_together_orders_nobody(record: Any, tmp_path: Path) -> None:
    columns = {"auc": [0.9, 0.1, 0.5, 0.5, 0.5], "gauc": [0.1, 0.2, 0.3, 0.4, 0.5]}
    found = extremes(entry(record, tmp_path, columns, "auc"), 1, 1)
    assert found is not None and found.metric == "gauc"
    assert found.best[0].values == {"gauc": 0.5}
    assert extremes(entry(record, tmp_path, {"auc": columns["auc"]}, "auc"), 1, 1) is None


def test_no_table_and_one_of_something_else(record: Any, tmp_path: Path) -> None:
    one = entry(record, tmp_path, {"mrr": [0.1] * 5}, "mrr")
    assert extremes(Entry(one.record, None), 1, 1) is None
    pl.DataFrame({"user_id": ["u0"]}).write_parquet(tmp_path / "per_user.parquet")
    with pytest.raises(DataError, match="the table of values per unit has no mrr"):
        extremes(one, 1, 1)


def test_a_curve_in_one_line_and_some_of_its_rows() -> None:
    assert sparkline([0.0, 0.5, 1.0, float("nan")]) == "▁▅█ "
    assert sparkline([]) == ""
    assert some_rows(3, 8) == [0, 1, 2]
    assert some_rows(1, 8) == [0]
    assert some_rows(100, 3, [7, 200]) == [0, 7, 50, 99]
