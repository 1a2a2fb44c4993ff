"""Tables between Parquet files and Spark: read with the place of each row, written in order.

Every path must be the same folder on this machine and on Spark's executors: one machine, or a file
system that all of them mount. What was written is counted here and there, so that a folder which
only the executors see is an error and not an empty table.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.errors import DataError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_READ = 1 << 17  # rows in memory at a time, and in a row group
_PLAIN = re.compile(r"[\w.=-]+", re.ASCII)


def read(spark: SparkSession, files: Sequence[Path], place: str) -> DataFrame:
    """The rows of Parquet files, with their place: counted through the files from 0 on.

    Args:
        spark: The session.
        files: Of one table, in order, with the same columns.
        place: Name of the column that says the place, int64.

    Raises:
        DataError: A file is damaged, or has other columns than the first.
        UsageError: Several files, and one has a name that Spark would spell in another way.
    """
    from pyspark.sql import functions as sf

    sizes = [_rows(file, like=files[0]) for file in files]
    rows = spark.read.parquet(*map(_address, files))
    within = sf.col("_metadata.row_index")
    if len(files) == 1:
        return rows.select("*", within.alias(place))
    odd = next((file for file in files if not _PLAIN.fullmatch(file.name)), None)
    if odd is not None:
        raise UsageError(
            f"the file name {odd.name!r} has more than letters, digits, '.', '_', '-' and '='",
            where=str(odd.parent),
            fix="rename the file",
        )
    starts = [0, *accumulate(sizes[:-1])]
    # As SQL, since a frame of Python objects asks the executors for a Python. The names are plain.
    named = ", ".join(f"('{f.name}', {start}L)" for f, start in zip(files, starts, strict=True))
    first = sf.broadcast(spark.sql(f"select * from values {named} as t(_file, _first)"))  # noqa: S608
    placed = rows.select("*", within.alias("_within"), sf.col("_metadata.file_name").alias("_file"))
    placed = placed.join(first, "_file").withColumn(place, sf.col("_first") + sf.col("_within"))
    return placed.select(*rows.columns, place)


class Scratch:
    """A folder for what Spark has carried out so far.

    Args:
        spark: The session.
        folder: Empty, or not there; whoever made it deletes it.
    """

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self._folder = folder
        self._written = 0
        self._steps: dict[tuple[str, ...], Path] = {}
        self._last: tuple[DataFrame, int] | None = None

    def step(self, frame: DataFrame) -> tuple[DataFrame, int]:
        """The frame with its plan carried out, and its rows.

        Files rather than a checkpoint in memory: they outlive an executor, and say how large they
        are. The step before with the same columns is deleted.

        Args:
            frame: Made of the last step of some columns each, or of files that stay.
        """
        if self._last is not None and frame is self._last[0]:
            return self._last
        files, rows = self.write(frame)
        columns = tuple(frame.columns)
        before, self._steps[columns] = self._steps.get(columns), files[0].parent
        if before is not None:
            shutil.rmtree(before)
        self._last = self.again(files, frame), rows
        return self._last

    def again(self, files: Sequence[Path], frame: DataFrame) -> DataFrame:
        """What was written of a frame, in no order."""
        return self.spark.read.schema(frame.schema).parquet(*map(_address, files))

    def numbers(self, name: str, values: np.ndarray) -> DataFrame:
        """Integers as a frame with one column."""
        import pyarrow as pa
        from pyarrow.parquet import write_table

        self._written += 1
        path = self._folder / f"{self._written:04d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(pa.table({name: values.astype(np.int64)}), path)
        return self.spark.read.parquet(_address(path))

    def write(self, frame: DataFrame, order: Sequence[str] = ()) -> tuple[list[Path], int]:
        """Files of the frame, sorted by `order` from the first to the last, and all their rows.

        Raises:
            DataError: This machine does not see the files that the executors wrote.
        """
        from pyspark.sql import Observation
        from pyspark.sql import functions as sf

        self._written += 1
        folder = self._folder / f"{self._written:04d}"
        ordered = frame.orderBy(*order) if order else frame
        # Counted last of all: what a sort samples beforehand would be counted twice.
        there = Observation()
        counted = ordered.observe(there, sf.count(sf.lit(1)).alias("rows"))
        counted.write.parquet(_address(folder), compression="zstd")
        files = sorted(folder.glob("part-*.parquet"))
        here = sum(_rows(file) for file in files)
        if not files or here != there.get["rows"]:
            raise DataError(
                f"Spark wrote {there.get['rows']:,} rows and this machine sees {here:,} of them",
                where=str(folder),
                fix="set TASTEBENCH_HOME to a folder that this machine and all executors mount",
            )
        return files, here


def one_file(files: Sequence[Path], columns: Sequence[str], target: Path) -> None:
    """The rows of files, one after the other, as one: streamed, a slice in memory at a time."""
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile, ParquetWriter, read_schema

    written = read_schema(files[0]).remove_metadata()
    schema = pa.schema([written.field(name).remove_metadata() for name in columns])
    with ParquetWriter(target, schema, compression="zstd") as writer:
        for path in files:
            with ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_READ, columns=list(columns)):
                    table = pa.Table.from_batches([batch]).select(list(columns)).cast(schema)
                    writer.write_table(table, row_group_size=_READ)


def column(file: Path, name: str) -> np.ndarray:
    """One column of a Parquet file, without nulls."""
    from pyarrow.parquet import read_table

    values: np.ndarray = read_table(file, columns=[name])[name].to_numpy()
    return values


def _rows(file: Path, like: Path | None = None) -> int:
    """Rows of a Parquet file, whose columns are those of another."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        found = read_metadata(file)
        wanted = found if like in (None, file) else read_metadata(like)
    except (OSError, ArrowException) as error:
        raise DataError(
            f"the file is cut off, damaged or no Parquet: {(str(error).splitlines() or ['?'])[0]}",
            where=str(file),
            fix="get or make the file again",
        ) from error
    if _columns(found) != _columns(wanted):
        raise DataError(
            f"the columns are not those of {like.name if like else file.name}",
            where=str(file),
            fix="write all files of a table with the same columns and types",
        )
    rows: int = found.num_rows
    return rows


def _columns(metadata: Any) -> dict[str, Any]:
    schema = metadata.schema.to_arrow_schema()
    return {field.name: field.type for field in schema}


def _address(path: Path) -> str:
    # Without a scheme Spark would look on whatever file system is its default.
    return f"file://{path.resolve()}"
