"""A folder of Parquet tables that is no dataset yet: how a log comes that other systems wrote.

    logs/items.parquet             or  logs/items/*.parquet
    logs/interactions/*.parquet    and so on for the tables of `tastebench.data.schema`

Files of a table follow each other by name, and their rows by their place in them. Columns are named
and mean what they do in a dataset, with types that need no guess: texts, or whole numbers for ids;
whole milliseconds for `time`. Anything else is refused and never repaired, since what a repair
dropped would have to be said row by row; `tastebench data import` repairs, in memory.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import polars as pl

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset, is_dataset
from tastebench.data.prepare import Filters, prepare
from tastebench.data.schema import TableName, Tables, coerce
from tastebench.errors import DataError
from tastebench.files import hash_file

Files = dict[TableName, list[Path]]
Types = dict[str, pl.DataType]

TEXTS = ("title", "description")
"""Item columns that are text where nobody says which."""


def is_parquet_folder(folder: Path) -> bool:
    """Whether it holds interactions in Parquet and is no dataset."""
    return not is_dataset(folder) and any(
        (folder / name).exists() for name in ("interactions.parquet", "interactions")
    )


def find_files(folder: Path) -> Files:
    """The tables in a folder, each with its files in order.

    Raises:
        DataError: There are no items, a table has no files, or files of a table differ in types.
    """
    files: Files = {}
    for table in get_args(TableName):
        one, several = folder / f"{table}.parquet", folder / table
        if one.is_file():
            files[table] = [one]
        elif several.is_dir() or one.is_dir():
            within = several if several.is_dir() else one
            files[table] = sorted(within.glob("*.parquet"))
            if not files[table]:
                raise DataError(
                    "there are no Parquet files here",
                    where=str(within),
                    fix="write the table as *.parquet directly into this folder",
                )
    if "items" not in files:
        raise DataError(
            "there are no items", where=str(folder), fix="add items.parquet, with item_id and title"
        )
    return files


def canonical_types(table: TableName, files: list[Path], where: str) -> Types:
    """The columns of a table as a dataset has them: the canonical ones first, then the others.

    Raises:
        DataError: One is missing, or its type would have to be guessed at.
    """
    given = pl.read_parquet_schema(files[0])
    empty = pl.DataFrame(schema=given)
    items = pl.DataFrame(schema={"item_id": pl.String})
    tables = coerce(Tables(**{"items": items, table: empty}, arrays={}), where)
    types: Types = dict(getattr(tables, table).schema)
    for column, dtype in types.items():
        if column in given and not _plain(given[column], dtype):
            raise DataError(
                f"column {column} has the type {given[column]}, and {dtype} would be a guess",
                where=f"{where}, table {table}",
                fix=f"write it as {dtype}"
                + (": whole milliseconds since 1970" if column == "time" else ""),
            )
    return types


def _plain(given: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether every value has one form in the other type, on any engine."""
    if given.is_integer():
        return given != pl.UInt64 and (wanted.is_integer() or wanted in (pl.String, pl.Float64))
    return given == wanted or (given == pl.Float32 and wanted == pl.Float64)


def card_of(folder: Path, files: Files) -> DatasetCard:
    """What is known of the data where nobody has said anything."""
    columns = pl.read_parquet_schema(files["items"][0])
    tasks = ["seqrec", "cf", *(["search"] if "relevance" in files else [])]
    title = folder.resolve().name
    return DatasetCard(
        name=re.sub(r"[^a-z0-9._-]+", "-", title.lower()).strip("-._") or "logs",
        title=title,
        summary="Parquet tables of the user's",
        tasks=tuple(tasks),
        text_columns=tuple(c for c in TEXTS if c in columns),
        text_recipe="all-text",
        seen_on="user",
    )


def origin_of(folder: Path, files: Files) -> dict[str, Any]:
    """What the manifest of a dataset made of it says: every file by its hash."""
    return {
        "name": folder.resolve().name,
        "files": {
            str(path.relative_to(folder)): hash_file(path)
            for paths in files.values()
            for path in paths
        },
    }


def prepare_folder(folder: Path, filters: Filters, name: str) -> Dataset:
    """As `prepare`, of such a folder, in memory.

    Raises:
        DataError: The tables are not canonical, or no interaction is left.
    """
    files = find_files(folder)
    where = str(folder)
    frames: dict[TableName, pl.DataFrame] = {}
    for table, paths in files.items():
        canonical_types(table, paths, where)  # refuses what would be a guess
        frame = pl.concat([pl.read_parquet(path) for path in paths])
        frames[table] = frame.with_columns(pl.col(pl.Float32).cast(pl.Float64))
    source = Dataset.create(card_of(folder, files), Tables(**frames, arrays={}))
    made = prepare(source, filters, name)
    return Dataset(
        made.card,
        made.tables,
        made.fingerprint,
        {**made.manifest, "prepared_from": origin_of(folder, files)},
    )
