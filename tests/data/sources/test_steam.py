"""Both Steam releases: small files of their format, and the real small release."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources.steam import STEAM, STEAM_200K, mended
from tastebench.data.split import default_split
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

APPS = (
    "10,Counter-Strike,game,9.99,2000-11-01 00:00:00,-1,0,1\n"
    "\n"
    "2630,Call of Duty® 2,game,19.99,2006-10-13 00:00:00,86,0,1\r\n"
    '40,"Papers, ""Please""",game,9.99,2013-08-08 00:00:00,85,0,0\n'
    "50,CafÃ© Wars,game,0,1970-01-01 00:00:00,-1,0,0\n"
    "60,,mod,0,1970-01-01 00:00:00,-1,0,0\n"
    "70,Never owned\n"
    "10,Counter-Strike again,game,9.99,2000-11-01 00:00:00,-1,0,1\n"
)
OWNED = "7656,10,2630,10\n\n12,999,40,\r\n13\n14,50,60\n"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "train_game.txt").write_text(OWNED, encoding="utf-8", newline="")
    (tmp_path / "App_ID_Info.txt").write_text(APPS, encoding="utf-8", newline="")
    return tmp_path


def test_a_line_per_person(raw: Path) -> None:
    tables = STEAM.read(raw)
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "7656", "10"),
        (1, "7656", "2630"),
        (2, "7656", "10"),
        (3, "12", "999"),
        (4, "12", "40"),
        (5, "14", "50"),
        (6, "14", "60"),
    ]
    assert tables.items.rows() == [
        ("10", "Counter-Strike"),
        ("2630", "Call of Duty® 2"),
        ("40", 'Papers, "Please"'),
        ("50", "Café Wars"),
        ("60", None),
        ("10", "Counter-Strike again"),
        ("999", None),
    ]
    _, repairs = tidy(tables, "steam")
    assert repairs == {"repeated items dropped": 1}


def test_genres_and_makers_where_they_are_there(raw: Path) -> None:
    (raw / "Games_Genres.txt").write_text(
        "10,Action\n\n10,Strategy\r\n10,Action\n50,RPG, old\n40,\n"
    )
    (raw / "Games_Publishers.txt").write_text('10,"Valve"\n10,Sierra\n', encoding="utf-8")
    items = STEAM.read(raw).items
    assert items.columns == ["item_id", "title", "genres", "publisher"]
    assert items.rows()[:4] == [
        ("10", "Counter-Strike", ["Action", "Strategy"], "Valve"),
        ("2630", "Call of Duty® 2", None, None),
        ("40", 'Papers, "Please"', None, None),
        ("50", "Café Wars", ["RPG, old"], None),
    ]
    assert items.rows()[-1] == ("999", None, None, None)  # owned, and nothing known
    (raw / "Games_Genres.txt").write_text("10,Action\nAction\n")
    with pytest.raises(DataError, match="not the number of a game") as caught:
        STEAM.read(raw)
    assert caught.value.where == f"{raw / 'Games_Genres.txt'}, row 2"


def misread(text: str, encoding: str) -> str:
    return text.encode("utf-8").decode(encoding)


@pytest.mark.parametrize("title", ["Pokémon", "TrackMania² Valley", "Łódź", "東方", "Doom™ II"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_titles_that_were_misread_are_mended_and_others_stay(title: str, encoding: str) -> None:
    wrong = [title]
    try:
        wrong.append(misread(title, encoding))
    except UnicodeDecodeError:
        assert encoding == "cp1252"  # has five bytes less
    given = pl.Series("title", ["plain", None, *wrong])
    assert mended(given).to_list() == ["plain", None, *[title] * len(wrong)]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (",10,20\n", "not a user and their games between commas"),
        ("15,10,,20\n", "not a user and their games between commas"),
        ("15 10 20\n", "not a user and their games between commas"),
    ],
)
def test_bad_lines_are_named(line: str, what: str, raw: Path) -> None:
    path = raw / "train_game.txt"
    path.write_text(OWNED + line, newline="")
    with pytest.raises(DataError, match=what) as caught:
        STEAM.read(raw)
    assert caught.value.where == f"{path}, row 6"  # the blank line counts


@pytest.mark.parametrize("line", ["appid,title,type\n", "80\n"])
def test_a_line_that_is_no_game(line: str, raw: Path) -> None:
    path = raw / "App_ID_Info.txt"
    path.write_text("10,Counter-Strike\n\n" + line)
    with pytest.raises(DataError, match="not the number of a game") as caught:
        STEAM.read(raw)
    assert caught.value.where == f"{path}, row 3"


def test_a_mark_that_is_never_closed_is_part_of_the_title(raw: Path) -> None:
    (raw / "App_ID_Info.txt").write_text('10,"Hi\n40,"Half",game\n')
    titles = dict(STEAM.read(raw).items.iter_rows())
    assert (titles["10"], titles["40"]) == ('"Hi', "Half")


def put_200k(folder: Path, bought: str, played: str | None) -> Path:
    (folder / "game_purchase.dat").write_text("User_ID\tGame_ID\tPurchase\n" + bought)
    if played is not None:
        (folder / "game_play.dat").write_text("User_ID\tGame_ID\tHours\n" + played)
    (folder / "item_info.dat").write_text(
        'Game_ID\tGame Name\n1\tThe "Elder" Scrolls\n2\tSpore\n3\tNever bought\n'
    )
    return folder


BOUGHT = "1\t1\t1.0\n1\t2\t1.0\n1\t2\t1.0\n2\t2\t1.0\n"


def test_purchases_with_hours(tmp_path: Path) -> None:
    put_200k(tmp_path, BOUGHT, "1\t1\t273.0\n2\t2\t0.5\n2\t2\t1.0\n")
    tables = STEAM_200K.read(tmp_path)
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        ("1", "1", 273.0, 0),
        ("1", "2", None, 0),
        ("1", "2", None, 0),
        ("2", "2", 1.5, 0),
    ]
    assert tables.items.rows() == [("1", 'The "Elder" Scrolls'), ("2", "Spore")]


def test_the_hours_may_be_missing(tmp_path: Path) -> None:
    interactions = STEAM_200K.read(put_200k(tmp_path, BOUGHT, None)).interactions
    assert interactions is not None
    assert interactions["hours"].null_count() == 4


def test_bad_hours_are_named(tmp_path: Path) -> None:
    put_200k(tmp_path, BOUGHT, "1\t1\tmany\n")
    with pytest.raises(DataError, match=r"Hours is not a number \('many'\)") as caught:
        STEAM_200K.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'game_play.dat'}, row 2"


def test_real_200k(asset: Callable[[str], Path]) -> None:
    tables, repairs = tidy(STEAM_200K.read(asset("data/steam/steam")), "steam-200k")
    assert repairs == {}
    dataset = Dataset.create(STEAM_200K.card, tables)
    assert (dataset.n_users, dataset.n_items, len(dataset.events().user)) == (
        12_393,
        5_155,
        129_511,
    )
    assert dataset.tables.items["title"].null_count() == 0
    assert tables.interactions is not None
    pairs = tables.interactions.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    assert len(pairs) == 128_804
    assert pairs["hours"].drop_nulls().len() == 70_477
    # No hour is lost: as many as the file has.
    assert pairs["hours"].sum() == pytest.approx(3_445_365.8)
    # The order of a person's games is that of their hours: why there is no split by order. The six
    # that stand too low were played twice, and the file is sorted by the longer of the two.
    later = pl.col("hours").fill_null(0).diff().over("user_id")
    assert pairs.select((later > 0).sum()).item() == 6
    assert {default_split(dataset, task).kind for task in STEAM_200K.card.tasks} == {"random"}
