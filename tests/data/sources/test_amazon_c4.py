"""Amazon-C4: invented queries and products in the form of the release."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data.schema import Tables, validate
from tastebench.data.sources.amazon_c4 import AMAZON_C4
from tastebench.data.text import item_texts
from tastebench.errors import DataError

QUERIES = pl.DataFrame(
    {
        "qid": [0, 1],
        "query": ["I need a mug,\nnot a cup", 'A "quiet" fan'],
        "item_id": ["B1", "B3"],
        "user_id": ["AU", "AV"],
        "ori_rating": [5.0, 5.0],
        "ori_review": ["The Moss mug is the best", "Quiet"],
    }
)
POOL = [
    ("B1", "Home", "Moss mug. Holds tea."),
    ("B2", "Home", "Cup."),
    ("B3", "Electronics", "Fan. Quiet."),
]
RECORDS = [("B3", " Fan "), ("B1", "Moss mug"), ("B2", None), ("B9", "Not asked for")]


def put(folder: Path, kind: str = "csv", pool: str = "sampled_item_metadata_1M.jsonl") -> Path:
    path = folder / f"test.{kind}"
    if kind == "csv":
        QUERIES.write_csv(path)
    elif kind == "parquet":
        QUERIES.write_parquet(path)
    else:
        QUERIES.write_ndjson(path)
    lines = [dict(zip(("item_id", "category", "metadata"), row, strict=True)) for row in POOL]
    write_lines(folder / pool, lines)
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def records(*rows: tuple[str, str | None]) -> list[dict[str, Any]]:
    return [{"parent_asin": a, "title": t, "details": {"Brand": t}} for a, t in rows]


def texts(tables: Tables) -> list[str]:
    card = AMAZON_C4.card
    return item_texts(tables.items, card.text_recipe, card.text_columns)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_queries_and_the_pool(kind: str, tmp_path: Path) -> None:
    tables = validate(AMAZON_C4.read(put(tmp_path, kind)), "blair/amazon-c4")
    assert tables.queries is not None
    assert tables.relevance is not None
    assert tables.queries.rows() == [
        ("0", "I need a mug,\nnot a cup", "complex"),
        ("1", 'A "quiet" fan', "complex"),
    ]
    assert tables.relevance.rows() == [("0", "B1", 1.0), ("1", "B3", 1.0)]
    assert tables.items.rows() == POOL
    assert texts(tables) == ["Moss mug. Holds tea.", "Cup.", "Fan. Quiet."]


def test_the_review_behind_a_query_is_in_no_table(tmp_path: Path) -> None:
    tables = AMAZON_C4.read(put(tmp_path))
    for _, frame in tables.frames():
        assert not {"ori_rating", "ori_review", "user_id"} & set(frame.columns)
        assert "Moss mug is the best" not in str(frame.rows())


def test_products_of_no_category_leave_the_pool(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "asin2category.json").write_text(json.dumps({"B3": "Electronics", "B1": "Unknown"}))
    tables = AMAZON_C4.read(tmp_path)
    assert tables.items["item_id"].to_list() == ["B1", "B3"]


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_titles_come_from_metadata_files_where_they_are(ending: str, tmp_path: Path) -> None:
    put(tmp_path)
    meta = tmp_path / "raw" / "meta_categories"
    meta.mkdir(parents=True)
    write_lines(meta / f"meta_Electronics.jsonl{ending}", records(RECORDS[0], ("B3", "Second")))
    write_lines(meta / f"meta_Home_and_Kitchen.jsonl{ending}", records(*RECORDS[1:]))
    tables = validate(AMAZON_C4.read(tmp_path), "blair/amazon-c4")
    assert tables.items.columns == ["item_id", "category", "title"]
    assert texts(tables) == ["Moss mug", ".", "Fan"]


def test_a_pool_of_titles_is_taken_first(tmp_path: Path) -> None:
    put(tmp_path)
    lines = [{"item_id": "B1", "category": "Home", "metadata": "Moss mug"},
             {"item_id": "B3", "category": "Home", "metadata": "."}]  # fmt: skip
    write_lines(tmp_path / "C4_titles_only_na2period.jsonl", lines)
    assert texts(AMAZON_C4.read(tmp_path)) == ["Moss mug", "."]


def test_metadata_files_of_other_products(tmp_path: Path) -> None:
    put(tmp_path)
    write_lines(tmp_path / "meta_Books.jsonl", records(("B3", "Fan")))
    with pytest.raises(DataError, match=r"2 of the pool's 3 items, e\.g\. B1, have no record"):
        AMAZON_C4.read(tmp_path)


def test_a_damaged_metadata_file(tmp_path: Path) -> None:
    put(tmp_path)
    path = tmp_path / "meta_Books.jsonl.gz"
    write_lines(path, records(*RECORDS))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(DataError, match="cut off or damaged") as caught:
        AMAZON_C4.read(tmp_path)
    assert caught.value.where == str(path)


def test_a_query_without_its_product(tmp_path: Path) -> None:
    put(tmp_path)
    QUERIES.with_columns(item_id=pl.Series(["B1", None])).write_csv(tmp_path / "test.csv")
    with pytest.raises(DataError, match="item_id is missing in 1 row"):
        AMAZON_C4.read(tmp_path)


def test_queries_without_a_pool(tmp_path: Path) -> None:
    (put(tmp_path) / "sampled_item_metadata_1M.jsonl").unlink()
    with pytest.raises(DataError, match=r"or sampled_item_metadata_1M\.jsonl"):
        AMAZON_C4.read(tmp_path)


def test_a_missing_column(tmp_path: Path) -> None:
    put(tmp_path)
    QUERIES.drop("qid").write_csv(tmp_path / "test.csv")
    with pytest.raises(DataError, match="there is no column qid "):
        AMAZON_C4.read(tmp_path)
