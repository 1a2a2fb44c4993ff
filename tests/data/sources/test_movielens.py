"""MovieLens: the four releases from small files of their format, and the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.download import fetch
from tastebench.data.sources import movielens
from tastebench.errors import DataError


def put(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content.encode("latin-1"))
    return folder


FLAGS = "|".join("0" * 19)


def test_100k(tmp_path: Path) -> None:
    two = FLAGS[:2] + "1" + FLAGS[3:-1] + "1"  # Action and Western
    raw = put(
        tmp_path,
        u__data="7\t2\t4\t881250949\n9\t1\t3\t891717742\n",
        u__item=f"1|Léon (1994)|01-Jan-1994||http://x|{two}\n2|unknown|||| {FLAGS[1:]}\n"
        f"3|Never rated|||http://y|{FLAGS}\n".replace("| 0", "0"),
        u__user="7|24|M|technician|85711\n9|53|F|other|94043\n",
    )
    tables = movielens.read_100k(raw)
    assert tables.interactions is not None
    assert tables.interactions.select("user_id", "item_id", "time", "rating", "row").rows() == [
        ("7", "2", 881_250_949_000, 4.0, 0),
        ("9", "1", 891_717_742_000, 3.0, 1),
    ]
    assert tables.items.rows() == [
        ("1", "Léon (1994)", "01-Jan-1994", ["Action", "Western"]),
        ("2", "unknown", None, []),
    ]
    assert tables.users is not None
    assert tables.users.rows()[0] == ("7", 24, "M", "technician", "85711")


def test_1m(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        ratings__dat="1::1193::5::978300760\n2::661::3::978302109\n",
        movies__dat='661::James & the Giant Peach, "The" (1996)::Animation|Children\'s\n'
        "1193::Misérables, Les (1995)::Drama\n5::Never rated::Comedy\n",
        users__dat="1::F::1::10::48067\n2::M::56::16::70072\n",
    )
    tables = movielens.read_1m(raw)
    assert tables.interactions is not None
    assert tables.interactions["time"].to_list() == [978_300_760_000, 978_302_109_000]
    assert tables.items.rows() == [
        ("661", 'James & the Giant Peach, "The" (1996)', ["Animation", "Children's"]),
        ("1193", "Misérables, Les (1995)", ["Drama"]),
    ]
    assert tables.users is not None
    assert tables.users.rows()[1] == ("2", "M", 56, "16", "70072")


def test_latest_with_tags(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n1,2,4.5,964982703\n1,3,0.5,964981247\n",
        movies__csv='movieId,title,genres\n2,"Fish, A (1988)",Comedy|Crime\n'
        "3,Bare,(no genres listed)\n",
        tags__csv="userId,movieId,tag,timestamp\n1,2,Funny,1\n2,2,funny,2\n3,2,abc,3\n4,2,zoo,4\n",
    )
    tables = movielens.read_latest(raw)
    assert tables.items.rows() == [
        ("2", "Fish, A (1988)", ["Comedy", "Crime"], ["funny", "abc", "zoo"]),
        ("3", "Bare", [], None),
    ]
    assert tables.interactions is not None
    assert tables.interactions["rating"].to_list() == [4.5, 0.5]


def test_latest_without_tags(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        ratings__csv="userId,movieId,rating,timestamp\n1,2,4.5,964982703\n",
        movies__csv="movieId,title,genres\n2,A,Comedy\n",
    )
    assert movielens.read_latest(raw).items.columns == ["item_id", "title", "genres"]


def test_a_bad_rating_is_named(tmp_path: Path) -> None:
    raw = put(tmp_path, u__data="7\t2\t4\t881250949\n9\t1\tx\t1\n", u__item="", u__user="")
    with pytest.raises(DataError, match=r"rating is not a number \('x'\)") as caught:
        movielens.read_100k(raw)
    assert caught.value.where == f"{tmp_path / 'u.data'}, row 2"


def test_real_100k(asset: Callable[[str], Path]) -> None:
    tables = movielens.read_100k(asset("data/ml-100k"))
    assert tables.items.row(0)[:2] == ("1", "Toy Story (1995)")
    assert tables.items.row(0)[3] == ["Animation", "Children's", "Comedy"]
    assert tables.items["title"].null_count() == 0
    assert tables.users is not None
    assert len(tables.users) == 943


def test_real_latest_small(asset: Callable[[str], Path]) -> None:
    tables = movielens.read_latest(asset("data/ml-latest-small"))
    assert tables.interactions is not None
    assert sorted(tables.interactions["rating"].unique()) == [x / 2 for x in range(1, 11)]
    tagged = pl.read_csv(asset("data/ml-latest-small") / "tags.csv")["movieId"].n_unique()
    # 18 movies have tags and no rating, so they are not in the catalogue.
    assert tables.items["tags"].drop_nulls().len() == tagged - 18 == 1_554


def test_the_incomplete_1m_says_what_is_missing(asset: Callable[[str], Path]) -> None:
    with pytest.raises(DataError, match="needs 1 file that is not there") as caught:
        fetch(movielens.ML_1M.card, raw=asset("data/ml-1m"))
    assert "ratings.dat (in ml-1m.zip from https://files.grouplens.org" in caught.value.what
