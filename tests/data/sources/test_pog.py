"""POG from small files of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources import pog
from tastebench.data.text import item_texts
from tastebench.errors import DataError

CLICKS = (
    "u1,b;a;b;c,o1\r\n"
    "u2,,o2\r\n"  # an outfit without clicks before it
    "\r\n"
    "u3,a,o1\r\n"
    "u1,c;d;a;e,o3\r\n"  # the same user again
)
TRANSLATED = 'item_id,title,"title en"\na,连衣裙,"Dress, red"\nb,帽子,\nx,鞋,Shoes\na,again,again\n'
DESCRIBED = (
    "a,34,//img/a.jpg,裙\nd,12,//img/d.jpg,裤, 新款\nb,7,//img/b.jpg,帽\n"
    "x,1,//img/x.jpg,鞋\ne,1,,\n"
)


def put(folder: Path, clicks: str = CLICKS, translated: str = "", described: str = "") -> Path:
    files = {
        "user_data.txt": clicks,
        "pog_translated_titles.csv": translated,
        "item_data.txt": described,
    }
    for name, content in files.items():
        if content:
            (folder / name).write_bytes(content.encode())
    return folder


def test_repeats_go_and_a_users_lines_are_one_history(tmp_path: Path) -> None:
    tables = pog.read(put(tmp_path))
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "u1", "b"),
        (1, "u1", "a"),
        (2, "u1", "c"),
        (3, "u3", "a"),
        (4, "u1", "d"),
        (5, "u1", "e"),
    ]
    assert tables.items.columns == ["item_id", "title_en", "title_zh", "category"]
    assert tables.items.rows() == [(item, None, None, None) for item in "bacde"]
    dataset = Dataset.create(pog.POG.card, tables)
    events = dataset.events()
    assert [dataset.item_ids[int(item)] for item in events.item[:5]] == list("bacde")


@pytest.mark.parametrize(
    ("translated", "described", "items"),
    [
        (
            TRANSLATED,
            "",
            [
                ("b", None, "帽子", None),
                ("a", "Dress, red", "连衣裙", None),
                ("c", None, None, None),
                ("d", None, None, None),
                ("e", None, None, None),
            ],
        ),
        (
            "",
            DESCRIBED,
            [
                ("b", None, "帽", "7"),
                ("a", None, "裙", "34"),
                ("c", None, None, None),
                ("d", None, "裤, 新款", "12"),
                ("e", None, None, "1"),
            ],
        ),
        (
            TRANSLATED,
            DESCRIBED,
            [
                ("b", None, "帽子", "7"),
                ("a", "Dress, red", "连衣裙", "34"),
                ("c", None, None, None),
                ("d", None, "裤, 新款", "12"),
                ("e", None, None, "1"),
            ],
        ),
    ],
)
def test_titles_of_the_files_at_hand(
    translated: str, described: str, items: list[tuple[str | None, ...]], tmp_path: Path
) -> None:
    found = pog.read(put(tmp_path, translated=translated, described=described)).items
    assert found.rows() == items


def test_the_text_is_in_both_languages(tmp_path: Path) -> None:
    items = pog.read(put(tmp_path, translated=TRANSLATED)).items
    card = pog.POG.card
    assert item_texts(items, card.text_recipe, card.text_columns) == [
        "帽子",
        "Dress, red. 连衣裙",
        "",
        "",
        "",
    ]
    # RecBench's text is the English title alone.
    assert item_texts(items, "title", card.text_columns)[:2] == [" ", "Dress, red "]


@pytest.mark.parametrize("line", ["u1", "u1,a;b", "u1,a;b,o1,o2", ",a,o1", "u1,a,", "u1;a;o1"])
def test_bad_clicks_are_named(line: str, tmp_path: Path) -> None:
    put(tmp_path, CLICKS + line + "\n")
    with pytest.raises(DataError, match="not a user, items and an outfit in 1 row") as caught:
        pog.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'user_data.txt'}, row 6"


def test_bad_titles_are_named(tmp_path: Path) -> None:
    put(tmp_path, described=DESCRIBED + "f,1,//img\n")
    with pytest.raises(DataError, match="not an item, category, picture and title") as caught:
        pog.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'item_data.txt'}, row 6"
    put(tmp_path, translated="item_id,title\na,b\n")
    with pytest.raises(DataError, match="not three columns but item_id, title") as caught:
        pog.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'pog_translated_titles.csv'}, row 1"
    put(tmp_path, translated="i,z,e\na,b,c\n,x,y\n")
    with pytest.raises(DataError, match="i is missing in 1 row") as caught:
        pog.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'pog_translated_titles.csv'}, row 3"
    (tmp_path / "user_data.txt").unlink()
    with pytest.raises(DataError, match=r"there is no user_data\.txt"):
        pog.read(tmp_path)
