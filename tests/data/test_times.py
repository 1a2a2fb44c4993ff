"""Times: which unit a column is in, and that no value is quietly something else."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.times import read_times
from tastebench.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        ([881250949, 893286638], "s", [881250949000, 893286638000]),
        (["881250949", " 893286638 "], "s", [881250949000, 893286638000]),
        ([1452647382.25, 1452647383.0], "s", [1452647382250, 1452647383000]),
        (["1.5e9"], "s", [1500000000000]),
        # Milliseconds before September 2001 have twelve digits.
        ([946684800000, 1452647382000], "ms", [946684800000, 1452647382000]),
        ([946684800000], "ms", [946684800000]),
        ([1650000000123456], "us", [1650000000123]),
        ([1650000000123456789], "ns", [1650000000123]),
        # Before 1970, and a missing value.
        ([-5, 1452647382, None], "s", [-5000, 1452647382000, None]),
        ([-1_500_000_000_000], "ms", [-1_500_000_000_000]),
        (["2024-01-31"], "date", [1706659200000]),
        (["2024-01-31T12:00:00.123Z"], "date", [1706702400123]),
        (["2024-01-31 12:00:00"], "date", [1706702400000]),
        (["2024-01-31 12:00:00 UTC", "2024-01-31T14:00:00+02:00"], "date", [1706702400000] * 2),
        (["2024/01/31"], "date", [1706659200000]),
        ([20240131, 20240201], "date", [1706659200000, 1706745600000]),
        (["2024-01-31", "soon"], "date", [1706659200000, None]),
        ([date(2024, 1, 31)], "date", [1706659200000]),
        ([datetime(2024, 1, 31, 12, tzinfo=UTC)], "date", [1706702400000]),
        ([7, 3, 3, 12], "order", [2, 1, 1, 3]),
        (["1000", "2000", "x"], "order", [1, 2, None]),
    ],
)
def test_units_are_recognised(values: list[Any], unit: str, expected: list[int | None]) -> None:
    times = read_times(pl.Series("t", values))
    assert times.unit == unit
    assert times.values.to_list() == expected
    assert times.values.dtype == pl.Int64
    assert times.other_unit.tolist() == []


@pytest.mark.parametrize(
    ("values", "unit", "rows"),
    [
        ([1452647382, 1452647382000, 1452647383], "s", [1]),
        ([1452647382000, 1452647383000, 1452647382], "ms", [2]),
        ([1452647382, 1452647383, 0, -5, None], "s", []),  # around 1970 in any unit
    ],
)
def test_values_of_another_unit_are_pointed_out(
    values: list[int | None], unit: str, rows: list[int]
) -> None:
    times = read_times(pl.Series("t", values))
    assert times.unit == unit
    assert times.other_unit.tolist() == rows


def test_a_unit_that_is_said_is_taken() -> None:
    numbers = pl.Series("t", [1452647382000, 5])
    assert read_times(numbers, "s").values.to_list() == [1452647382000000, 5000]
    assert read_times(numbers, "order").values.to_list() == [2, 1]
    assert read_times(pl.Series("t", ["20240131"]), "date").values.to_list() == [1706659200000]


def test_seconds_that_do_not_fit_are_unreadable_not_wrapped_round() -> None:
    huge = pl.Series("t", [9_000_000_000_000_000_000, 5])
    assert read_times(huge, "s").values.to_list() == [None, 5000]


def test_what_is_no_time_is_said() -> None:
    with pytest.raises(DataError, match="'soon', 'later'"):
        read_times(pl.Series("t", ["soon", "later", None]))
    with pytest.raises(DataError, match="is a time"):
        read_times(pl.Series("t", ["5", "6"]), "date")
    with pytest.raises(UsageError, match="unknown time unit 'sec'"):
        read_times(pl.Series("t", [5]), "sec")  # type: ignore[arg-type]


MOMENTS = st.lists(st.integers(200_000_000, 4_000_000_000), min_size=1, max_size=8)  # 1976 to 2096


@settings(max_examples=100, deadline=None)
@given(
    MOMENTS, st.sampled_from([("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)]), st.booleans()
)
def test_the_moment_is_the_same_in_every_unit(
    seconds: list[int], unit: tuple[str, int], as_text: bool
) -> None:
    name, factor = unit
    column = pl.Series("t", [moment * factor for moment in seconds])
    times = read_times(column.cast(pl.String) if as_text else column)
    assert times.unit == name
    assert times.values.to_list() == [moment * 1000 for moment in seconds]
