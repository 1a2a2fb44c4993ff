"""The tables beside a record, read with errors that name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tastebench.board.load import Entry
from tastebench.errors import DataError

if TYPE_CHECKING:
    import polars as pl

UNITS, LISTS, CURVE = "per_user.parquet", "predictions.parquet", "curves.parquet"


def read_table(entry: Entry, name: str, units: Sequence[str] | None = None) -> pl.DataFrame | None:
    """A table of a run, of some units or whole; None where it is not there.

    Args:
        entry: The run.
        name: Of the file.
        units: Ids of users or queries, as text; None for all.

    Raises:
        DataError: It is broken.
    """
    import polars as pl

    from tastebench.data.foreign import BROKEN, free_memory, no_panic, scan_parquet

    if entry.folder is None or not (entry.folder / name).is_file():
        return None
    path = entry.folder / name
    entry.record.check_table(path)
    try:
        with no_panic():
            table = scan_parquet(path, free_memory() if units is None else None)
            if units is not None:
                first = table.collect_schema().names()[0]
                table = table.filter(pl.col(first).cast(pl.String).is_in(list(units)))
            return table.collect()
    except BROKEN as error:
        raise DataError(
            f"unreadable table: {error}",
            where=str(path),
            fix="remove its folder and run the plan again: everything else is kept",
        ) from error
