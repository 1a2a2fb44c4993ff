"""What the readers share: finding files, reading tables that name their bad rows, catalogues.

Polars reads the whole file at once; only when it fails is the file gone through again, slowly, to
say which rows are to blame. Row numbers count the file's lines from 1, as an editor shows them.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import polars as pl

from tastebench.data.card import RawFile
from tastebench.data.foreign import gunzip, no_panic, scan_parquet
from tastebench.errors import DataError
from tastebench.files import parse_json


def find(raw: Path, file: RawFile) -> Path | None:
    """Where `file` lies in the folder `raw`, under its own name or another; None if nowhere."""
    for name in (file.path, *file.also):
        if (raw / name).is_file():
            return raw / name
    return None


def need(raw: Path, file: RawFile) -> Path:
    """As `find`, but its absence is an error.

    Raises:
        DataError: It is not there.
    """
    path = find(raw, file)
    if path is None:
        names = " or ".join((file.path, *file.also))
        raise DataError(f"there is no {names}", where=str(raw), fix="give the folder that holds it")
    return path


def read_bytes(path: Path) -> bytes:
    """A file's content, unpacked if its name ends in `.gz`.

    Raises:
        DataError: The archive is cut off or damaged, or the file is empty.
    """
    try:
        content = gunzip(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, OSError) as error:
        raise _cut_off(path, error) from error
    if not content.strip():
        raise DataError("the file is empty", where=str(path), fix="get it again")
    return content


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """As `read_bytes`, decoded, with plain line feeds.

    Raises:
        DataError: Also if the bytes are not of this encoding; names the first line.
    """
    content = read_bytes(path)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"the text is not {encoding} (byte {content[error.start]:#04x})",
            where=f"{path}, row {line}",
            fix="get the original file again, or convert it to UTF-8",
        ) from error
    return text.replace("\r\n", "\n")


def read_delimited(
    source: Path | str,
    columns: Mapping[str, pl.DataType],
    *,
    path: Path,
    separator: str = ",",
    header: bool = True,
    quote: str | None = '"',
    needed: Sequence[str] = (),
) -> pl.DataFrame:
    """A delimited text file with the given columns, in the order of the file.

    Args:
        source: The file, or its text where it had to be mended first.
        columns: Column names and types: all of them without a header, those wanted with one.
        path: The file, for messages.
        separator: One character.
        header: Whether the first line names the columns.
        quote: Quotation mark; None where quotation marks are ordinary characters.
        needed: Columns that may not be empty.

    Raises:
        DataError: A column is missing, a row has too many fields, a value has another type, or a
            needed value is empty; names the rows.
    """
    options: dict[str, Any] = {
        "separator": separator,
        "has_header": header,
        "quote_char": quote,
        "null_values": "",
    }
    if header:
        options |= {"columns": list(columns), "schema_overrides": dict(columns)}
    else:
        options |= {"schema": dict(columns)}
    given = source if isinstance(source, Path) else io.StringIO(source)
    if isinstance(source, Path) and source.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="get it again")
    try:
        frame = pl.read_csv(given, **options).select(list(columns))
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        text = source if isinstance(source, str) else read_text(source)
        raise _explain_delimited(text, columns, path, options, error) from error
    refuse_empty(frame, needed, path, first=2 if header else 1)
    return frame


def refuse_empty(frame: pl.DataFrame, needed: Sequence[str], path: Path, first: int = 1) -> None:
    """Refuses nulls in the needed columns, naming their rows.

    Args:
        frame: As read, one row per line of the file.
        needed: Columns that may hold none.
        path: The file, for the message.
        first: Line of the file that row 0 stands on.

    Raises:
        DataError: There are some.
    """
    for column in needed:
        rows = frame[column].is_null().arg_true()
        if len(rows):
            raise bad_rows(path, (rows + first).to_list(), f"{column} is missing")


def read_json_lines(
    path: Path, columns: Mapping[str, pl.DataType], *, needed: Sequence[str] = ()
) -> pl.DataFrame:
    """One JSON object per line, also gzipped; only the given keys are read.

    A key that a line lacks is null there. Where a key holds a text in one line and a list in
    another, a text becomes a list of one, and a list of texts becomes its JSON.

    Raises:
        DataError: A line is not a JSON object, a value has another type, a needed value is missing,
            or the file is cut off; names the rows.
    """
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=str(path), fix="get it again")
    try:
        frame = pl.read_ndjson(path, schema=dict(columns))
    except OSError as error:
        raise _cut_off(path, error) from error
    except pl.exceptions.PolarsError:
        frame = _read_json_slowly(path, columns)
    if frame.is_empty():
        raise DataError("the file is empty", where=str(path), fix="get it again")
    if any(frame[column].null_count() for column in needed):
        # Blank lines are no rows, so the row of a record is looked up where it is to be named.
        numbers = [number for number, _ in lines(path)]
        for column in needed:
            bad = [numbers[row] for row in frame[column].is_null().arg_true()]
            if bad:
                raise bad_rows(path, bad, f"{column} is missing")
    return frame


def scan_table(path: Path, needed: Sequence[str]) -> pl.LazyFrame:
    """A table in Parquet, CSV or JSON lines, by the file's ending; read when it is collected.

    Columns of CSV are all text, those of the others have the file's types.

    Args:
        path: The file.
        needed: Columns that it must have; the others stay.

    Raises:
        DataError: A column is missing, or the file is cut off or of another form.
    """
    try:
        if path.suffix == ".parquet":
            frame = scan_parquet(path)
        elif path.suffix == ".csv":
            frame = pl.scan_csv(path, infer_schema=False)
        else:
            frame = pl.scan_ndjson(path, infer_schema_length=10_000)
        found = frame.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _cut_off(path, error) from error
    lacking = [column for column in needed if column not in found]
    if lacking:
        raise DataError(
            f"there is no column {', '.join(lacking)} (found: {', '.join(found)})",
            where=str(path),
            fix="give the file of the original release",
        )
    return frame


def collect(frame: pl.LazyFrame, path: Path) -> pl.DataFrame:
    """The rows of a scanned file, read in pieces, so that what is filtered out is never kept.

    Raises:
        DataError: The file is cut off, or a value has another type; `path` names it.
    """
    try:
        with no_panic():
            return frame.collect(engine="streaming")
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _cut_off(path, error) from error


def read_json(path: Path) -> Any:
    """One JSON value.

    Raises:
        DataError: It is not JSON, or cut off; names the line.
    """
    try:
        return parse_json(read_text(path))
    except ValueError as error:
        row = getattr(error, "lineno", None)
        raise DataError(
            f"this is not JSON: {getattr(error, 'msg', error)}",
            where=str(path) if row is None else f"{path}, row {row}",
            fix="the file is damaged or cut off: get it again",
        ) from error


def catalogue(interactions: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The items that somebody interacted with, as the published counts have it.

    Described items come first, in the order of their file (repeats included: what is dropped is
    counted later), then those without a description, in order of first appearance.

    Args:
        interactions: With `item_id`.
        items: With `item_id` and text columns; no rows where there is no such file.
    """
    seen = interactions.select(pl.col("item_id").unique(maintain_order=True))
    described = items.join(seen, on="item_id", how="semi", maintain_order="left")
    bare = seen.join(items, on="item_id", how="anti", maintain_order="left")
    return pl.concat([described, bare], how="diagonal")


def milliseconds(seconds: str = "time") -> pl.Expr:
    """A column of unix seconds as milliseconds."""
    return (pl.col(seconds) * 1000).alias("time")


def bad_rows(path: Path, rows: Sequence[int], what: str, fix: str | None = None) -> DataError:
    """The error that names the first bad rows of a file.

    Args:
        path: The file.
        rows: Line numbers from 1, ascending.
        what: What is wrong with them.
        fix: What to do; by default, to get or mend the file.
    """
    shown = ", ".join(f"{row:,}" for row in rows[:5])
    more = f" and {len(rows) - 5:,} more" if len(rows) > 5 else ""
    return DataError(
        f"{what} in {len(rows):,} row{'s' if len(rows) != 1 else ''}",
        where=f"{path}, row{'s' if len(rows) != 1 else ''} {shown}{more}",
        fix=fix or "get the original file again, or mend or remove these rows",
    )


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """The non-empty lines of a text file, also gzipped, with their numbers from 1.

    Raises:
        DataError: The file is not UTF-8, or cut off.
    """
    opener = cast(Callable[..., Iterable[bytes]], gzip.open if path.suffix == ".gz" else open)
    number = 0
    try:
        for number, line in enumerate(opener(path, "rb"), start=1):
            if line.strip():
                yield number, line.decode("utf-8")
    except (EOFError, zlib.error, OSError) as error:
        raise _cut_off(path, error) from error
    except UnicodeDecodeError as error:
        raise bad_rows(path, [number], "the text is not UTF-8") from error


def _read_json_slowly(path: Path, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Line by line, to mend mixed types and to find the lines that cannot be read."""
    values: dict[str, list[Any]] = {name: [] for name in columns}
    faults: dict[str, list[int]] = {}
    for number, line in lines(path):
        try:
            record = parse_json(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            faults.setdefault("no JSON object", []).append(number)
            continue
        for name, dtype in columns.items():
            try:
                values[name].append(_as(record.get(name), dtype))
            except (TypeError, ValueError):
                faults.setdefault(f"{name} is not {_word(dtype)}", []).append(number)
                values[name].append(None)
    for what, rows in faults.items():
        raise bad_rows(path, rows, what)
    return pl.DataFrame(values, schema=dict(columns))


def _as(value: Any, dtype: pl.DataType) -> Any:
    """A JSON value as the column's type."""
    if value is None:
        return None
    if isinstance(dtype, pl.List):
        return [str(v) for v in value] if isinstance(value, list) else [str(value)]
    if dtype == pl.String:
        return value if isinstance(value, str) else json.dumps(value)
    if dtype.is_integer():
        if int(value) != float(value):
            raise ValueError(value)
        return int(value)
    return float(value)


def _word(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "a whole number"
    return "a number" if dtype.is_float() else "text"


def _explain_delimited(
    text: str,
    columns: Mapping[str, pl.DataType],
    path: Path,
    options: Mapping[str, Any],
    error: Exception,
) -> DataError:
    """The error for a table that Polars could not read: missing column, bad value or bad row."""
    separator, header = options["separator"], options["has_header"]
    first = 2 if header else 1
    rows = text.splitlines()
    if not rows:
        return DataError("the file is empty", where=str(path), fix="get it again")
    if header:
        found = rows[0].replace('"', "").split(separator)
        lacking = [name for name in columns if name not in found]
        if lacking:
            return DataError(
                f"there is no column {', '.join(lacking)} (found: {', '.join(found)})",
                where=f"{path}, row 1",
                fix="check that this is the file of the original release",
            )
    loose: dict[str, Any] = {
        "separator": separator,
        "has_header": header,
        "quote_char": options["quote_char"],
        "null_values": "",
        "infer_schema": False,
    }
    try:
        frame = pl.read_csv(io.StringIO(text), **loose)
    except pl.exceptions.PolarsError:
        width = len(rows[0].split(separator)) if header else len(columns)
        wide = [i for i, row in enumerate(rows, 1) if row.count(separator) >= width]
        return bad_rows(path, wide, f"more than {width} fields") if wide else _opaque(path, error)
    if not header:
        if len(frame.columns) != len(columns):
            return DataError(
                f"{len(frame.columns)} columns where {len(columns)} belong",
                where=f"{path}, row 1",
                fix=f"the file has {', '.join(columns)}, separated by {separator!r}",
            )
        frame.columns = list(columns)
    for name, dtype in columns.items():
        cast_to = frame[name].cast(dtype, strict=False)
        wrong = (cast_to.is_null() & frame[name].is_not_null()).arg_true()
        if len(wrong):
            what = f"{name} is not {_word(dtype)} ({frame[name][int(wrong[0])]!r})"
            return bad_rows(path, (wrong + first).to_list(), what)
    return _opaque(path, error)


def _opaque(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the file cannot be read: {_first_line(error)}",
        where=str(path),
        fix="get the original file again",
    )


def _cut_off(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the file is cut off or damaged: {_first_line(error)}",
        where=str(path),
        fix="get it again",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
