"""Files that may come from anybody, read within bounds.

A few bytes can ask for any amount of memory: a gzip stream unpacks to a thousand times its size, a
Parquet file says of itself how much it holds. So sizes are looked up or counted before anything is
kept, and what would take more than this machine has free is refused. What a library does not expect
of a file, down to a panic of its own, ends as the error for a broken file.

What is left: a Parquet page says its own size as 32 bits, so that one that lies takes 2 GiB.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

_MAGIC = b"PAR1"
_FOOTER = 1 << 28
"""Bytes of a Parquet file's own description that are read at most."""
_DEEPEST = 64
_VALUE = 16
"""Bytes that a value takes in memory, about: a view of a text or a number with its mask."""
_CHUNK = 1 << 20

BROKEN = (pl.exceptions.PolarsError, OSError)
"""What the readers of tables here raise for a file that is none."""


def free_memory() -> int:
    """Bytes that may be filled with what somebody else's file holds: half of what is free."""
    import psutil

    return int(psutil.virtual_memory().available) // 2


def gunzip(content: bytes, most: int | None = None) -> bytes:
    """The unpacked content of gzip data, also of several streams end to end.

    Args:
        content: The data.
        most: Bytes it may unpack to; None for what the memory allows.

    Raises:
        OSError: It is damaged, or unpacks to more.
        EOFError: It is cut off.
    """
    most = free_memory() if most is None else most
    out = io.BytesIO()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            while chunk := file.read(_CHUNK):
                out.write(chunk)
                if out.tell() > most:
                    raise OSError(f"it unpacks to more than {most:,} bytes")
    except zlib.error as error:
        raise OSError(str(error)) from error
    return out.getvalue()


def read_parquet(
    source: Path | bytes, columns: Sequence[str] | None = None, most: int | None = None
) -> pl.DataFrame:
    """A Parquet file as a table.

    Args:
        source: The file, or its content.
        columns: Those to read; None for all.
        most: Bytes it may take in memory; None for what the memory allows.

    Raises:
        OSError, PolarsError: It cannot be read, or takes more; `BROKEN` has both.
    """
    check_parquet(source, most)
    with no_panic():
        given = io.BytesIO(source) if isinstance(source, bytes) else source
        return pl.read_parquet(given, columns=None if columns is None else list(columns))


def scan_parquet(path: Path, most: int | None = None) -> pl.LazyFrame:
    """A Parquet file as a table to be read when it is collected, under `no_panic`.

    Args:
        path: The file.
        most: Bytes that all of it may take in memory; None for no bound, where it is read in
            pieces.

    Raises:
        OSError, PolarsError: It cannot be read, or takes more.
    """
    if most is not None:
        check_parquet(path, most)
    with no_panic():
        return pl.scan_parquet(path)


@contextmanager
def no_panic() -> Iterator[None]:
    """Around Polars at work on a foreign file: what it did not expect is an error like others.

    Raises:
        PolarsError: Instead of a panic, or of the exceptions of Python that Polars lets through.
    """
    try:
        yield
    except BROKEN:
        raise
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise pl.exceptions.ComputeError(_told(error)) from error
    except BaseException as error:
        # A panic is no Exception, so that nothing swallows it by mistake; here it is about a file.
        if type(error).__name__ != "PanicException":
            raise
        raise pl.exceptions.ComputeError(f"it makes no sense to Polars: {_told(error)}") from error


def _told(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def check_parquet(source: Path | bytes, most: int | None = None) -> None:
    """Refuses a Parquet file that takes too much memory, by what it says of its columns.

    Raises:
        OSError: It cannot be read.
        PolarsError: It is no Parquet file, or takes more than `most` bytes (None: than are free).
    """
    most = free_memory() if most is None else most
    try:
        size = _declared(_footer(source))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise pl.exceptions.ComputeError(f"it is no Parquet file: {_told(error)}") from error
    if size > most:
        raise pl.exceptions.ComputeError(
            f"it takes about {size:,} bytes of memory, and {most:,} may be taken"
        )


def _footer(source: Path | bytes) -> bytes:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        if end < 12:
            raise ValueError("it is too short")
        file.seek(end - 8)
        tail = file.read(8)
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or length > min(end - 8, _FOOTER):
            raise ValueError("its end is not that of one")
        file.seek(end - 8 - length)
        return file.read(length)


def _declared(footer: bytes) -> int:
    """Bytes that all columns take once they are read, as the file's description has it.

    Fields of FileMetaData (parquet.thrift): 4 row groups, in each 1 columns, in each 3 meta data;
    there 5 is the number of values and 6 the bytes of its pages unpacked.
    """
    groups = _Compact(footer).struct().get(4, [])
    total = 0
    for group in groups:
        for column in group[1]:
            about = column.get(3, {})
            total += max(0, about.get(6, 0)) + _VALUE * max(0, about.get(5, 0))
    return total


class _Compact:
    """Thrift's compact protocol, as far as a Parquet footer needs it: numbers, lists, structs."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The fields of a struct by number."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deep")
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._zigzag()
            found[field] = self._value(head & 15, depth, in_list=False)
        return found

    def _value(self, kind: int, depth: int, *, in_list: bool) -> Any:
        """A value; texts are passed over and are None."""
        value: Any = None
        if kind in (1, 2):  # a boolean is in the field's head, and a byte in a list
            value = self._byte() == 1 if in_list else kind == 1
        elif kind == 3:
            value = self._byte()
        elif kind in (4, 5, 6):
            value = self._zigzag()
        elif kind in (7, 8):
            self._skip(8 if kind == 7 else self._varint())
        elif kind in (9, 10):
            value = self._list(depth)
        elif kind == 12:
            value = self.struct(depth + 1)
        else:
            raise ValueError(f"a field has the type {kind}")
        return value

    def _list(self, depth: int) -> list[Any]:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deep")
        head = self._byte()
        n = self._varint() if head >> 4 == 15 else head >> 4
        if n > len(self._data) - self._at:  # each takes a byte at least
            raise ValueError("a list is longer than the file")
        return [self._value(head & 15, depth + 1, in_list=True) for _ in range(n)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _skip(self, n: int) -> None:
        if n > len(self._data) - self._at:
            raise ValueError("a text is longer than the file")
        self._at += n

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ValueError("a number has no end")

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
