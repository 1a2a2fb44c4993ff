"""A folder of Parquet tables, in memory; that Spark makes the same of it is in test_spark."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from tastebench import cli
from tastebench.data.dataset import Dataset
from tastebench.data.parquet_folder import find_files, is_parquet_folder, prepare_folder
from tastebench.data.prepare import Filters
from tastebench.errors import DataError
from tastebench.files import hash_file

ITEMS = pl.DataFrame({"item_id": [3, 1, 2], "title": ["C", "A", "B"], "size": [1, 2, 3]})
CLICKS = pl.DataFrame(
    {
        "user_id": ["u", "u", "v", "v", "w"],
        "item_id": [1, 2, 1, 2, 3],
        "time": [5, 6, 7, 8, 9],
        "note": ["a", None, "b", "c", "d"],
    }
)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "My Logs"
    (folder / "interactions").mkdir(parents=True)
    ITEMS.write_parquet(folder / "items.parquet")
    # Rows follow the names of files, not the order in which they were written.
    CLICKS.tail(2).write_parquet(folder / "interactions" / "part-1.parquet")
    CLICKS.head(3).write_parquet(folder / "interactions" / "part-0.parquet")
    return folder


def test_it_is_prepared_like_a_dataset(logs: Path) -> None:
    made = prepare_folder(logs, Filters(k_core=2), "core")
    clicks = made.tables.interactions
    assert clicks is not None
    assert clicks.select("user_id", "item_id", "time", "row", "note").rows() == [
        ("u", "1", 5, 0, "a"),
        ("u", "2", 6, 1, None),
        ("v", "1", 7, 2, "b"),
        ("v", "2", 8, 3, "c"),
    ]
    assert made.tables.items.rows() == [("1", "A", 2), ("2", "B", 3)]
    assert made.card.text_columns == ("title",)
    assert made.card.notes == ("Prepared from my-logs: k_core 2.",)
    origin = made.manifest["prepared_from"]
    assert origin["name"] == "My Logs"
    parts = ["items.parquet", "interactions/part-0.parquet", "interactions/part-1.parquet"]
    assert origin["files"] == {part: hash_file(logs / part) for part in parts}


def test_the_command_takes_its_path(
    logs: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(logs.parent)
    assert cli.main(["data", "prepare", "./My Logs", "--dedup", "--name", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["interactions"] == 5
    made = Dataset.load(home / "datasets" / "mine", verify=True)
    assert not is_parquet_folder(home / "datasets" / "mine")
    assert made.tables.items["size"].dtype == pl.Int64


def test_a_table_may_be_one_file_or_a_folder_of_either_name(logs: Path) -> None:
    assert is_parquet_folder(logs)
    (logs / "interactions").rename(logs / "interactions.parquet")
    assert [p.name for p in find_files(logs)["interactions"]] == [
        "part-0.parquet",
        "part-1.parquet",
    ]
    (logs / "users").mkdir()
    with pytest.raises(DataError, match="no Parquet files here") as error:
        find_files(logs)
    assert error.value.where == str(logs / "users")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.Series("time", [1.0] * 5), "column time has the type Float64, and Int64 would be"),
        (pl.Series("user_id", [1.0] * 5), "column user_id has the type Float64, and String would"),
        (pl.Series("time", [2**40] * 5, pl.Datetime("ms")), "column time has the type Datetime"),
        (pl.Series("label", [2**40] * 5, pl.UInt64), "column label has the type UInt64"),
        (pl.Series("item_id", [9, 1, 2, 3, 1]), r"not in items: row 1 \('9'\)"),
        (pl.Series("time", [1, None, 2, 3, 4]), r"in some rows but not in all: row 2 \('u'\)"),
        (pl.Series("rating", [float("nan")] * 5), "rating is not finite: row 1"),
    ],
)
def test_what_is_not_canonical_is_refused(logs: Path, column: pl.Series, message: str) -> None:
    for file in (logs / "interactions").iterdir():
        file.unlink()
    CLICKS.with_columns(column).write_parquet(logs / "interactions" / "a.parquet")
    with pytest.raises(DataError, match=message):
        prepare_folder(logs, Filters(), "x")


def test_without_items_it_says_what_to_add(logs: Path) -> None:
    (logs / "items.parquet").unlink()
    with pytest.raises(DataError, match="there are no items") as error:
        prepare_folder(logs, Filters(), "x")
    assert "items.parquet" in str(error.value.fix)
