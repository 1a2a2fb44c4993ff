"""Goodreads' shelves, works and editions in their format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources.goodreads import GOODREADS
from tastebench.data.tidy import tidy
from tastebench.errors import DataError


def put(path: Path, *records: dict[str, Any]) -> Path:
    """JSON lines with a blank one among them, gzipped where the name says so."""
    text = "\n\n".join(json.dumps(record) for record in records) + "\n"
    data = text.encode()
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
    return path


def shelved(user: str, book: str, **other: Any) -> dict[str, Any]:
    return {
        "user_id": user,
        "book_id": book,
        "review_id": "r",
        "is_read": True,
        "rating": 0,
        "review_text_incomplete": "",
        "date_added": "Thu May 10 10:29:19 -0700 2012",
        "read_at": "",
        **other,
    }


WORKS = (
    {"books_count": "2", "best_book_id": "10", "original_title": " Emma ", "work_id": "1"},
    {"books_count": "1", "best_book_id": "20", "original_title": "", "work_id": "2"},
    {"books_count": "1", "best_book_id": "30", "original_title": "Never read", "work_id": "3"},
)
SHELVES = (
    shelved("u", "10", rating=5),
    shelved("u", "11", is_read=False),
    shelved("v", "20", rating=3, date_added="Sun Jan 01 00:00:00 +0530 2017"),
    shelved("v", "77", is_read=False),
)
BOOKS = (
    {"book_id": "11", "work_id": "1", "title": "Emma (Penguin)", "description": "Paper"},
    {"book_id": "10", "work_id": "1", "title": "Emma (Oxford)", "description": "A novel."},
    {"book_id": "20", "work_id": "2", "title": "Untitled, 2nd edition", "description": " "},
    {"book_id": "77", "work_id": "", "title": "Leaflet", "description": ""},
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    put(tmp_path / "goodreads_book_works.json.gz", *WORKS)
    put(tmp_path / "goodreads_interactions_dedup.json.gz", *SHELVES)
    return tmp_path


def test_shelves_with_the_zone_of_their_times(raw: Path) -> None:
    interactions = GOODREADS.read(raw).interactions
    assert interactions is not None
    # 10:29:19 at -07:00 is 17:29:19 UTC; midnight at +05:30 is 18:30 UTC the day before.
    spring, new_year = 1_336_670_959_000, 1_483_209_000_000
    assert interactions.rows() == [
        (0, "u", "10", spring, 5.0, 1),
        (1, "u", "11", spring, None, 0),
        (2, "v", "20", new_year, 3.0, 1),
        (3, "v", "77", spring, None, 0),
    ]


def test_works_alone_name_their_best_edition_only(raw: Path) -> None:
    assert GOODREADS.read(raw).items.rows() == [
        ("10", "Emma"),
        ("20", None),
        ("11", None),
        ("77", None),
    ]


def test_what_was_not_read_is_no_event(raw: Path) -> None:
    tables, repairs = tidy(GOODREADS.read(raw), "goodreads")
    assert repairs == {}
    dataset = Dataset.create(GOODREADS.card, tables)
    assert dataset.events().item.tolist() == [0, 1]


def test_editions_become_their_works(raw: Path) -> None:
    put(raw / "goodreads_books.json.gz", *BOOKS)
    tables = GOODREADS.read(raw)
    assert tables.interactions is not None
    assert tables.interactions["item_id"].to_list() == ["10", "10", "20", "77"]
    # Where the work has no title of its own, its best edition's; the best edition's description.
    assert tables.items.rows() == [
        ("10", "Emma", "A novel."),
        ("20", "Untitled, 2nd edition", None),
        ("77", "Leaflet", None),
    ]
    assert tables.items.columns == ["item_id", "title", "description"]


def test_a_work_without_a_best_edition_leaves_its_editions_alone(raw: Path) -> None:
    put(raw / "goodreads_books.json.gz", *BOOKS)
    put(raw / "goodreads_book_works.json.gz", *WORKS[1:], {**WORKS[0], "best_book_id": ""})
    tables = GOODREADS.read(raw)
    assert tables.interactions is not None
    assert tables.interactions["item_id"].to_list() == ["10", "11", "20", "77"]
    assert dict(tables.items.select("item_id", "title").iter_rows())["11"] == "Emma (Penguin)"


def test_works_and_editions_that_repeat(raw: Path) -> None:
    put(raw / "goodreads_books.json.gz", *BOOKS, {**BOOKS[0], "title": "again"})
    put(raw / "goodreads_book_works.json.gz", *WORKS, {**WORKS[0], "original_title": "again"})
    tables = GOODREADS.read(raw)
    assert tables.interactions is not None
    assert len(tables.interactions) == 4
    assert tables.items["title"].to_list() == ["Emma", "Untitled, 2nd edition", "Leaflet"]


def test_plain_files_serve_too(raw: Path) -> None:
    gzipped = GOODREADS.read(raw)
    for name, records in (("book_works", WORKS), ("interactions_dedup", SHELVES)):
        (raw / f"goodreads_{name}.json.gz").unlink()
        put(raw / f"goodreads_{name}.json", *records)
    plain = GOODREADS.read(raw)
    assert plain.interactions is not None
    assert gzipped.interactions is not None
    assert plain.interactions.equals(gzipped.interactions)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"date_added": "2012-05-10"}, "date_added is not of the form %a %b"),
        ({"date_added": "Thu May 10 10:29:19 2012"}, "date_added is not of the form"),
        ({"is_read": "yes"}, "is_read is not true or false"),
        ({"is_read": None}, "label is missing"),
        ({"user_id": None}, "user_id is missing"),
        ({"rating": "good"}, "rating is not a number"),
    ],
)
def test_bad_lines_are_named(other: dict[str, Any], what: str, raw: Path) -> None:
    path = put(raw / "goodreads_interactions_dedup.json.gz", *SHELVES, shelved("w", "10", **other))
    with pytest.raises(DataError, match=what) as caught:
        GOODREADS.read(raw)
    assert caught.value.where == f"{path}, row 9"  # four records and four blank lines before it


def test_a_line_that_is_no_json(raw: Path) -> None:
    path = raw / "goodreads_book_works.json.gz"
    path.write_bytes(gzip.compress(b'{"work_id": "1", "best_book_id": "10"}\n{"work_id":\n'))
    with pytest.raises(DataError, match="no JSON object in 1 row") as caught:
        GOODREADS.read(raw)
    assert caught.value.where == f"{path}, row 2"


def test_a_shelf_without_a_date_is_dropped_and_counted(raw: Path) -> None:
    put(raw / "goodreads_interactions_dedup.json.gz", *SHELVES, shelved("w", "10", date_added=" "))
    tables, repairs = tidy(GOODREADS.read(raw), "goodreads")
    assert repairs == {"interactions without a time dropped": 1}
    assert tables.interactions is not None
    assert len(tables.interactions) == 4
