"""Office and Industrial: targets with their histories, unfolded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources import SOURCES
from tastebench.data.split import cutoffs, split
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

HEADER = (
    "user_id,item_asins,item_asin,history_item_id,item_id,history_item_title,item_title,"
    "history_rating,rating,history_timestamp,timestamp"
)
DAY = 86_400


def row(user: str, history: list[tuple[str, int, float, int]], target: tuple[str, int]) -> str:
    """A row as Python prints it: lists in quotation marks, a title with both kinds of quotes."""
    ids, numbers, ratings, times = ([entry[at] for entry in history] for at in range(4))
    item, number = target
    titles = "\"['12\"\" ruler', 'a, b']\""
    return (
        f'{user},"{ids}",{item},"{numbers}",{number},{titles},"Pen, blue",'
        f'"{ratings}",4.0,"{times}",{9 * DAY}'
    )


def put(folder: Path, stem: str, valid: list[str], test: list[str], titles: str) -> None:
    for part, rows in (("valid", valid), ("test", test)):
        (folder / part).mkdir(exist_ok=True)
        (folder / part / f"{stem}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info" / f"{stem}.txt").write_text(titles)


TITLES = 'Pen, blue\t0\nTwin\t1\nTwin\t2\nIndustrial & Scientific" />\t3\nNever taken\t4\n'
STEM = "Industrial_and_Scientific_5_1996-10-2018-11"
ABOUT = {
    # In an order of its own: the numbers are not those of the tables.
    "0": {"title": "Twin", "description": "['one']", "brand": "A", "categories": ""},
    "1": {"title": "Twin", "description": "['other']", "brand": "B", "categories": ""},
    "2": {"title": "Never taken", "description": "", "brand": "", "categories": ""},
    "3": {
        "title": "Pen, blue",
        "description": "['It's the customer's pen', 'Blue']",  # no literal: quotes were lost
        "brand": "",
        "categories": "",
    },
}


def industrial(folder: Path) -> Path:
    a, b, c = ("A", 0, 5.0, DAY), ("B", 1, 3.0, 2 * DAY), ("C", 2, 5.0, 2 * DAY)
    put(
        folder,
        STEM,
        [row("u", [a, b], ("C", 2)), row("u", [b, ("B", 1, 1.0, 2 * DAY)], ("D", 3))],
        [row("v", [], ("A", 0)), row("w", [c, ("C", 2, 5.0, 3 * DAY)], ("B", 1))],
        TITLES,
    )
    (folder / "items").mkdir()
    path = folder / "items" / "Industrial_and_Scientific.item.json"
    path.write_text(json.dumps(ABOUT))
    return folder


def test_what_each_row_names_is_one_interaction(tmp_path: Path) -> None:
    tables = SOURCES.get("industrial").read(industrial(tmp_path))
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "u", "A", DAY * 1000, 5.0),
        (1, "u", "B", 2 * DAY * 1000, 3.0),  # the second rating of that day is not another
        (2, "u", "C", 9 * DAY * 1000, 4.0),
        (3, "u", "D", 9 * DAY * 1000, 4.0),
        (4, "v", "A", 9 * DAY * 1000, 4.0),
        (5, "w", "C", 2 * DAY * 1000, 5.0),
        (6, "w", "C", 3 * DAY * 1000, 5.0),  # the same item on another day is
        (7, "w", "B", 9 * DAY * 1000, 4.0),
    ]


def test_items_are_described_by_their_title_alone(tmp_path: Path) -> None:
    items = SOURCES.get("industrial").read(industrial(tmp_path)).items
    assert items.rows() == [
        ("A", "Pen, blue", ["It's the customer's pen', 'Blue"], None),
        ("B", "Twin", None, None),
        ("C", "Twin", None, None),
        ("D", None, None, None),
    ]


def test_lists_of_unequal_length_and_words_for_numbers_are_named(tmp_path: Path) -> None:
    folder = industrial(tmp_path)
    path = folder / "test" / f"{STEM}.csv"
    good = path.read_text()
    path.write_text(good.replace("[2, 2]", "[2]"))
    with pytest.raises(DataError, match="not of one length in 1 row") as caught:
        SOURCES.get("industrial").read(folder)
    assert caught.value.where == f"{path}, row 3"
    path.write_text(good.replace("[2, 2]", "[2, two]"))
    with pytest.raises(DataError, match="no number where an item") as caught:
        SOURCES.get("industrial").read(folder)
    assert caught.value.where == f"{path}, row 3"
    path.write_text(good)
    (folder / "info" / f"{STEM}.txt").write_text("Pen, blue\n")
    with pytest.raises(DataError, match="not a title and its number in 1 row"):
        SOURCES.get("industrial").read(folder)


@pytest.mark.parametrize("name", ["office", "industrial"])
def test_real_cut_offs_are_eight_tenths_and_nine(name: str, asset: Callable[[str], Path]) -> None:
    source = SOURCES.get(name)
    tables, repairs = tidy(source.read(asset("data/amazon-2018-office-industrial")), name)
    assert repairs == {}
    dataset = Dataset.create(source.card, tables)
    spec = source.card.splits["seqrec"]
    time = dataset.events().time
    assert time is not None
    assert (spec.valid_from, spec.test_from) == cutoffs(time, (0.8, 0.1, 0.1))
    shares = np.bincount(split(dataset, spec)) / len(time)
    # A day is never cut apart, so the shares are near and not exact.
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.005)
    assert dataset.tables.items["title"].is_not_null().mean() > 0.99  # type: ignore[operator]
    assert dataset.tables.items["description"].is_not_null().mean() > 0.98  # type: ignore[operator]
