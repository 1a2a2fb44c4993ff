"""Times as users have them - seconds, milliseconds, dates, plain counters - to milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np
import polars as pl

from tastebench.errors import DataError, UsageError

TimeUnit = Literal["s", "ms", "us", "ns", "date", "order"]

UNITS: dict[str, TimeUnit] = {unit: unit for unit in get_args(TimeUnit)}
"""The units by name."""

# The least size at which a number is read in a unit. Each is 1973-03-03 in its own unit, and the
# year 5138 in the one before: a number can be a time of the last decades in one unit only.
_LEAST: tuple[tuple[TimeUnit, float], ...] = (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 1e8))

_PER_MS: dict[TimeUnit, float] = {"s": 1e-3, "ms": 1.0, "us": 1e3, "ns": 1e6}

_DATES = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d",
    "%Y%m%d",
)


@dataclass(frozen=True, eq=False)
class Times:
    """What a column of times was understood as.

    Attributes:
        values: int64 milliseconds, or for `order` the numbers as they are; null where unreadable.
        unit: What the numbers were taken for.
        other_unit: Rows whose number would be a time of the last decades in another unit only.
    """

    values: pl.Series
    unit: TimeUnit
    other_unit: np.ndarray


def read_times(column: pl.Series, unit: TimeUnit | None = None) -> Times:
    """Times from numbers, texts of numbers, dates, or a temporal column.

    Numbers are taken as the unit in which most of them lie between 1973 and 5138; numbers below
    1e8 are eight-digit dates (20240131) if all of them are, else a counter that gives an order and
    no time. Dates without a zone are UTC. Negative numbers are times before 1970.

    Args:
        column: As read from the file.
        unit: What they are, if known.

    Raises:
        UsageError: There is no such unit.
        DataError: Nothing in the column is a time.
    """
    if unit is not None and unit not in UNITS:
        raise UsageError(f"unknown time unit {unit!r}", fix=f"one of {', '.join(UNITS)}")
    none = np.empty(0, dtype=np.int64)
    if column.dtype.is_temporal():
        return Times(_from_temporal(column), "date", none)
    numbers = _numbers(column)
    given = column.is_not_null()
    if unit == "date" or (unit is None and numbers.null_count() > column.null_count()):
        dates = _dates(column)
        if unit == "date" or dates.is_not_null().sum() > numbers.is_not_null().sum():
            _some(dates, given, column)
            return Times(dates, "date", none)
    _some(numbers, given, column)
    if unit is None:
        unit = _unit(numbers)
        if unit == "order" and _are_dates(numbers):
            return Times(_dates(column), "date", none)
        other = _outside(numbers, unit)
    else:
        other = none
    return Times(_milliseconds(numbers, unit), unit, other)


def _numbers(column: pl.Series) -> pl.Series:
    """The column as Int64 where every number is whole (floats lose digits from 2**53 on)."""
    if column.dtype == pl.String:
        column = column.str.strip_chars()
        whole = column.cast(pl.Int64, strict=False)
        if whole.null_count() == column.null_count():
            return whole
    if column.dtype.is_integer():
        return column.cast(pl.Int64)
    number = column.cast(pl.Float64, strict=False)
    finite = number.is_finite()
    return pl.select(pl.when(finite).then(number)).to_series()


def _unit(numbers: pl.Series) -> TimeUnit:
    size = abs(cast(float, numbers.drop_nulls().cast(pl.Float64).abs().median()))
    return next((unit for unit, least in _LEAST if size >= least), "order")


def _outside(numbers: pl.Series, unit: TimeUnit) -> np.ndarray:
    """Rows whose size belongs to another unit. Small numbers (around 1970) fit any."""
    if unit == "order":
        return np.empty(0, dtype=np.int64)
    least = dict(_LEAST)[unit]
    size = numbers.cast(pl.Float64).abs().fill_null(least).to_numpy()
    outside: np.ndarray = np.flatnonzero((size >= 1e8) & ((size < least) | (size >= least * 1e3)))
    return outside


def _milliseconds(numbers: pl.Series, unit: TimeUnit) -> pl.Series:
    if unit == "order":
        return numbers.cast(pl.Float64).rank("dense").cast(pl.Int64)
    # Beyond this a number of seconds has no milliseconds in 64 bits: unreadable, not wrapped round.
    fits = numbers.abs() <= 9e15
    numbers = pl.select(pl.when(fits | (unit != "s")).then(numbers)).to_series()
    if numbers.dtype == pl.Int64:
        return numbers * 1000 if unit == "s" else numbers // int(_PER_MS[unit])
    return (numbers / _PER_MS[unit]).round().cast(pl.Int64)


def _are_dates(numbers: pl.Series) -> bool:
    whole = numbers.drop_nulls().cast(pl.Int64)
    if not whole.is_between(19000101, 21991231).all():
        return False
    return whole.cast(pl.String).str.to_date("%Y%m%d", strict=False).null_count() == 0


def _dates(column: pl.Series) -> pl.Series:
    """Each value by the first format that reads it, as milliseconds."""
    if column.dtype.is_float():
        column = column.cast(pl.Int64)
    text = column.cast(pl.String).str.strip_chars()
    text = text.str.replace(r"Z$", "+00:00").str.replace(" UTC", "+00:00", literal=True)
    formats = [
        pl.col("t").str.to_datetime(f, strict=False, time_zone="UTC" if "z" in f else None)
        for f in _DATES
    ]
    plain = [f.dt.replace_time_zone(None).dt.cast_time_unit("ms") for f in formats]
    return _from_temporal(text.alias("t").to_frame().select(pl.coalesce(plain)).to_series())


def _from_temporal(column: pl.Series) -> pl.Series:
    """Milliseconds since 1970 in UTC."""
    return column.cast(pl.Datetime("ms")).cast(pl.Int64)


def _some(values: pl.Series, given: pl.Series, column: pl.Series) -> None:
    if values.is_null().all():
        examples = column.filter(given).unique(maintain_order=True).head(3).to_list()
        raise DataError(
            f"no value of the time column is a time, e.g. {', '.join(map(repr, examples))}",
            fix="give unix seconds or milliseconds, or dates like 2024-01-31 or "
            "2024-01-31T12:00:00Z",
        )
