"""A user's file as a table: CSV, TSV, JSON lines, JSON or Parquet, gzipped or not.

Text formats are read as text throughout, so that the id "007" stays what it is. Polars reads the
file at once; only when it fails is the file gone through again, slowly, to say which rows are to
blame. Row numbers are those a spreadsheet or an editor shows: the header of a CSV is row 1.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from tastebench.data.foreign import BROKEN, gunzip, read_parquet
from tastebench.errors import DataError, UsageError, counted, did_you_mean
from tastebench.files import parse_json

BadRows = Literal["error", "drop"]

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}

_SPREADSHEETS = {".xlsx", ".xls", ".ods", ".numbers"}


@dataclass(frozen=True, eq=False)
class RawTable:
    """A file as read.

    Attributes:
        frame: The file's columns by their own names; empty cells are null.
        rows: Row number in the file of each row of `frame`, int64.
        skipped: Row numbers of rows that could not be read and were left out.
        how: How it was read: format, and delimiter and encoding of a text file.
    """

    path: Path
    frame: pl.DataFrame
    rows: np.ndarray
    skipped: tuple[int, ...] = ()
    how: dict[str, str] = field(default_factory=dict)


def read_table(
    path: Path,
    *,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    bad_rows: BadRows = "error",
) -> RawTable:
    """Reads a file by the ending of its name.

    A CSV row with fewer fields than the header has nothing in the last ones; a row with more, or
    with text after a closing quotation mark, cannot be read.

    Args:
        path: A `.csv`, `.tsv`, `.jsonl`, `.json` or `.parquet` file; text may end in `.gz` as well.
        encoding: Of text files.
        delimiter: Of CSV; None takes the one the header holds most of.
        bad_rows: What to do with rows that cannot be read: refuse the file or leave them out.

    Raises:
        DataError: It is not there, empty, cut off, of another encoding, or has unreadable rows.
        UsageError: The ending is none of ours, or there is no such encoding.
    """
    path = Path(path).expanduser()
    kind = _kind(path)
    content = _content(path)
    if kind == "parquet":
        table = RawTable(path, *_parquet(path, content), how={"format": kind})
    else:
        text = _as_utf8(content, encoding, path)
        if kind in ("csv", "tsv"):
            delimiter = delimiter or ("\t" if kind == "tsv" else _delimiter(text))
            parts = _delimited(text, delimiter, path, bad_rows)
            how = {"format": kind, "delimiter": delimiter, "encoding": encoding}
        else:
            is_array = kind == "json" and text.lstrip()[:1] == b"["
            parts = _json_array(text, path) if is_array else _json_lines(text, path, bad_rows)
            how = {"format": "json" if is_array else "json lines", "encoding": encoding}
        table = RawTable(path, *parts, how=how)
    if table.frame.is_empty():
        raise DataError("the file has no rows", where=str(path), fix="check the file")
    return table


def _kind(path: Path) -> str:
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    ending = endings[-2] if endings[-1:] == [".gz"] and len(endings) > 1 else (endings or [""])[-1]
    if path.is_dir():
        raise DataError("this is a folder, not a file", where=str(path), fix="name a file in it")
    if ending in _SPREADSHEETS:
        raise UsageError(
            f"{path.name} is a spreadsheet", where=str(path), fix="save it as CSV and give that"
        )
    if ending not in _FORMATS:
        raise UsageError(
            f"cannot tell the format of {path.name}",
            where=str(path),
            fix=f"name it {', '.join(f'*{e}' for e in _FORMATS)}, text formats also with .gz",
        )
    return _FORMATS[ending]


def _content(path: Path) -> bytes:
    if not path.is_file():
        others = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, others)
        raise DataError(
            "there is no such file",
            where=str(path),
            fix=hint if hint.startswith("did") else "check the path",
        )
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gunzip(content)
    except (EOFError, OSError) as error:
        raise _damaged(path, error) from error
    if not content.strip():
        raise DataError("the file is empty", where=str(path), fix="check the file")
    return content


def _as_utf8(content: bytes, encoding: str, path: Path) -> bytes:
    """The text in the one encoding that everything below reads."""
    try:
        if encoding.lower().replace("-", "") != "utf8":
            return content.decode(encoding).encode()
        content.decode()
        return content.removeprefix(b"\xef\xbb\xbf")
    except LookupError:
        raise UsageError(
            f"there is no encoding {encoding!r}", fix="try utf-8, latin-1, cp1252 or utf-16"
        ) from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        row = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"the file is not {encoding}: byte {content[start]:#04x} at offset {start:,}",
            where=f"{path}, row {row:,}",
            fix=f"--encoding {_guess(content)}",
        ) from error


def _guess(content: bytes) -> str:
    """The likeliest encoding of text that is not what was said."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        # Bytes 0x80-0x9f are letters and quotation marks in Windows text, controls in latin-1.
        return "cp1252" if any(0x80 <= byte < 0xA0 for byte in content) else "latin-1"
    return "utf-8"


# ---------------------------------------------------------------------------------------- formats

Parts = tuple[pl.DataFrame, np.ndarray, tuple[int, ...]]


def _parquet(path: Path, content: bytes) -> Parts:
    try:
        frame = read_parquet(content)
    except BROKEN as error:
        raise _damaged(path, error) from error
    return frame, np.arange(1, len(frame) + 1), ()


def _delimiter(text: bytes) -> str:
    header = text.split(b"\n", 1)[0].decode()
    return max(",;\t|", key=header.count)


def _delimited(text: bytes, delimiter: str, path: Path, bad_rows: BadRows) -> Parts:
    try:
        frame = pl.read_csv(text, separator=delimiter, infer_schema=False)
        rows = np.arange(2, len(frame) + 2)
        skipped: tuple[int, ...] = ()
    except pl.exceptions.PolarsError:
        frame, rows, skipped = _delimited_slowly(text, delimiter, path)
        if skipped and bad_rows == "error":
            raise _unreadable(
                path,
                skipped,
                f"more than {len(frame.columns)} fields",
                " (a delimiter within a field needs quotation marks around the field)",
            ) from None
    names = [name.strip() for name in frame.columns]
    if len(set(names)) < len(names):
        raise _named_twice(path)
    frame.columns = names
    full = ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    return frame.filter(full), rows[full.to_numpy()], skipped


def _delimited_slowly(text: bytes, delimiter: str, path: Path) -> Parts:
    """Row by row: the readable ones, and the numbers of those with more fields than the header."""
    reader = csv.reader(io.StringIO(text.decode(), newline=""), delimiter=delimiter, strict=True)
    records: list[list[str | None]] = []
    rows: list[int] = []
    skipped: list[int] = []
    header: list[str] | None = None
    while True:
        row = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if "end of data" in str(error):
                raise DataError(
                    "a quotation mark is opened and never closed",
                    where=f"{path}, row {row:,}",
                    fix="close it, or double the quotation marks within a field",
                ) from error
            skipped.append(row)
            continue
        if header is None:
            header = record
        elif len(record) > len(header):
            skipped.append(row)
        else:
            missing = len(header) - len(record)
            records.append([value or None for value in record + [""] * missing])
            rows.append(row)
    if not header or len(set(header)) < len(header):
        raise _named_twice(path)
    frame = pl.DataFrame(records, schema=dict.fromkeys(header, pl.String), orient="row")
    return frame, np.array(rows, dtype=np.int64), tuple(skipped)


def _json_lines(text: bytes, path: Path, bad_rows: BadRows) -> Parts:
    try:
        frame = pl.read_ndjson(text, infer_schema_length=None)
        lines = np.array([line for line, body in _lines(text) if body.strip()], dtype=np.int64)
        if len(lines) == len(frame):
            return frame, lines, ()
    except pl.exceptions.PolarsError:
        pass  # gone through line by line below, which says what is wrong
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    skipped: list[int] = []
    for line, body in _lines(text):
        if not body.strip():
            continue
        try:
            record = parse_json(body)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append(record)
            rows.append(line)
        else:
            skipped.append(line)
    if skipped and bad_rows == "error":
        raise _unreadable(path, skipped, "no JSON object")
    return _from_records(records), np.array(rows, dtype=np.int64), tuple(skipped)


def _lines(text: bytes) -> Iterable[tuple[int, bytes]]:
    return enumerate(text.split(b"\n"), start=1)


def _json_array(text: bytes, path: Path) -> Parts:
    try:
        records = parse_json(text)
    except ValueError as error:
        row = getattr(error, "lineno", None)
        raise DataError(
            f"this is not JSON: {getattr(error, 'msg', error)}",
            where=str(path) if row is None else f"{path}, row {row:,}",
            fix="mend the file; it may be cut off",
        ) from error
    bad = [i for i, record in enumerate(records, start=1) if not isinstance(record, dict)]
    if bad:
        raise _unreadable(path, bad, "no JSON object")
    return _from_records(records), np.arange(1, len(records) + 1), ()


def _from_records(records: list[dict[str, Any]]) -> pl.DataFrame:
    """Records whose values may differ in type from one to the next: then they are all text."""
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = []
    for name in names:
        values = [record.get(name) for record in records]
        try:
            columns.append(pl.Series(name, values, strict=True))
        except (TypeError, pl.exceptions.PolarsError):
            columns.append(pl.Series(name, [_as_text(value) for value in values], dtype=pl.String))
    return pl.DataFrame(columns)


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _unreadable(path: Path, rows: Iterable[int], what: str, hint: str = "") -> DataError:
    rows = list(rows)
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return DataError(
        f"{counted(len(rows), 'row')} cannot be read: {what}",
        where=f"{path}, row {', '.join(f'{row:,}' for row in rows[:5])}{more}",
        fix=f"mend these rows{hint}, or leave them out with --bad-rows drop",
    )


def _named_twice(path: Path) -> DataError:
    return DataError("the header names a column twice", where=f"{path}, row 1", fix="rename one")


def _damaged(path: Path, error: Exception) -> DataError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DataError(
        f"the file is cut off or damaged: {reason}", where=str(path), fix="get the file again"
    )
