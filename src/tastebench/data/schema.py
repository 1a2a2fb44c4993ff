"""The canonical tables: their columns, dtypes and what must hold between them.

Every dataset, public or the user's, becomes these tables, so that nothing after this module knows
where data came from. An item is its row in `items`. Times are int64 milliseconds since 1970 (UTC)
and compared as numbers: values before 1970 are negative and values before September 2001 have
twelve digits, and both are legitimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np
import polars as pl

from tastebench.errors import DataError, did_you_mean

TableName = Literal[
    "items",
    "interactions",
    "users",
    "impressions",
    "histories",
    "queries",
    "relevance",
    "split",
]


@dataclass(frozen=True, eq=False)
class Tables:
    """The tables of one dataset as Polars frames, with further columns wherever there are some.

    Attributes:
        items: item_id, then text and attribute columns (String, List(String), numbers).
        interactions: user_id, item_id, time, rating, label, row; `time` is there for all rows or
            for none, `row` is the position in the raw file and decides between equal times.
        users: user_id, then attributes.
        impressions: impression_id, user_id, item_id, time, position, label.
        histories: user_id, item_ids (oldest first).
        queries: query_id, text, group.
        relevance: query_id, item_id, grade.
        split: user_id, item_id, part (`train`, `valid`, `test`): the dataset's own split.
        arrays: Whatever else belongs to the dataset, e.g. the truth behind generated data.
    """

    items: pl.DataFrame
    interactions: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    impressions: pl.DataFrame | None = None
    histories: pl.DataFrame | None = None
    queries: pl.DataFrame | None = None
    relevance: pl.DataFrame | None = None
    split: pl.DataFrame | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def frames(self) -> Iterator[tuple[TableName, pl.DataFrame]]:
        """The tables that are there, by name, in the order above."""
        for name in SCHEMA:
            frame = getattr(self, name)
            if frame is not None:
                yield name, frame


@dataclass(frozen=True)
class Column:
    """A canonical column.

    Attributes:
        required: Must be given; others are added (filled with `default`, or nulls).
        nullable: May hold nulls.
    """

    dtype: pl.DataType
    required: bool = True
    nullable: bool = False
    default: object = None


_ID = Column(pl.String())
_TIME = Column(pl.Int64(), required=False, nullable=True)

SCHEMA: dict[TableName, dict[str, Column]] = {
    "items": {"item_id": _ID},
    "interactions": {
        "user_id": _ID,
        "item_id": _ID,
        "time": _TIME,
        "rating": Column(pl.Float64(), required=False, nullable=True),
        "label": Column(pl.Int8(), required=False, nullable=True),
        "row": Column(pl.Int64(), required=False),
    },
    "users": {"user_id": _ID},
    "impressions": {
        "impression_id": _ID,
        "user_id": _ID,
        "item_id": _ID,
        "time": _TIME,
        "position": Column(pl.Int64(), required=False, nullable=True),
        "label": Column(pl.Int8()),
    },
    "histories": {"user_id": _ID, "item_ids": Column(pl.List(pl.String()))},
    "queries": {
        "query_id": _ID,
        "text": Column(pl.String()),
        "group": Column(pl.String(), required=False, default="all"),
    },
    "relevance": {
        "query_id": _ID,
        "item_id": _ID,
        "grade": Column(pl.Float64(), required=False, default=1.0),
    },
    "split": {"user_id": _ID, "item_id": _ID, "part": Column(pl.String())},
}

KEYS: dict[TableName, tuple[str, ...]] = {
    "items": ("item_id",),
    "users": ("user_id",),
    "histories": ("user_id",),
    "queries": ("query_id",),
    "relevance": ("query_id", "item_id"),
}
"""Columns whose values name a row of the table and may not repeat."""

PARTS = ("train", "valid", "test")


def validate(tables: Tables, where: str) -> Tables:
    """The same tables with canonical dtypes and every canonical column, or an error.

    Args:
        tables: As read.
        where: What the tables were read from, for messages: a dataset's name or a folder.

    Raises:
        DataError: A column is missing, a value cannot be read as its column's type, a key repeats,
            a table names an item or query that does not exist, or times are there for some rows
            only. Names table, column and the first rows, counted from 1.
    """
    tables = coerce(tables, where)
    if tables.items.is_empty():
        raise DataError("there are no items", where=where, fix="check the items file")
    for name, key in KEYS.items():
        frame = getattr(tables, name)
        if frame is not None:
            _refuse(
                frame.select(key).is_duplicated(),
                frame[key[0]],
                f"{' + '.join(key)} of {name} repeats",
                f"{where}, table {name}",
                "give every row its own id, or keep the first of each",
            )
    for name, frame in tables.frames():
        _times_for_all_or_none(name, frame, where)
        for column, other in references(name):
            keys = getattr(tables, other)
            if keys is None:
                raise DataError(
                    f"{name} needs a table {other}", where=where, fix=f"provide {other}"
                )
            _refuse(
                ~frame[column].is_in(keys[column].implode()),
                frame[column],
                f"{column} of {name} is not in {other}",
                f"{where}, table {name}, column {column}",
                f"add the missing rows to {other} or leave these out of {name}",
            )
    return tables


def references(name: TableName) -> list[tuple[str, TableName]]:
    """The columns of a table that must exist elsewhere, each with the table they point into."""
    pointers: list[tuple[str, TableName]] = [("item_id", "items"), ("query_id", "queries")]
    return [(c, other) for c, other in pointers if c in SCHEMA[name] and other != name]


def is_relevant(min_grade: float | None) -> pl.Expr:
    """Whether a judgement makes its item relevant: a grade of `min_grade`, or any above 0."""
    return pl.col("grade") > 0 if min_grade is None else pl.col("grade") >= min_grade


def coerce(tables: Tables, where: str) -> Tables:
    """Canonical columns and dtypes, table by table; relations between tables are not looked at.

    Raises:
        DataError: As `validate`, for missing columns and unreadable values.
    """
    changed = {name: _coerce_table(name, frame, where) for name, frame in tables.frames()}
    for key in tables.arrays:
        if not key.replace("_", "").isalnum():
            raise ValueError(f"array name {key!r} is not a plain word")
    # `changed` has the frames only, so arrays and absent tables stay.
    assert set(changed) <= {f.name for f in fields(tables)}
    return replace(tables, **changed)  # type: ignore[arg-type]


def _coerce_table(name: TableName, frame: pl.DataFrame, where: str) -> pl.DataFrame:
    place = f"{where}, table {name}"
    missing = [c for c, spec in SCHEMA[name].items() if spec.required and c not in frame.columns]
    if missing:
        hints = [f"{column}: {did_you_mean(column, frame.columns)}" for column in missing]
        raise DataError(
            f"{name} has no column {', '.join(missing)} (found: {', '.join(frame.columns)})",
            where=place,
            fix="; ".join(hints),
        )
    columns: list[pl.Series] = []
    for column, spec in SCHEMA[name].items():
        at = f"{place}, column {column}"
        if column in frame.columns:
            series = _cast(frame[column], spec.dtype, at)
        elif column == "row":
            series = pl.Series("row", np.arange(len(frame)), dtype=pl.Int64)
        else:
            series = pl.Series(column, [spec.default], dtype=spec.dtype).new_from_index(
                0, len(frame)
            )
        if not spec.nullable:
            _refuse(series.is_null(), series, f"{column} is empty", at, "fill or drop these rows")
        columns.append(series)
    columns += [_plain(frame[c], place) for c in frame.columns if c not in SCHEMA[name]]
    result = pl.DataFrame(columns)
    _check_values(name, result, place)
    return result


def _cast(series: pl.Series, dtype: pl.DataType, at: str) -> pl.Series:
    """`series` as `dtype`; a value that has no such form is an error, never a silent null."""
    given = series.dtype
    if given == dtype:
        return series
    if dtype == pl.Int64 and given.is_temporal() and given != pl.Duration:
        return series.cast(pl.Datetime("ms")).cast(pl.Int64)
    source = series.fill_nan(None) if given.is_float() else series
    if dtype == pl.String and given.is_float():
        # Ids that a reader made into floats because one was missing: 17.0 is the id 17.
        source = _whole(source, at).cast(pl.Int64)
    elif dtype.is_integer() and given.is_float():
        source = _whole(source, at)
    if given == pl.String:
        source = source.str.strip_chars()
        source = pl.select(pl.when(source != "").then(source)).to_series()
    cast = source.cast(dtype, strict=False).alias(series.name)
    _refuse(
        cast.is_null() & source.is_not_null(),
        series,
        f"{series.name} cannot be read as {_word(dtype)}",
        at,
        "mend these values or drop the rows",
    )
    return cast


def _whole(series: pl.Series, at: str) -> pl.Series:
    _refuse(
        (series != series.floor()) | series.is_infinite(),
        series,
        f"{series.name} is not a whole number",
        at,
        "mend these values or drop the rows",
    )
    return series


def _plain(series: pl.Series, place: str) -> pl.Series:
    """A column of ours or the user's in one of five dtypes: equal values, one form."""
    dtype = series.dtype
    if dtype in (pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.List(pl.String)):
        plain = series
    elif dtype.is_integer() or dtype == pl.Duration:
        plain = _cast(series, pl.Int64(), f"{place}, column {series.name}")
    elif dtype.is_float() or dtype.is_decimal():
        plain = series.cast(pl.Float64)
    elif dtype in (pl.Categorical, pl.Enum, pl.Null):
        plain = series.cast(pl.String)
    elif dtype.is_temporal():
        plain = series.dt.to_string("iso")
    elif isinstance(dtype, pl.List) and not dtype.inner.is_nested():
        plain = series.cast(pl.List(pl.String))
    elif isinstance(dtype, pl.Struct):
        plain = series.struct.json_encode()
    else:
        raise DataError(
            f"column {series.name} has the type {dtype}, which is not supported",
            where=place,
            fix="make it text, a number or a list of texts",
        )
    return plain.alias(series.name)


def _times_for_all_or_none(name: TableName, frame: pl.DataFrame, where: str) -> None:
    if "time" in SCHEMA[name] and 0 < frame["time"].null_count() < len(frame):
        _refuse(
            frame["time"].is_null(),
            frame[frame.columns[0]],
            "time is missing in some rows but not in all",
            f"{where}, table {name}, column time",
            "drop these rows, or leave the time column out",
        )


def _check_values(name: TableName, frame: pl.DataFrame, place: str) -> None:
    """What holds within one table beyond types."""
    for column in [c for c in frame.columns if c.endswith("_id") and c in SCHEMA[name]]:
        _refuse(
            frame[column].str.len_bytes() == 0,
            frame[column],
            f"{column} is empty",
            f"{place}, column {column}",
            "fill or drop these rows",
        )
    for column, (good, what) in _RULES.items():
        if column in SCHEMA[name] and column in frame.columns:
            bad = frame.select(~good.fill_null(True)).to_series()
            _refuse(
                bad,
                frame[column],
                f"{column} {what}",
                f"{place}, column {column}",
                "mend these values or drop the rows",
            )


_RULES = {
    "label": (pl.col("label").is_in([0, 1]), "is neither 0 nor 1"),
    "part": (pl.col("part").is_in(PARTS), f"is none of {', '.join(PARTS)}"),
    "rating": (pl.col("rating").is_finite(), "is not finite"),
    "grade": (pl.col("grade").is_finite() & (pl.col("grade") >= 0), "is not a number from 0 on"),
}


def _refuse(bad: pl.Series, values: pl.Series, what: str, where: str, fix: str) -> None:
    """A `DataError` that shows the first bad rows, if there are any."""
    rows = bad.fill_null(False).arg_true()
    if not rows.is_empty():
        first = rows.head(SHOWN)
        raise DataError(
            f"{what}: {shown_rows(list(zip(first, values.gather(first), strict=True)), len(rows))}",
            where=where,
            fix=fix,
        )


SHOWN = 5
"""Bad rows that a message shows."""


def shown_rows(first: Sequence[tuple[int, object]], n: int) -> str:
    """The first of `n` rows for messages, each its place from 0 on and its value.

    >>> shown_rows([(0, "x"), (7, None)], 3)
    "row 1 ('x'), row 8 (None) and 1 more rows"
    """
    shown = ", ".join(f"row {row + 1} ({value!r})" for row, value in first)
    return shown + (f" and {n - len(first):,} more rows" if n > len(first) else "")


def _word(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "a whole number"
    return "a number" if dtype.is_float() else "text"
