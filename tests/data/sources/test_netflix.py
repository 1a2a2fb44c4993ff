"""Netflix Prize from small files of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.data.schema import validate
from tastebench.data.sources import netflix
from tastebench.data.text import item_texts
from tastebench.errors import DataError

TITLES = (
    "1,2003,Dinosaur Planet\r\n"
    "72,1974,At Home Among Strangers, A Stranger Among His Own\r\n"
    "4388,NULL,Ancient Civilizations: Rome and Pompeii\r\n"
    "5000,1999,Never rated\r\n"
    "17770,1997,Amélie, \"de\" Montmartre\r\n"
)  # fmt: skip
RATINGS = {
    1: "1:\n1488844,3,2005-09-06\n822109,5,1999-11-11\n72:\n1488844,1,2005-09-06\n",
    2: "4388:\n\n822109,4,2000-01-01\n",
    3: "17770:\n",  # a movie without ratings
    4: "17770:\r\n1488844,2,2005-12-31\r\n",
}
DAY = 86_400_000
SEPT_6 = 13_032 * DAY  # 2005-09-06
NOV_11 = 10_906 * DAY  # 1999-11-11


def put(folder: Path, ratings: dict[int, str] = RATINGS, titles: str = TITLES) -> Path:
    (folder / "movie_titles.csv").write_bytes(titles.encode("latin-1"))
    for number, content in ratings.items():
        (folder / f"combined_data_{number}.txt").write_bytes(content.encode())
    return folder


def test_all_four_files_and_titles_with_commas(tmp_path: Path) -> None:
    tables = netflix.read(put(tmp_path))
    assert tables.interactions is not None
    assert tables.interactions.select("row", "user_id", "item_id", "time", "rating").rows() == [
        (0, "1488844", "1", SEPT_6, 3.0),
        (1, "822109", "1", NOV_11, 5.0),
        (2, "1488844", "72", SEPT_6, 1.0),
        (3, "822109", "4388", 10_957 * DAY, 4.0),
        (4, "1488844", "17770", 13_148 * DAY, 2.0),
    ]
    assert tables.items.rows() == [
        ("1", "Dinosaur Planet", 2003),
        ("72", "At Home Among Strangers, A Stranger Among His Own", 1974),
        ("4388", "Ancient Civilizations: Rome and Pompeii", None),
        ("17770", 'Amélie, "de" Montmartre', 1997),
    ]
    items = validate(tables, "netflix").items
    columns = netflix.NETFLIX.card.text_columns
    assert item_texts(items, "all-text", columns)[0] == "Dinosaur Planet. 2003"


@pytest.mark.parametrize(
    ("content", "what", "row"),
    [
        ("1:\n7,3,2005-09-06\n7,3\n", "not a user, a rating and a date", 3),
        ("1:\n7,x,2005-09-06\n", "not a user, a rating and a date", 2),
        ("1:\n\n7,3,06.09.2005\n", "not a user, a rating and a date", 3),
        ("1:\n7,3,2005-09-06,9\n", "not a user, a rating and a date", 2),
        ("1:\n,3,2005-09-06\n", "not a user, a rating and a date", 2),
        ("1:\nx:\n7,3,2005-09-06\n", "not a user, a rating and a date", 2),
        ("7,3,2005-09-06\n1:\n", "a rating before the first movie", 1),
    ],
)
def test_bad_rows_are_named(content: str, what: str, row: int, tmp_path: Path) -> None:
    put(tmp_path, RATINGS | {2: content})
    with pytest.raises(DataError, match=f"{what} in 1 row") as caught:
        netflix.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'combined_data_2.txt'}, row {row}"


def test_bad_titles_and_missing_files_are_named(tmp_path: Path) -> None:
    put(tmp_path, titles=TITLES + "\r\n6,1999\r\n")
    with pytest.raises(DataError, match="not a number, a year and a title in 1 row") as caught:
        netflix.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'movie_titles.csv'}, row 7"
    (tmp_path / "combined_data_4.txt").unlink()
    with pytest.raises(DataError, match=r"there is no combined_data_4\.txt"):
        netflix.read(tmp_path)
