"""What `--map` says, and what is found without it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.data.mapping import check_map, map_columns, parse_map
from tastebench.data.tables_io import RawTable
from tastebench.errors import DataError, UsageError


def raw(**columns: list[object]) -> RawTable:
    frame = pl.DataFrame(columns)
    return RawTable(Path("x.csv"), frame, np.arange(2, len(frame) + 2))


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        ("", {}),
        ("user=uid", {"user": "uid"}),
        (" user = uid ,items.item=sku,", {"user": "uid", "items.item": "sku"}),
        ("time=a=b", {"time": "a=b"}),
    ],
)
def test_parse_map(text: str, mapping: dict[str, str]) -> None:
    assert parse_map(text) == mapping


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user", "cannot read 'user'"),
        ("user=", "cannot read 'user='"),
        ("=uid", "cannot read '=uid'"),
        ("user=a,user=b", "says twice what user is"),
    ],
)
def test_a_map_that_cannot_be_read_is_said(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_map(text)


def test_ids_are_text_without_white_space_and_empty_ones_are_null() -> None:
    table = raw(uid=[" u ", "", None, "v"], sku=[1.0, 2.0, None, float("nan")])
    mapped = map_columns("interactions", table, {"user": "uid", "item": "sku"})
    assert mapped.frame["user_id"].to_list() == ["u", None, None, "v"]
    assert mapped.frame["item_id"].to_list() == ["1", "2", None, None]


def test_the_map_goes_before_the_name() -> None:
    table = raw(item_id=["wrong"], sku=["right"], user=["u"], extra=["x"])
    mapped = map_columns("interactions", table, {"item": "sku"})
    assert mapped.frame.rows() == [("u", "right")]
    assert mapped.unused == ("item_id", "extra")
    assert mapped.source("item_id") == "sku"


def test_other_columns_of_items_stay() -> None:
    mapped = map_columns("items", raw(item=["a"], color=["red"]), {})
    assert mapped.frame.to_dicts() == [{"item_id": "a", "color": "red"}]
    assert mapped.canonical == ("item_id",)


def test_a_column_of_the_named_file_only() -> None:
    read = {"items": raw(sku=["a"]), "interactions": raw(uid=["u"], product=["a"])}
    check_map({"items.item": "sku", "interactions.item": "product", "user": "uid"}, read)
    with pytest.raises(DataError, match=r"no such column \(found: sku\)"):
        check_map({"items.item": "product"}, read)
    with pytest.raises(DataError, match="no such column") as caught:
        check_map({"query": "qid"}, read)
    assert caught.value.fix == "give the file that holds it"
