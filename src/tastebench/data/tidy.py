"""Repairs that real data needs before it is canonical, each counted for the manifest.

What is dropped is said: a repair that nobody sees is a change of the dataset. What is repaired here
is what the public datasets are known for: repeated items, judgements and clicks on items that have
no record, empty queries.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from tastebench.data.schema import KEYS, Tables, coerce, references
from tastebench.errors import DataError

MOST = 0.5
"""Above this share of unknown items a table is taken for the wrong one, and nothing is dropped."""


def tidy(tables: Tables, where: str) -> tuple[Tables, dict[str, int]]:
    """Canonical tables without the rows that cannot be used, and how many those were.

    Repeated keys (two records of an item, two judgements of a pair) keep their first row. Rows that
    name an item or a query without a record go, as do empty queries, and rows without a time where
    most have one. Times before 1970 are kept, since they sort as any other, and counted.

    Args:
        tables: As read from the source.
        where: Dataset or folder, for messages.

    Returns:
        The tables, and what was done: reason to number of rows, without zeros.

    Raises:
        DataError: A column is missing or unreadable, or most rows of a table name unknown items.
    """
    tables = coerce(tables, where)
    counts: dict[str, int] = {}

    def keep(table: str, mask: pl.Series, reason: str) -> None:
        nonlocal tables
        dropped = int((~mask).sum())
        if dropped:
            counts[reason] = dropped
            tables = replace(tables, **{table: getattr(tables, table).filter(mask)})

    if tables.queries is not None:
        keep("queries", tables.queries["text"].str.strip_chars() != "", "empty queries dropped")
    for table, key in KEYS.items():
        frame = getattr(tables, table)
        if frame is not None:
            keep(
                table,
                frame.select(pl.struct(key).is_first_distinct()).to_series(),
                f"repeated {table} dropped",
            )
    for table, frame in tables.frames():
        for column, other in references(table):
            target = getattr(tables, other)
            if target is None:
                continue  # `validate` says what is missing
            mask = frame[column].is_in(target[column].implode())
            if mask.sum() < (1 - MOST) * len(mask):
                raise _strangers(table, column, other, frame.filter(~mask)[column], target, where)
            keep(table, mask, f"{table} of unknown {other} dropped")
            frame = getattr(tables, table)  # noqa: PLW2901
    for table in ("interactions", "impressions"):
        frame = getattr(tables, table)
        if frame is not None and frame["time"].null_count() < MOST * len(frame):
            keep(table, frame["time"].is_not_null(), f"{table} without a time dropped")
    if tables.histories is not None:
        tables = _tidy_histories(tables, counts)
    if tables.interactions is not None and not tables.interactions["time"].is_null().all():
        early = int((tables.interactions["time"] < 0).sum())
        if early:
            counts["interactions before 1970 kept"] = early
    return tables, counts


def _tidy_histories(tables: Tables, counts: dict[str, int]) -> Tables:
    """Histories without the items that have no record."""
    histories = tables.histories
    assert histories is not None
    known = pl.Series(tables.items["item_id"])
    kept = histories.with_columns(
        pl.col("item_ids").list.filter(pl.element().is_in(known.implode()))
    )
    before, after = (int(f["item_ids"].list.len().sum()) for f in (histories, kept))
    dropped = before - after
    if dropped:
        counts["history items of unknown items dropped"] = dropped
    return replace(tables, histories=kept)


def _strangers(
    table: str, column: str, other: str, unknown: pl.Series, target: pl.DataFrame, where: str
) -> DataError:
    examples: list[Any] = unknown.unique(maintain_order=True).head(3).to_list()
    known = target[column].head(3).to_list()
    return DataError(
        f"most rows of {table} name a {column} that {other} does not have, "
        f"e.g. {', '.join(map(repr, examples))}; {other} has e.g. {', '.join(map(repr, known))}",
        where=f"{where}, table {table}, column {column}",
        fix=f"check that {table} and {other} belong together and that the id columns are right",
    )
