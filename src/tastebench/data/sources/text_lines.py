"""Text files as one column of lines, for formats that are no table: read in pieces, rows counted.

A line keeps its number in the file, from 1, blank ones included, so that what cannot be read is
named by the row that an editor shows.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.sources.reading import bad_rows, collect, lines
from tastebench.errors import DataError

_NOWHERE = "\x00"  # separates nothing: no text has it, so a row of the one column is a whole line


def scan_lines(path: Path) -> pl.LazyFrame:
    """The lines of a UTF-8 file: `number` from 1, `line` without its end; blank ones are null.

    Raises:
        DataError: The file is empty.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="get it again")
    return pl.scan_csv(
        path,
        separator=_NOWHERE,
        has_header=False,
        quote_char=None,
        schema={"line": pl.String()},
        row_index_name="number",
        row_index_offset=1,
    )


def collect_lines(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """What was made of scanned lines, computed in pieces.

    Raises:
        DataError: The file is not UTF-8 (names the row) or cannot be read.
    """
    try:
        return collect(frame, path)
    except DataError:
        for _ in lines(path):  # raises where a line is not UTF-8, which Polars does not tell
            pass
        raise


def refuse(frame: pl.DataFrame, bad: pl.Expr, path: Path, what: str) -> None:
    """Refuses the rows of a frame with `number` for which `bad` holds.

    Raises:
        DataError: There are some; names the first.
    """
    rows = frame.filter(bad)["number"]
    if len(rows):
        raise bad_rows(path, rows.to_list(), what)
