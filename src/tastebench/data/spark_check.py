"""What `tastebench.data.schema.validate` asks of tables, asked by Spark of tables not in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

import polars as pl

from tastebench.data.prepare import PLACE
from tastebench.data.schema import KEYS, PARTS, SCHEMA, SHOWN, TableName, references, shown_rows
from tastebench.errors import DataError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_NAMES: dict[Any, str] = {
    pl.String: "string",
    pl.Int64: "bigint",
    pl.Int8: "tinyint",
    pl.Float64: "double",
    pl.Boolean: "boolean",
    pl.List(pl.String): "array<string>",
}


def canonical(frame: DataFrame, types: Mapping[str, pl.DataType], table: TableName) -> DataFrame:
    """The columns a dataset has, those that are not given filled as a dataset fills them.

    Args:
        frame: As read, with `PLACE`.
        types: From `tastebench.data.parquet_folder.canonical_types`.
        table: Which one it is.
    """
    from pyspark.sql import functions as sf

    columns = []
    for name, dtype in types.items():
        if name in frame.columns:
            column = sf.col(name)
        elif name == "row":
            column = sf.col(PLACE)
        else:
            column = sf.lit(SCHEMA[table][name].default)
        columns.append(column.cast(_NAMES[dtype]).alias(name))
    return frame.select(*columns, PLACE)


def check(tables: Mapping[TableName, DataFrame], where: str) -> None:
    """Refuses tables that are not canonical; the messages are those of `validate`.

    Args:
        tables: From `canonical`.
        where: The folder, for messages.

    Raises:
        DataError: A value is missing or wrong, a key repeats, a table names an item or a query that
            does not exist, or times are there for some rows only.
    """
    if not tables["items"].head(1):
        raise DataError("there are no items", where=where, fix="check the items file")
    for name, frame in tables.items():
        _check_rows(name, frame, f"{where}, table {name}")
    for name, key in KEYS.items():
        if name in tables:
            counted = tables[name].groupBy(*key).count().filter("count > 1").drop("count")
            _refuse(
                tables[name].join(counted, list(key), "semi"),
                key[0],
                f"{' + '.join(key)} of {name} repeats",
                f"{where}, table {name}",
                "give every row its own id, or keep the first of each",
            )
    for name, frame in tables.items():
        for column, other in references(name):
            if other not in tables:
                raise DataError(
                    f"{name} needs a table {other}", where=where, fix=f"provide {other}"
                )
            _refuse(
                frame.join(tables[other].select(column), column, "anti"),
                column,
                f"{column} of {name} is not in {other}",
                f"{where}, table {name}, column {column}",
                f"add the missing rows to {other} or leave these out of {name}",
            )


def _check_rows(name: TableName, frame: DataFrame, place: str) -> None:
    """What holds row by row: one look at the table, and another where something is wrong."""
    from pyspark.sql import functions as sf

    rules = list(_rules(name, frame.columns))
    bad = reduce(lambda a, b: a | b, (wrong for _, wrong, _, _ in rules))
    if frame.filter(bad).head(1):
        for column, wrong, what, fix in rules:
            _refuse(frame.filter(wrong), column, what, f"{place}, column {column}", fix)
    if "time" in SCHEMA[name]:
        counted = frame.agg(sf.count("time").alias("known"), sf.count(sf.lit(1)).alias("rows"))
        known, rows = counted.collect()[0]
        if 0 < known < rows:
            _refuse(
                frame.filter("time is null"),
                frame.columns[0],
                "time is missing in some rows but not in all",
                f"{place}, column time",
                "drop these rows, or leave the time column out",
            )


def _rules(name: TableName, columns: list[str]) -> Iterator[tuple[str, Column, str, str]]:
    """Column, what is wrong with a row, how that is said, and the fix."""
    from pyspark.sql import functions as sf

    mend, fill = "mend these values or drop the rows", "fill or drop these rows"
    for column, spec in SCHEMA[name].items():
        if not spec.nullable:
            yield column, sf.col(column).isNull(), f"{column} is empty", fill
    for column in [c for c in columns if c.endswith("_id") and c in SCHEMA[name]]:
        yield column, sf.col(column) == "", f"{column} is empty", fill
    wrong = {
        "label": (~sf.col("label").isin(0, 1), "is neither 0 nor 1"),
        "part": (~sf.col("part").isin(*PARTS), f"is none of {', '.join(PARTS)}"),
        "rating": (_not_finite("rating"), "is not finite"),
        "grade": (_not_finite("grade") | (sf.col("grade") < 0), "is not a number from 0 on"),
    }
    for column, (condition, what) in wrong.items():
        if column in SCHEMA[name]:
            yield column, condition, f"{column} {what}", mend


def _not_finite(column: str) -> Column:
    from pyspark.sql import functions as sf

    infinite = sf.abs(sf.col(column)) == float("inf")
    return sf.isnan(column) | infinite


def _refuse(bad: DataFrame, column: str, what: str, where: str, fix: str) -> None:
    """A `DataError` that shows the first of the bad rows, if there are any."""
    first = bad.select(PLACE, column).orderBy(PLACE).limit(SHOWN).collect()
    if first:
        shown = shown_rows([(place, value) for place, value in first], bad.count())
        raise DataError(f"{what}: {shown}", where=where, fix=fix)
