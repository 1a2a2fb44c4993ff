"""Canonical tables: what is coerced, what is refused and how it is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from tastebench.data.schema import SCHEMA, Tables, validate
from tastebench.errors import DataError

ITEMS = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["A", None, "C"]})
CLICKS = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "c"], "time": [5, 7]})


def test_canonical_columns_come_first_and_missing_ones_are_added() -> None:
    clicks = validate(Tables(ITEMS, CLICKS.with_columns(extra=1)), "shop").interactions
    assert clicks is not None
    assert clicks.columns == [*SCHEMA["interactions"], "extra"]
    assert clicks["rating"].to_list() == [None, None]
    assert clicks["label"].dtype == pl.Int8
    assert clicks["row"].to_list() == [0, 1]


def test_defaults_of_queries_and_relevance() -> None:
    tables = validate(
        Tables(
            ITEMS,
            queries=pl.DataFrame({"query_id": [1], "text": ["mug"]}),
            relevance=pl.DataFrame({"query_id": [1], "item_id": ["a"]}),
        ),
        "shop",
    )
    assert tables.queries is not None
    assert tables.queries.rows() == [("1", "mug", "all")]
    assert tables.relevance is not None
    assert tables.relevance.rows() == [("1", "a", 1.0)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], ["1", "2", "3"]),
        ([1.0, 2.0, 17.0], ["1", "2", "17"]),
        (pl.Series(["x", "y", "z"], dtype=pl.Categorical), ["x", "y", "z"]),
        (["007", " b", "é"], ["007", " b", "é"]),
    ],
)
def test_ids_become_text(values: Any, expected: list[str]) -> None:
    items = validate(Tables(pl.DataFrame({"item_id": values})), "shop").items
    assert items["item_id"].to_list() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["5", " -7 "], [5, -7]),
        ([946684800000.0, -1.0], [946684800000, -1]),  # twelve digits, and before 1970
        ([date(1970, 1, 2), date(1969, 12, 31)], [86_400_000, -86_400_000]),
        ([datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)] * 2, [1000, 1000]),
        ([None, None], [None, None]),
        (["", ""], [None, None]),
    ],
)
def test_times_become_milliseconds(values: list[Any], expected: list[int | None]) -> None:
    clicks = CLICKS.with_columns(time=pl.Series(values))
    tables = validate(Tables(ITEMS, clicks), "shop")
    assert tables.interactions is not None
    assert tables.interactions["time"].dtype == pl.Int64
    assert tables.interactions["time"].to_list() == expected


@pytest.mark.parametrize(
    ("series", "dtype", "expected"),
    [
        (pl.Series([1, None, 3], dtype=pl.UInt8), pl.Int64, [1, None, 3]),
        (pl.Series([1.5, None, 3], dtype=pl.Float32), pl.Float64, [1.5, None, 3]),
        (pl.Series(["1.5", None, "3"]).cast(pl.Decimal(10, 2)), pl.Float64, [1.5, None, 3]),
        (pl.Series([True, None, False]), pl.Boolean, [True, None, False]),
        (pl.Series(["x", None, "y"], dtype=pl.Categorical), pl.String, ["x", None, "y"]),
        (pl.Series([None, None, None]), pl.String, [None, None, None]),
        (pl.Series([[1, 2], None, []]), pl.List(pl.String), [["1", "2"], None, []]),
        (pl.Series([date(2024, 1, 31)] * 3), pl.String, ["2024-01-31"] * 3),
        (pl.Series([{"a": 1}] * 3), pl.String, ['{"a":1}'] * 3),
    ],
)
def test_attributes_take_one_of_five_forms(
    series: pl.Series, dtype: pl.DataType, expected: list[Any]
) -> None:
    items = validate(Tables(ITEMS.with_columns(x=series)), "shop").items
    assert items["x"].dtype == dtype
    assert items["x"].to_list() == expected


def clicks(**columns: Any) -> Tables:
    return Tables(ITEMS, CLICKS.with_columns(**{k: pl.Series(v) for k, v in columns.items()}))


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        (
            Tables(ITEMS.rename({"item_id": "itemid"})),
            r"items has no column item_id \(found: itemid, title\)(.|\n)*did you mean itemid",
        ),
        (Tables(ITEMS.clear()), "there are no items"),
        (
            Tables(pl.concat([ITEMS, ITEMS[:1]])),
            r"item_id of items repeats: row 1 \('a'\), row 4 \('a'\)",
        ),
        (Tables(ITEMS.with_columns(item_id=pl.Series(["a", "", "c"]))), "item_id is empty: row 2"),
        (Tables(ITEMS.with_columns(item_id=pl.Series(["a", None, "c"]))), "item_id is empty"),
        (
            Tables(ITEMS.with_columns(item_id=pl.Series([1.0, 2.5, 3.0]))),
            r"not a whole number: row 2 \(2.5\)",
        ),
        (clicks(item_id=["a", "zz"]), r"item_id of interactions is not in items: row 2 \('zz'\)"),
        (clicks(time=["5", "soon"]), r"time cannot be read as a whole number: row 2 \('soon'\)"),
        (clicks(time=[5, None]), "time is missing in some rows but not in all: row 2"),
        (clicks(time=[5.0, 7.5]), r"time is not a whole number: row 2 \(7.5\)"),
        (clicks(rating=["4", "good"]), r"rating cannot be read as a number: row 2 \('good'\)"),
        (clicks(rating=[4.0, float("inf")]), "rating is not finite: row 2"),
        (clicks(label=[1, 2]), r"label is neither 0 nor 1: row 2 \(2\)"),
        (clicks(label=[1, 1000]), "label cannot be read as a whole number: row 2"),
        (
            Tables(ITEMS, queries=pl.DataFrame({"query_id": ["q"], "text": [None]})),
            "text is empty: row 1",
        ),
        (
            Tables(ITEMS, relevance=pl.DataFrame({"query_id": ["q"], "item_id": ["a"]})),
            "relevance needs a table queries",
        ),
        (
            Tables(
                ITEMS,
                queries=pl.DataFrame({"query_id": ["q"], "text": ["t"]}),
                relevance=pl.DataFrame({"query_id": ["q"], "item_id": ["a"], "grade": [-1.0]}),
            ),
            "grade is not a number from 0 on: row 1",
        ),
        (
            Tables(
                ITEMS,
                CLICKS,
                split=pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "part": ["dev"]}),
            ),
            r"part is none of train, valid, test: row 1 \('dev'\)",
        ),
        (
            Tables(ITEMS.with_columns(x=pl.Series([[[1]], [[2]], [[3]]]))),
            "column x has the type",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_table_column_and_row(
    tables: Tables, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        validate(tables, "shop")
    assert "shop" in str(caught.value)
    assert caught.value.fix


def test_only_the_first_rows_are_shown() -> None:
    many = pl.DataFrame({"user_id": ["u"] * 9, "item_id": ["zz"] * 9})
    with pytest.raises(DataError, match=r"row 5 \('zz'\) and 4 more rows"):
        validate(Tables(ITEMS, many), "shop")


def test_an_array_name_is_a_plain_word() -> None:
    with pytest.raises(ValueError, match="plain word"):
        validate(Tables(ITEMS, arrays={"../x": ITEMS["item_id"].to_numpy()}), "shop")
