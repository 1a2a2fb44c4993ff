"""JSON lines of many gigabytes: read in pieces, and of each line only what is asked for is kept.

Unlike `reading.read_json_lines` nothing is mended, and an error goes through the file without
keeping it. Blank lines are no records; rows are named as lines of the file, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tastebench.data.sources.reading import bad_rows, lines
from tastebench.errors import DataError
from tastebench.files import parse_json


def select_json_lines(
    path: Path,
    columns: Mapping[str, pl.DataType],
    wanted: Sequence[pl.Expr | str],
    *,
    needed: Sequence[str] = (),
) -> pl.DataFrame:
    """What expressions make of the keys of each line, in the order of the file; also gzipped.

    Args:
        path: One JSON object per line.
        columns: Keys and types; a key that a line lacks is null there.
        wanted: What is kept of each line; names or expressions over all of `columns`.
        needed: Columns of the result that may hold no null.

    Raises:
        DataError: A line is not a JSON object, a value has another type, a needed value is missing,
            or the file is empty or cut off; names the rows.
    """
    try:
        frame = (
            pl.scan_ndjson(path, schema=dict(columns)).select(*wanted).collect(engine="streaming")
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _explain(path, columns, error) from error
    if frame.is_empty():
        raise DataError("the file is empty", where=str(path), fix="get it again")
    for column in needed:
        refuse(path, frame[column].is_null(), f"{column} is missing")
    return frame


def refuse(path: Path, bad: pl.Series, what: str) -> None:
    """Refuses the records of a file where `bad` is true, naming their lines.

    Raises:
        DataError: There are some.
    """
    records = set(bad.arg_true().to_list())
    if records:
        rows = [number for i, (number, _) in enumerate(lines(path)) if i in records]
        raise bad_rows(path, rows, what)


def _explain(path: Path, columns: Mapping[str, pl.DataType], error: Exception) -> DataError:
    """The error for a file that Polars could not read; `lines` raises it where it is cut off."""
    faults: dict[str, list[int]] = {}
    for number, line in lines(path):
        for what in _faults(line, columns):
            faults.setdefault(what, []).append(number)
    for what, rows in faults.items():
        return bad_rows(path, rows, what)
    return DataError(
        f"the file cannot be read: {(str(error).splitlines() or ['?'])[0]}",
        where=str(path),
        fix="get the original file again",
    )


def _faults(line: str, columns: Mapping[str, pl.DataType]) -> Iterator[str]:
    """What is wrong with a line."""
    try:
        record = parse_json(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        yield "no JSON object"
        return
    for name, dtype in columns.items():
        value = record.get(name)
        if value is not None and not _fits(value, dtype):
            yield f"{name} is not {_word(dtype)}"


def _fits(value: Any, dtype: pl.DataType) -> bool:
    if dtype == pl.Boolean:
        return isinstance(value, bool)
    if dtype.is_integer():
        return isinstance(value, int) and not isinstance(value, bool)
    if dtype.is_float():
        return isinstance(value, int | float) and not isinstance(value, bool)
    return True  # whatever it is, Polars writes it down as text


def _word(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "true or false"
    return "a whole number" if dtype.is_integer() else "a number"
