"""From a user's mapped columns to canonical tables: cell by cell, with every dropped row noted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl

from tastebench.data.mapping import Mapped
from tastebench.data.tables_io import BadRows
from tastebench.data.tidy import MOST
from tastebench.data.times import Times, TimeUnit, read_times
from tastebench.errors import DataError, UsageError, counted

Duplicates = Literal["error", "first"]

_TRUE_FALSE = {"true": "1", "false": "0", "yes": "1", "no": "0"}
_IDS = ("user_id", "item_id", "query_id", "impression_id")
_NOT_A_VALUE = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "\\N"]


@dataclass(frozen=True)
class ImportOptions:
    """How a user's files are to be read.

    Attributes:
        encoding, delimiter, bad_rows: As `tastebench.data.tables_io.read_table`.
        time_unit: What the times are, if known; see `tastebench.data.times.read_times`.
        unordered: Neither times nor the order of the file say what came first.
        duplicates: What to do with a second row of the same item or query id.
        language: Of the texts, for the card.
    """

    encoding: str = "utf-8"
    delimiter: str | None = None
    bad_rows: BadRows = "error"
    time_unit: TimeUnit | None = None
    unordered: bool = False
    duplicates: Duplicates = "error"
    language: str = "en"


@dataclass
class Understood:
    """What an import found, as the manifest keeps it.

    Attributes:
        files: Table to path, hash, format, rows, and which column became what.
        dropped: Reason to number of rows and the first row numbers.
        time_unit: What the times were taken for.
        text: Text column to share of items that have any, median length, texts with HTML.
    """

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    dropped: dict[str, dict[str, Any]] = field(default_factory=dict)
    time_unit: str | None = None
    notes: list[str] = field(default_factory=list)
    text: dict[str, dict[str, Any]] = field(default_factory=dict)

    def drop(self, reason: str, rows: np.ndarray) -> None:
        """Notes rows that were left out, with the first few of their numbers."""
        if len(rows):
            self.dropped[reason] = {"rows": len(rows), "first": rows[:5].tolist()}


def items_table(mapped: Mapped, options: ImportOptions, understood: Understood) -> pl.DataFrame:
    """The items, each once, with their attributes."""
    frame = unique_rows(mapped, "item_id", options, understood)
    extra = {c: _number_if_all_are(frame[c]) for c in frame.columns if c not in mapped.canonical}
    return frame.with_columns(**extra)


def interactions_table(
    mapped: Mapped, options: ImportOptions, understood: Understood
) -> pl.DataFrame:
    """The interactions with their times, or with the order that stands for them."""
    frame = mapped.frame.select(mapped.canonical)
    for column, read in (("rating", cell_numbers), ("label", cell_labels)):
        if column in frame.columns:
            frame = frame.with_columns(read(frame[column], mapped))
    if "label" in frame.columns and (shown := int((frame["label"] == 0).sum())):
        understood.notes.append(
            f"{shown:,} of the interactions have label 0, shown and not taken: no task takes them "
            "for a user's choice, and ctr for what was not clicked"
        )
    frame = frame.with_columns(row=pl.Series(mapped.rows))
    keep = rows_with_all(frame, mapped, understood)
    if options.unordered:
        frame = frame.drop("time", strict=False).with_columns(row=pl.lit(0, dtype=pl.Int64))
    elif "time" in frame.columns:
        times, keep = rows_with_time(frame["time"], keep, options, mapped, understood)
        understood.time_unit = times.unit
        if times.unit == "order":
            understood.notes.append(
                f"{mapped.source('time')} is a counter, not a time: it gives the order of events"
            )
            frame = frame.drop("time").with_columns(row=times.values.rank("ordinal").cast(pl.Int64))
        else:
            frame = frame.with_columns(time=times.values)
    else:
        understood.notes.append(
            "there is no time column, so the order of the file is taken as the order of events; "
            "--unordered if it says nothing"
        )
    return frame.filter(pl.Series(keep))


def rows_with_time(
    column: pl.Series,
    keep: np.ndarray,
    options: ImportOptions,
    mapped: Mapped,
    understood: Understood,
) -> tuple[Times, np.ndarray]:
    """The times of a table, and which of the rows to keep have one; the others are noted.

    Raises:
        DataError: Most have none, one is no time and may not be dropped, or units are mixed.
    """
    times = _read_times(column, options, mapped)
    readable = times.values.is_not_null().to_numpy()
    unreadable = mapped.rows[keep & ~readable]
    _not_most(unreadable, mapped, "readable time", "check the time column, or --time-unit")
    if options.bad_rows == "error":
        _refuse_written(column, keep & ~readable, mapped)
    understood.drop(f"{mapped.table} without a readable time", unreadable)
    return times, keep & readable


def _refuse_written(column: pl.Series, unreadable: np.ndarray, mapped: Mapped) -> None:
    """An empty time is a fact about the data; one that cannot be read is a mistake to be mended."""
    given = column.is_not_null().to_numpy()
    if column.dtype == pl.String:
        given = given & ~column.str.strip_chars().is_in(_NOT_A_VALUE).fill_null(True).to_numpy()
    bad = np.flatnonzero(unreadable & given)
    if len(bad):
        raise DataError(
            f"{mapped.source('time')} is no time in {counted(len(bad), 'row')}, "
            f"e.g. {column[int(bad[0])]!r}",
            where=f"{mapped.path}, row {', '.join(map(str, mapped.rows[bad[:5]]))}",
            fix="mend these cells, or leave the rows out with --bad-rows drop",
        )


def _read_times(column: pl.Series, options: ImportOptions, mapped: Mapped) -> Times:
    where = f"{mapped.path}, column {mapped.source('time')}"
    try:
        times = read_times(column, options.time_unit)
    except DataError as error:
        raise DataError(error.what, where=where, fix=error.fix) from error
    if len(times.other_unit):
        rows = mapped.rows[times.other_unit]
        examples = column[times.other_unit[:3].tolist()].to_list()
        raise DataError(
            f"most times are in {times.unit}, {len(rows):,} seem to be in another unit, "
            f"e.g. {', '.join(map(str, examples))}",
            where=f"{where}, rows {', '.join(map(str, rows[:5]))}",
            fix=f"mend them, or say --time-unit {times.unit} if they are meant",
        )
    return times


def relevance_table(mapped: Mapped, understood: Understood) -> pl.DataFrame:
    """The judgements that name both a query and an item."""
    frame = mapped.frame.select(mapped.canonical)
    if "grade" in frame.columns:
        frame = frame.with_columns(cell_numbers(frame["grade"], mapped))
    return frame.filter(pl.Series(rows_with_all(frame, mapped, understood)))


def unique_rows(
    mapped: Mapped, key: str, options: ImportOptions, understood: Understood
) -> pl.DataFrame:
    """The rows with an id; a second row of the same id is refused, or dropped if so asked."""
    keep = rows_with_all(mapped.frame, mapped, understood)
    frame, rows = mapped.frame.filter(pl.Series(keep)), mapped.rows[keep]
    first = frame[key].is_first_distinct().to_numpy()
    if not first.all() and options.duplicates == "error":
        repeated = frame[key].filter(pl.Series(~first))
        shown = ", ".join(
            f"row {row:,} ({value!r})"
            for row, value in zip(rows[~first][:5], repeated.head(5), strict=True)
        )
        raise DataError(
            f"{counted(len(repeated), 'row')} of {mapped.table} with an id seen before: {shown}",
            where=f"{mapped.path}, column {mapped.source(key)}",
            fix="give every row its own id, or keep the first of each with --duplicates first",
        )
    understood.drop(f"{mapped.table} with an id seen before", rows[~first])
    return frame.filter(pl.Series(first))


_NEEDED = {"queries": ("text",), "impressions": ("label", "part")}
"""What a row has to have besides its ids, where the table has such a column."""


def rows_with_all(frame: pl.DataFrame, mapped: Mapped, understood: Understood) -> np.ndarray:
    """Where every id is there; the rows without are noted, and refused if they are most."""
    needed = [c for c in mapped.canonical if c in _IDS or c in _NEEDED.get(mapped.table, ())]
    keep: np.ndarray = (
        frame.select(pl.all_horizontal(pl.col(needed).is_not_null())).to_series().to_numpy()
    )
    names = " or ".join(mapped.source(c) for c in needed)
    _not_most(mapped.rows[~keep], mapped, f"value in {names}", "check the --map")
    understood.drop(f"{mapped.table} without {names}", mapped.rows[~keep])
    return keep


def _not_most(rows: np.ndarray, mapped: Mapped, what: str, fix: str) -> None:
    if len(rows) > MOST * len(mapped.rows):
        raise DataError(
            f"{len(rows):,} of {len(mapped.rows):,} rows have no {what}",
            where=f"{mapped.path}, row {', '.join(map(str, rows[:5]))}, ...",
            fix=fix,
        )


def cell_numbers(series: pl.Series, mapped: Mapped) -> pl.Series:
    """Ratings, labels and grades from text; a cell that is no number is an error with its row."""
    if series.dtype != pl.String:
        return series.cast(pl.Float64)
    text = cell_texts(series)
    plain = text.str.to_lowercase().replace(_TRUE_FALSE)
    numbers = plain.cast(pl.Float64, strict=False).alias(series.name)
    refuse_cells(numbers.is_null() & text.is_not_null(), series, mapped, "is not a number")
    return numbers


def cell_labels(series: pl.Series, mapped: Mapped) -> pl.Series:
    """Labels, 0, 1 or nothing; any other is an error with its row."""
    labels = cell_numbers(series, mapped)
    labels = labels.fill_nan(None)
    refuse_cells(~labels.is_in([0.0, 1.0]), series, mapped, "is neither 0 nor 1")
    return labels


def cell_texts(series: pl.Series) -> pl.Series:
    """Texts without white space around them; what stands for no value is null."""
    text = series.str.strip_chars()
    return pl.select(pl.when(~text.is_in(_NOT_A_VALUE)).then(text)).to_series().alias(series.name)


def refuse_cells(
    bad: pl.Series,
    given: pl.Series,
    mapped: Mapped,
    what: str,
    fix: str | None = None,
) -> None:
    """A `DataError` that names the rows of bad cells, if there are any; null is not bad."""
    rows = bad.fill_null(False).arg_true().to_numpy()
    if not len(rows):
        return
    needed = mapped.table == "impressions" and given.name == "label"
    leave = "" if needed else ", or leave the column out of --map"
    raise DataError(
        f"{mapped.source(given.name)} {what} in {counted(len(rows), 'row')}, "
        f"e.g. {given[int(rows[0])]!r}",
        where=f"{mapped.path}, row {', '.join(map(str, mapped.rows[rows[:5]]))}",
        fix=fix or f"mend these cells, empty them{leave}",
    )


def _number_if_all_are(series: pl.Series) -> pl.Series:
    """A text column whose every value is a number, as numbers; codes like 007 stay text."""
    if series.dtype != pl.String or series.is_null().all():
        return series
    if series.str.contains(r"^\s*[+-]?0\d").any():
        return series
    for dtype in (pl.Int64, pl.Float64):
        numbers = series.str.strip_chars().cast(dtype, strict=False)
        if numbers.null_count() == series.null_count():
            return numbers
    return series


def text_columns(mapped: Mapped, items: pl.DataFrame, text: Sequence[str]) -> tuple[str, ...]:
    """The text columns by their names in the items table."""
    if text:
        return tuple(mapped.find(column) for column in text)
    columns = tuple(c for c in ("title", "description") if c in items.columns)
    if not columns:
        raise UsageError(
            f"which columns of the items hold text? (found: {', '.join(items.columns)})",
            where=str(mapped.path),
            fix="--text COLUMN[,COLUMN...]",
        )
    return columns


def as_texts(
    items: pl.DataFrame, columns: tuple[str, ...], understood: Understood, where: str
) -> pl.DataFrame:
    """Text columns as text, and what there is in them."""
    items = items.with_columns(
        pl.col(c).cast(pl.String) for c in columns if not isinstance(items[c].dtype, pl.List)
    )
    for column in columns:
        text = items[column]
        if isinstance(text.dtype, pl.List):
            text = text.cast(pl.List(pl.String)).list.join(" ", ignore_nulls=True)
        text = text.fill_null("")
        full = text.filter(text.str.strip_chars().str.len_bytes() > 0)
        understood.text[column] = {
            "share": len(full) / len(items) if len(items) else 0.0,
            "median_characters": int(full.str.len_chars().median() or 0),  # type: ignore[arg-type]
            "with_html": int(full.str.contains(r"</?[A-Za-z][^<>]*>|&[A-Za-z#0-9]+;").sum()),
        }
    if not any(found["share"] for found in understood.text.values()):
        raise DataError(
            f"no item has any text in {', '.join(columns)}",
            where=where,
            fix="name the columns that hold text with --text",
        )
    return items
