"""Book-Crossing in the original dump's format, dirt included, and the cleaned real files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.sources.book_crossing import BOOK_CROSSING
from tastebench.errors import DataError

RATINGS = '"User-ID";"ISBN";"Book-Rating"\n"7";"1";"0"\n"7";"2";"10"\n"8";"3";"5"\n"8";"9";"1"\n'
BOOKS = (
    '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";'
    '"Image-URL-S";"Image-URL-M";"Image-URL-L"\n'
    '"1";"The \\"real\\" thing; or not";"Camus, \\\\ Albert";"1942";"P &amp; Q";"s";"m";"l"\n'
    '"2";"Les Misérables";"Hugo";"0";"É.";"s";"m";"l"\n'
    # In the dump three titles end in an escaped mark and run into their author.
    '"3";"DK Readers (Level 4)\\";Michael Teitelbaum";"2000";"DK";"s";"m";"l"\n'
    '"4";"Never read";"X";"2001";"Y";"s";"m";"l"\n'
)
PEOPLE = '"User-ID";"Location";"Age"\n"7";"lyon, france";NULL\n"8";"nyc, usa";"31"\n'


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    for name, text in (("Book-Ratings", RATINGS), ("Books", BOOKS), ("Users", PEOPLE)):
        (tmp_path / f"BX-{name}.csv").write_bytes(text.encode("latin-1"))
    return tmp_path


def test_the_dump(dump: Path) -> None:
    tables = BOOK_CROSSING.read(dump)
    assert tables.items.rows() == [
        ("1", 'The "real" thing; or not', "Camus, \\ Albert", "1942", "P &amp; Q"),
        ("2", "Les Misérables", "Hugo", "0", "É."),
        ("3", "DK Readers (Level 4)", "Michael Teitelbaum", "2000", "DK"),
        ("9", None, None, None, None),
    ]
    assert tables.interactions is not None
    assert tables.interactions["rating"].to_list() == [None, 10.0, 5.0, 1.0]
    assert tables.users is not None
    assert tables.users.rows() == [("7", "lyon, france", None), ("8", "nyc, usa", 31)]


def test_nothing_says_what_came_first(dump: Path) -> None:
    interactions = BOOK_CROSSING.read(dump).interactions
    assert interactions is not None
    assert "time" not in interactions.columns
    assert interactions["row"].n_unique() == 1


def test_a_rating_that_is_none(dump: Path) -> None:
    path = dump / "BX-Book-Ratings.csv"
    path.write_text(RATINGS.replace('"10"', '"ten"'))
    with pytest.raises(DataError, match="Book-Rating is not a number") as caught:
        BOOK_CROSSING.read(dump)
    assert caught.value.where == f"{path}, row 3"


def test_the_cleaned_form(tmp_path: Path) -> None:
    (tmp_path / "book_history.dat").write_text("user\titem\taccessed\n1\t2\t1\n1\t1\t1\n")
    (tmp_path / "book_ratings.dat").write_text("user\titem\trating\n1\t1\t7.000000\n")
    head = "Book_ID\tISBN\tBook-Title\tBook-Author\tYear-Of-Publication\tPublisher\tImage-URL-S\n"
    first = "1\t111\tOne\t two\tA\t1999\tNorton &amp\t Co\thttp://s\thttp://m\t\n"
    (tmp_path / "items_info.dat").write_text(head + first + "2\t222\tII\tB\t0\tP\thttp://s\t\n")
    tables = BOOK_CROSSING.read(tmp_path)
    assert tables.items.rows() == [
        ("1", "111", "One; two", "A", "1999", "Norton &amp; Co"),
        ("2", "222", "II", "B", "0", "P"),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [("1", "2", None, 0), ("1", "1", 7.0, 0)]


def test_a_line_that_is_no_book(tmp_path: Path) -> None:
    (tmp_path / "book_history.dat").write_text("user\titem\n1\t2\n")
    (tmp_path / "items_info.dat").write_text("header\n1\tshort\n")
    with pytest.raises(DataError, match="not the fields of a book") as caught:
        BOOK_CROSSING.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'items_info.dat'}, row 2"


def test_real_cleaned_files(asset: Callable[[str], Path]) -> None:
    tables = BOOK_CROSSING.read(asset("data/book-crossing"))
    assert tables.interactions is not None
    rated = tables.interactions.drop_nulls("rating")
    assert (rated["user_id"].n_unique(), rated["item_id"].n_unique(), len(rated)) == (
        1_295,
        14_684,
        62_656,
    )
    assert tables.items["title"].null_count() == 0
    assert tables.items["publisher"].to_list()[1] == "W. W. Norton &amp; Company"
