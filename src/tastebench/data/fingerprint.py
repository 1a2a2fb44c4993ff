"""The fingerprint of tables: a SHA-256 over their values and nothing else.

What counts is every value, its kind (text, integer, number, truth value, list of texts), which are
missing, the order of rows and the names of tables and columns. What does not count is how Parquet
encodes them, the order of columns, the platform's byte order, or how Polars cuts them into chunks.
Files are hashed a slice at a time, so that a table need not fit into memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tastebench.files import hash_arrays

if TYPE_CHECKING:
    from hashlib import _Hash

    from tastebench.data.schema import Tables

_SLICE = 1 << 20  # rows joined into one text at a time: bounds the memory of a long text column
_READ = 1 << 17  # rows of a file in memory at a time

Slices = Callable[[], Iterable[pl.Series]]
"""A column from its beginning, in slices; called once for each look at it."""


def fingerprint(tables: Tables) -> str:
    """The SHA-256 of the values of all tables and arrays, 64 hex digits.

    Args:
        tables: Canonical tables, as `tastebench.data.schema.validate` returns them.
    """
    digest = hashlib.sha256(b"tastebench tables 1")
    for name, frame in sorted(tables.frames()):
        _text(digest, f"table {name} {len(frame)}")
        _frame(digest, frame)
    _arrays(digest, tables.arrays)
    return digest.hexdigest()


def file_fingerprint(files: Mapping[str, Path], arrays: Mapping[str, np.ndarray]) -> str:
    """The same of tables in Parquet files, read in slices of bounded size. Needs pyarrow.

    Args:
        files: Table to its one file, with canonical columns.
        arrays: The dataset's other arrays.
    """
    from pyarrow.parquet import ParquetFile

    digest = hashlib.sha256(b"tastebench tables 1")
    for name in sorted(files):
        with ParquetFile(files[name]) as file:
            _text(digest, f"table {name} {file.metadata.num_rows}")
            for column, dtype in sorted(pl.read_parquet_schema(files[name]).items()):
                _text(digest, column)
                _column(digest, dtype, lambda f=file, c=column: _slices(f, c))  # type: ignore[misc]
    _arrays(digest, arrays)
    return digest.hexdigest()


def frame_fingerprint(frame: pl.DataFrame) -> str:
    """The same of one frame in canonical types, 64 hex digits."""
    digest = hashlib.sha256(f"tastebench frame 1 {len(frame)}".encode())
    _frame(digest, frame)
    return digest.hexdigest()


def _slices(file: Any, column: str) -> Iterator[pl.Series]:
    for batch in file.iter_batches(batch_size=_READ, columns=[column]):
        frame = pl.from_arrow(batch)
        assert isinstance(frame, pl.DataFrame)
        yield frame[column]


def _frame(digest: _Hash, frame: pl.DataFrame) -> None:
    for column in sorted(frame.columns):
        _text(digest, column)
        _column(digest, frame[column].dtype, lambda c=column: [frame[c]])  # type: ignore[misc]


def _arrays(digest: _Hash, arrays: Mapping[str, np.ndarray]) -> None:
    for key in sorted(arrays):
        _text(digest, f"array {key} {hash_arrays(arrays[key])}")


def _column(digest: _Hash, dtype: pl.DataType, slices: Slices) -> None:
    _bits(digest, (part.is_null().to_numpy() for part in slices()))
    if dtype == pl.String:
        _text(digest, "text")
        _strings(digest, slices)
    elif isinstance(dtype, pl.List):
        _text(digest, "list of text")
        for part in slices():
            _array(digest, part.list.len().fill_null(0).cast(pl.Int64).to_numpy())
        _bits(digest, (_inner(part).is_null().to_numpy() for part in slices()))
        _strings(digest, lambda: map(_inner, slices()))
    elif dtype == pl.Boolean:
        _text(digest, "truth value")
        _bits(digest, (part.fill_null(False).to_numpy() for part in slices()))
    elif dtype.is_integer():
        _text(digest, "integer")
        for part in slices():
            _array(digest, part.fill_null(0).cast(pl.Int64).to_numpy())
    elif dtype.is_float():
        _text(digest, "number")
        for part in slices():
            values = part.fill_null(0.0).cast(pl.Float64).to_numpy()
            # One bit pattern for every NaN, and one zero.
            _array(digest, np.where(np.isnan(values), np.nan, values + 0.0))
    else:
        raise TypeError(f"a column of type {dtype} is not canonical")


def _inner(series: pl.Series) -> pl.Series:
    """The texts in lists. A null list explodes to one null, an empty one to nothing we want."""
    return series.filter(series.list.len().fill_null(0) > 0).explode()


def _strings(digest: _Hash, slices: Slices) -> None:
    for part in slices():
        _array(digest, part.fill_null("").str.len_bytes().cast(pl.Int64).to_numpy())
    for part in slices():
        filled = part.fill_null("")
        for start in range(0, len(filled), _SLICE):
            digest.update(filled.slice(start, _SLICE).str.join("").item().encode())


def _bits(digest: _Hash, masks: Iterable[np.ndarray]) -> None:
    """Eight truth values a byte, as one run, however they are cut."""
    rest = np.empty(0, dtype=bool)
    for mask in masks:
        whole = np.concatenate([rest, mask])
        full = len(whole) - len(whole) % 8
        _array(digest, np.packbits(whole[:full]))
        rest = whole[full:]
    _array(digest, np.packbits(rest))


def _array(digest: _Hash, array: np.ndarray) -> None:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(little).data)


def _text(digest: _Hash, text: str) -> None:
    encoded = text.encode()
    digest.update(len(encoded).to_bytes(8, "little") + encoded)
