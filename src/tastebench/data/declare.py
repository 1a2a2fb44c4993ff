"""Columns of an import that a model wrote: which, and from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from tastebench.data.cells import ImportOptions
from tastebench.data.dataset import Dataset
from tastebench.data.mapping import map_columns
from tastebench.data.provenance import Provenance
from tastebench.data.tables_io import read_table
from tastebench.data.times import read_times
from tastebench.errors import DataError, UsageError, counted, did_you_mean


def declare_written(
    dataset: Dataset,
    columns: Sequence[str],
    made_from: str | None,
    mapping: Mapping[str, str] | None = None,
    options: ImportOptions | None = None,
) -> Dataset:
    """The dataset with the word of whoever imports it that a model wrote some item columns.

    Args:
        dataset: As imported; its manifest takes a note of what was declared.
        columns: Item columns by their own or their canonical names.
        made_from: A time, before which all interactions lie that the text was made from; or a file
            with a row for each of them (user_id, item_id and, where there are times, time); None
            where nobody knows, and then no run that has a test part reads these columns.
        mapping: Meaning to column of that file, as for the interactions.
        options: How to read that file.

    Raises:
        UsageError: No such column.
        DataError: The file cannot be read, or none of its rows is an interaction.
    """
    options = options or ImportOptions()
    fields = tuple(f"items.{_column(dataset, column)}" for column in columns)
    cutoff = None if made_from is None else _time(made_from)
    rows, note = None, "it is not known from what, so no run with a test part will read it"
    if cutoff is not None:
        note = f"made from interactions before {_date(cutoff)}"
    elif made_from is not None:
        rows, note = _rows(dataset, Path(made_from), mapping or {}, options)
    made = Provenance(
        kind="item text",
        fields=fields,
        made_by="a model",
        source=dataset.fingerprint,
        cutoff=cutoff,
        rows=rows,
    )
    noted = f"{', '.join(fields)} was written by a model: {note}"
    found = dataset.manifest.get("import", {})
    manifest = {**dataset.manifest, "import": {**found, "notes": [*found.get("notes", []), noted]}}
    return replace(dataset, provenance=(*dataset.provenance, made), manifest=manifest)


def _column(dataset: Dataset, column: str) -> str:
    """The name in the items table of a column that may be given by its name in the file."""
    named = dataset.manifest.get("import", {}).get("files", {}).get("items", {}).get("columns", {})
    own = {source: name for name, source in named.items()}
    name = column if column in dataset.tables.items.columns else own.get(column)
    if name is None:
        known = [c for c in dataset.tables.items.columns if c != "item_id"]
        raise UsageError(
            f"--written-by-model {column}: the items have no such column "
            f"(found: {', '.join(known)})",
            fix=did_you_mean(column, known),
        )
    return name


def _time(text: str) -> int | None:
    """Milliseconds, if it is a time at all; a plain counter is none."""
    try:
        times = read_times(pl.Series([text]))
    except DataError:
        return None
    return None if times.unit == "order" else int(times.values[0])


def _date(milliseconds: int) -> str:
    return str(np.datetime64(milliseconds, "ms")).removesuffix("T00:00:00.000")


def _rows(
    dataset: Dataset, path: Path, mapping: Mapping[str, str], options: ImportOptions
) -> tuple[np.ndarray, str]:
    """The interactions that a file lists, and a sentence about them.

    Without times, and of a row whose time is none of its pair's, all interactions of the pair
    count: rather one too many than one too few.
    """
    frame = dataset.tables.interactions
    if frame is None:
        raise DataError("there are no interactions to find its rows in", where=str(path))
    raw = read_table(
        path, encoding=options.encoding, delimiter=options.delimiter, bad_rows=options.bad_rows
    )
    listed = map_columns("interactions", raw, mapping).frame
    keys = ["user_id", "item_id"]
    if "time" in listed.columns and not frame["time"].null_count():
        listed = listed.with_columns(time=read_times(listed["time"], options.time_unit).values)
        keys.append("time")
    rows, found = interactions_of(dataset, listed.select(keys))
    if "time" in keys and not found.all():
        # Of another time, perhaps rounded, or a repeat that was dropped: then by pair alone.
        more, known = interactions_of(dataset, listed.filter(~found).select(keys[:2]))
        rows = np.union1d(rows, more)
        found[~found] = known
    lost = len(found) - int(found.sum())
    if not found.any():
        raise DataError(
            f"none of its {counted(len(found), 'row')} is an interaction of {dataset.name} "
            f"by {', '.join(keys)}",
            where=str(path),
            fix="give the rows as they stand in the interactions file",
        )
    note = f"made from {counted(len(rows), 'interaction')}"
    if lost:
        note += f" ({counted(lost, 'row')} of {path.name} not among them)"
    return rows, note


def interactions_of(dataset: Dataset, listed: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The interactions that have the values of a listed row, in all its columns.

    Args:
        dataset: With interactions.
        listed: `user_id`, `item_id` and perhaps `time`.

    Returns:
        Their rows, int64, ascending; and for each listed row whether it has one, bool.
    """
    frame = dataset.tables.interactions
    assert frame is not None
    keys = listed.columns
    rows = frame.select(keys).with_row_index("at").join(listed, on=keys, how="semi")["at"]
    known = listed.with_row_index("at").join(frame, on=keys, how="semi")["at"]
    found = np.zeros(len(listed), dtype=bool)
    found[known.to_numpy()] = True
    return np.sort(rows.to_numpy().astype(np.int64)), found
