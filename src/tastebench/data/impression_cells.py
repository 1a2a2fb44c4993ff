"""From a user's mapped columns to impressions and histories: what was shown, and what came before.

A list is what was shown together. Where the file does not name lists, the rows of one user at one
time are one; where it has no times either, all rows of a user are.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from tastebench.data.cells import (
    ImportOptions,
    Understood,
    cell_labels,
    cell_numbers,
    cell_texts,
    refuse_cells,
    rows_with_all,
    rows_with_time,
    unique_rows,
)
from tastebench.data.mapping import Mapped
from tastebench.data.schema import PARTS
from tastebench.data.tidy import MOST
from tastebench.errors import DataError

_LIST = "impression_id"
_IDS = pl.List(pl.String)
_WRITE_LISTS = 'separate ids by spaces, or write JSON: ["a", "b"]'


def impressions_table(
    mapped: Mapped, options: ImportOptions, understood: Understood
) -> pl.DataFrame:
    """The impressions in order of the file, each with the list that it is of.

    Raises:
        DataError: A label, time, position or part that is none, with its row.
    """
    frame = mapped.frame.select(mapped.canonical)
    frame = frame.with_columns(cell_labels(frame["label"], mapped))
    if "position" in frame.columns:
        frame = frame.with_columns(_positions(frame["position"], mapped))
    if "part" in frame.columns:
        frame = frame.with_columns(_parts(frame["part"], mapped))
    keep = rows_with_all(frame, mapped, understood)
    counter = False
    if "time" in frame.columns:
        times, keep = rows_with_time(frame["time"], keep, options, mapped, understood)
        frame, counter = frame.with_columns(time=times.values), times.unit == "order"
        understood.time_unit = understood.time_unit or times.unit
        if times.unit != understood.time_unit:
            understood.notes.append(f"the times of impressions are read as {times.unit}")
    frame = _in_lists(frame.filter(pl.Series(keep)), mapped, understood)
    if counter:
        understood.notes.append(
            f"{mapped.source('time')} is a counter, not a time: it gives the order of impressions"
        )
        frame = frame.sort("time", maintain_order=True).drop("time")
    return frame.drop("time", strict=False) if options.unordered else frame


def _positions(column: pl.Series, mapped: Mapped) -> pl.Series:
    """Whole numbers, or nothing."""
    numbers = cell_numbers(column, mapped).fill_nan(None)
    whole = numbers.is_finite() & (numbers == numbers.floor())
    refuse_cells(~whole, column, mapped, "is no whole number")
    return numbers.cast(pl.Int64)


def _parts(column: pl.Series, mapped: Mapped) -> pl.Series:
    """`train`, `valid`, `test`, or nothing; in capitals or not."""
    parts = cell_texts(column.cast(pl.String)).str.to_lowercase()
    refuse_cells(
        ~parts.is_in(PARTS),
        column,
        mapped,
        f"is none of {', '.join(PARTS)}",
        "call the parts train, valid and test, or leave the column out of --map",
    )
    return parts


def _in_lists(frame: pl.DataFrame, mapped: Mapped, understood: Understood) -> pl.DataFrame:
    """The rows with an `impression_id` that belongs to one user."""
    if _LIST in frame.columns:
        users = frame.group_by(_LIST).agg(pl.col("user_id").n_unique())["user_id"]
        shared = int((users > 1).sum())
        if not shared:
            return frame
        keys, how = (
            ["user_id", _LIST],
            f"{shared:,} of {len(users):,} values of {mapped.source(_LIST)} stand with several "
            "users: what was shown to one of them is a list",
        )
    elif "time" in frame.columns:
        keys, how = ["user_id", "time"], "what a user was shown at one time is taken for one list"
    else:
        keys, how = (
            ["user_id"],
            "neither an impression nor a time says what was shown together, so all rows of a user "
            "are one list",
        )
    understood.notes.append(how)
    lists = frame.select(keys).unique(maintain_order=True).with_row_index("list")
    numbered = frame.join(lists, on=keys, how="left", maintain_order="left")
    return numbered.with_columns(pl.col("list").cast(pl.String).alias(_LIST)).drop("list")


def histories_table(
    mapped: Mapped, items: pl.Series, options: ImportOptions, understood: Understood
) -> pl.DataFrame:
    """What each user had taken before all impressions, oldest first.

    Args:
        mapped: With a column of lists, or of texts: ids with white space between them, or JSON.
        items: Ids of the items.
        options: What to do with a second row of a user.
        understood: Takes what was left out.

    Raises:
        DataError: A list cannot be read, or most of what they name are no items.
    """
    lists = _item_lists(mapped.frame["item_ids"], mapped)
    known = replace(mapped, frame=mapped.frame.with_columns(lists))
    frame = unique_rows(known, "user_id", options, understood).select("user_id", "item_ids")
    named = frame["item_ids"].explode().drop_nulls()
    strange = named.filter(~named.is_in(items.implode()))
    if len(strange) > MOST * len(named):
        shown, there = (
            ids.unique(maintain_order=True).head(3).to_list() for ids in (strange, items)
        )
        raise DataError(
            f"most of what {mapped.source('item_ids')} lists are no items, "
            f"e.g. {', '.join(map(repr, shown))}; items are e.g. {', '.join(map(repr, there))}",
            where=str(mapped.path),
            fix="separate ids by spaces or write JSON lists, and check that the files belong "
            "together",
        )
    return frame


def _item_lists(column: pl.Series, mapped: Mapped) -> pl.Series:
    """Lists of ids; an empty cell is an empty list."""
    name = column.name
    if isinstance(column.dtype, pl.List) and not column.dtype.inner.is_nested():
        lists = column.cast(_IDS)
    elif column.dtype == pl.String:
        text = cell_texts(column)
        as_json = text.str.starts_with("[").fill_null(False)
        lists = text.str.extract_all(r"\S+")
        decoded = _decoded(pl.select(pl.when(as_json).then(text)).to_series(), column, mapped)
        lists = pl.select(pl.when(as_json).then(decoded).otherwise(lists)).to_series()
    else:
        refuse_cells(column.is_not_null(), column, mapped, "is no list", _WRITE_LISTS)
        lists = pl.Series([None] * len(column), dtype=_IDS)
    empty = pl.Series([[]], dtype=_IDS)
    return pl.select(pl.when(lists.is_null()).then(empty).otherwise(lists)).to_series().alias(name)


def _decoded(text: pl.Series, given: pl.Series, mapped: Mapped) -> pl.Series:
    """JSON lists of ids; only where one cannot be read are all gone through to find which."""
    try:
        return text.str.json_decode(_IDS)
    except pl.exceptions.PolarsError:
        bad = text.map_elements(lambda cell: not _is_list(cell), return_dtype=pl.Boolean)
        refuse_cells(bad, given, mapped, "is no list", _WRITE_LISTS)
        raise


def _is_list(cell: str) -> bool:
    try:
        pl.Series([cell]).str.json_decode(_IDS)
    except pl.exceptions.PolarsError:
        return False
    return True


def clicks_of(impressions: pl.DataFrame, where: str, *, unordered: bool) -> pl.DataFrame:
    """The clicked impressions as interactions, in order of the impressions.

    Args:
        impressions: Canonical.
        where: The file they are from, for messages.
        unordered: Neither times nor the order of rows say what came first.

    Raises:
        DataError: Everything was clicked, or nothing.
    """
    clicked = impressions["label"] == 1
    if clicked.all() or not clicked.any():
        raise DataError(
            f"{'everything' if clicked.any() else 'nothing'} that was shown was clicked, so there "
            "is nothing to tell apart",
            where=where,
            fix="check which column is the label; clicks alone are --interactions",
        )
    frame = impressions.with_row_index("row").filter(clicked)
    frame = frame.select("user_id", "item_id", "time", pl.col("row").cast(pl.Int64))
    return frame.with_columns(row=pl.lit(0, dtype=pl.Int64)) if unordered else frame
