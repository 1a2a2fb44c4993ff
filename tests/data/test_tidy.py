"""Repairs of public data: each is made once, counted, and refused where it would hide a mistake."""

from __future__ import annotations

import polars as pl
import pytest

from tastebench.data.schema import Tables, validate
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

ITEMS = pl.DataFrame({"item_id": ["a", "b", "a"], "title": ["first", "B", "second"]})


def test_every_repair_by_hand() -> None:
    tables, counts = tidy(
        Tables(
            ITEMS,
            pl.DataFrame(
                {
                    "user_id": list("uuvvw"),
                    "item_id": ["a", "zz", "b", "a", "b"],
                    "time": [5, 6, -7, None, 8],
                }
            ),
            histories=pl.DataFrame({"user_id": ["u", "v"], "item_ids": [["a", "zz"], ["zz", "b"]]}),
            queries=pl.DataFrame({"query_id": ["q", "r", "q"], "text": ["mug", " ", "cup"]}),
            relevance=pl.DataFrame(
                {
                    "query_id": ["q", "q", "r", "q", "q"],
                    "item_id": ["a", "b", "a", "zz", "a"],
                    "grade": [1.0, 1, 1, 1, 0],
                }
            ),
            split=pl.DataFrame(
                {"user_id": ["u", "u"], "item_id": ["a", "zz"], "part": ["test"] * 2}
            ),
        ),
        "shop",
    )
    assert counts == {
        "empty queries dropped": 1,
        "repeated items dropped": 1,
        "repeated queries dropped": 1,
        "repeated relevance dropped": 1,
        "interactions of unknown items dropped": 1,
        "relevance of unknown items dropped": 1,
        "relevance of unknown queries dropped": 1,
        "split of unknown items dropped": 1,
        "interactions without a time dropped": 1,
        "history items of unknown items dropped": 2,
        "interactions before 1970 kept": 1,
    }
    assert tables.items["title"].to_list() == ["first", "B"]
    assert tables.interactions is not None
    assert tables.interactions["row"].to_list() == [0, 2, 4]
    assert tables.histories is not None
    assert tables.histories["item_ids"].to_list() == [["a"], ["b"]]
    assert tables.relevance is not None
    assert tables.relevance.rows() == [("q", "a", 1.0), ("q", "b", 1.0)]
    again, nothing = tidy(tables, "shop")
    assert nothing == {"interactions before 1970 kept": 1}
    assert validate(again, "shop").items.equals(tables.items)


def test_clean_tables_are_left_alone() -> None:
    clean = Tables(ITEMS[:2], pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}))
    tables, counts = tidy(clean, "shop")
    assert counts == {}
    assert tables.items.equals(ITEMS[:2])


def test_where_most_items_are_unknown_the_tables_do_not_belong_together() -> None:
    clicks = pl.DataFrame({"user_id": list("uvw"), "item_id": ["A", "B", "a"]})
    with pytest.raises(DataError, match=r"e\.g\. 'A', 'B'; items has e\.g\. 'a', 'b'") as caught:
        tidy(Tables(ITEMS, clicks), "shop")
    assert "shop, table interactions, column item_id" in str(caught.value)
    half = pl.DataFrame({"user_id": list("uv"), "item_id": ["A", "a"]})
    assert tidy(Tables(ITEMS, half), "shop")[1]["interactions of unknown items dropped"] == 1


def test_where_most_times_are_missing_none_is_dropped() -> None:
    clicks = pl.DataFrame(
        {"user_id": list("uvw"), "item_id": ["a", "b", "a"], "time": [None, None, 3]}
    )
    tables, counts = tidy(Tables(ITEMS, clicks), "shop")
    assert counts == {"repeated items dropped": 1}
    with pytest.raises(DataError, match="time is missing in some rows but not in all"):
        validate(tables, "shop")
