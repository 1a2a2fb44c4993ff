"""The tables beside a record, read with errors that name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tastebench.errors import DataError
from tastebench.runs.record import Record

if TYPE_CHECKING:
    import polars as pl

UNITS, LISTS, CURVE = "per_user.parquet", "predictions.parquet", "curves.parquet"


def read_table(
    record: Record, folder: Path | None, name: str, units: Sequence[str] | None = None
) -> pl.DataFrame | None:
    """A table of a run, of some units or whole; None where it is not there.

    Args:
        record: Of the run.
        folder: Where it lies, if anywhere.
        name: Of the file.
        units: Ids of users or queries, as text; None for all.

    Raises:
        DataError: It is broken.
    """
    import polars as pl

    from tastebench.data.foreign import free_memory, no_panic, scan_parquet

    if folder is None or not (folder / name).is_file():
        return None
    path = folder / name
    record.check_table(path)
    with told_as_broken(path), no_panic():
        table = scan_parquet(path, free_memory() if units is None else None)
        if units is not None:
            first = table.collect_schema().names()[0]
            table = table.filter(pl.col(first).cast(pl.String).is_in(list(units)))
        return table.collect()


@contextmanager
def told_as_broken(path: Path) -> Iterator[None]:
    """Around what is done with a table: what goes wrong in it is an error that says how to go on.

    Raises:
        DataError: The table is not what it should be.
    """
    from tastebench.data.foreign import BROKEN

    try:
        yield
    except BROKEN as error:
        raise DataError(
            f"unreadable table: {error}",
            where=str(path),
            fix="remove its folder and run the plan again: everything else is kept",
        ) from error
