"""The fingerprint of tables: a SHA-256 over their values and nothing else.

What counts is every value, its kind (text, integer, number, truth value, list of texts), which are
missing, the order of rows and the names of tables and columns. What does not count is how Parquet
encodes them, the order of columns, the platform's byte order, or how Polars cuts them into chunks.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tastebench.files import hash_arrays

if TYPE_CHECKING:
    from hashlib import _Hash

    from tastebench.data.schema import Tables

_SLICE = 1 << 20  # rows joined into one text at a time: bounds the memory of a long text column


def fingerprint(tables: Tables) -> str:
    """The SHA-256 of the values of all tables and arrays, 64 hex digits.

    Args:
        tables: Canonical tables, as `tastebench.data.schema.validate` returns them.
    """
    digest = hashlib.sha256(b"tastebench tables 1")
    for name, frame in sorted(tables.frames()):
        _text(digest, f"table {name} {len(frame)}")
        _frame(digest, frame)
    for key in sorted(tables.arrays):
        _text(digest, f"array {key} {hash_arrays(tables.arrays[key])}")
    return digest.hexdigest()


def frame_fingerprint(frame: pl.DataFrame) -> str:
    """The same of one frame in canonical types, 64 hex digits."""
    digest = hashlib.sha256(f"tastebench frame 1 {len(frame)}".encode())
    _frame(digest, frame)
    return digest.hexdigest()


def _frame(digest: _Hash, frame: pl.DataFrame) -> None:
    for column in sorted(frame.columns):
        _text(digest, column)
        _column(digest, frame[column])


def _column(digest: _Hash, series: pl.Series) -> None:
    dtype = series.dtype
    _array(digest, np.packbits(series.is_null().to_numpy()))
    if dtype == pl.String:
        _text(digest, "text")
        _strings(digest, series)
    elif isinstance(dtype, pl.List):
        _text(digest, "list of text")
        _array(digest, series.list.len().fill_null(0).cast(pl.Int64).to_numpy())
        # A null list explodes to one null, an empty one to nothing we want: keep the full ones.
        inner = series.filter(series.list.len().fill_null(0) > 0).explode()
        _array(digest, np.packbits(inner.is_null().to_numpy()))
        _strings(digest, inner)
    elif dtype == pl.Boolean:
        _text(digest, "truth value")
        _array(digest, np.packbits(series.fill_null(False).to_numpy()))
    elif dtype.is_integer():
        _text(digest, "integer")
        _array(digest, series.fill_null(0).cast(pl.Int64).to_numpy())
    elif dtype.is_float():
        _text(digest, "number")
        values = series.fill_null(0.0).cast(pl.Float64).to_numpy()
        # One bit pattern for every NaN, and one zero.
        _array(digest, np.where(np.isnan(values), np.nan, values + 0.0))
    else:
        raise TypeError(f"column {series.name} of type {dtype} is not canonical")


def _strings(digest: _Hash, series: pl.Series) -> None:
    filled = series.fill_null("")
    _array(digest, filled.str.len_bytes().cast(pl.Int64).to_numpy())
    for start in range(0, len(filled), _SLICE):
        digest.update(filled.slice(start, _SLICE).str.join("").item().encode())


def _array(digest: _Hash, array: np.ndarray) -> None:
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    digest.update(np.ascontiguousarray(little).data)


def _text(digest: _Hash, text: str) -> None:
    encoded = text.encode()
    digest.update(len(encoded).to_bytes(8, "little") + encoded)
