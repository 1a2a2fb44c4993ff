"""Games and Yelp: numbered sequences with maps that count from another number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources import SOURCES
from tastebench.data.split import split
from tastebench.errors import DataError


def put(folder: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


GAMES: dict[str, object] = {
    "sequential_train.txt": "1 1 2\n2 3\n10 2 2\n",
    "sequential_valid.txt": "1 3\n2\n10\n",  # users who did nothing then are there, alone
    "sequential_test.txt": "1\n2 1 2\n10\n",
    "title_maps.json": {"seqid2title": {"1": "Chess &amp; Go", "2": "Race", "3": "Farm"}},
    "category_map.json": {"seqid2category": {"1": ["Games", "Board"], "2": [], "3": ["Games"]}},
}


def test_games_are_one_table_with_their_parts(tmp_path: Path) -> None:
    put(tmp_path, GAMES | {"item_map.json": {"B1": 0, "B2": 1, "B3": 2}})
    tables = SOURCES.get("games").read(tmp_path)
    assert tables.items.rows() == [
        ("B1", "Chess &amp; Go", ["Games", "Board"]),
        ("B2", "Race", []),
        ("B3", "Farm", ["Games"]),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "1", "B1"),
        (1, "1", "B2"),
        (2, "1", "B3"),
        (3, "2", "B3"),
        (4, "2", "B1"),
        (5, "2", "B2"),
        (6, "10", "B2"),
        (7, "10", "B2"),
    ]
    dataset = Dataset.create(SOURCES.get("games").card, tables)
    parts = split(dataset, dataset.card.splits["seqrec"])
    assert parts.tolist() == [0, 0, 1, 0, 2, 2, 0, 0]


def test_games_without_maps_of_ids_keep_their_numbers(tmp_path: Path) -> None:
    put(tmp_path, GAMES)
    assert SOURCES.get("games").read(tmp_path).items["item_id"].to_list() == ["1", "2", "3"]
    put(tmp_path, {"user_map.json": {"A1": 0, "A2": 1, "A10": 9}})
    taken = SOURCES.get("games").read(tmp_path).interactions
    assert taken is not None
    assert taken["user_id"].unique(maintain_order=True).to_list() == ["A1", "A2", "A10"]
    put(tmp_path, {"user_map.json": {"1": "A1"}})
    with pytest.raises(DataError, match="no map of ids to numbers"):
        SOURCES.get("games").read(tmp_path)


def test_real_games_keep_their_parts(asset: Callable[[str], Path]) -> None:
    source = SOURCES.get("games")
    dataset = Dataset.create(source.card, source.read(asset("data/amazon-games-dealrec")))
    parts = split(dataset, source.card.splits["seqrec"])
    assert np.bincount(parts).tolist() == [299_987, 22_609, 19_733]
    assert dataset.tables.items["title"].null_count() == 0
    assert dataset.item_ids[0] == "B00004DSDE"


def test_yelp_businesses_count_from_0_and_sequences_from_1(tmp_path: Path) -> None:
    about = {
        "0": {"title": "Café Uno", "description": "Coffee & Tea, Food"},
        "1": {"title": "Dos", "description": "Bars"},
    }
    put(tmp_path, {"Yelp.txt": "1 2 1 2\n2 1\n", "Yelp.item.json": about})
    tables = SOURCES.get("yelp-s3rec").read(tmp_path)
    assert tables.items.rows() == [
        ("1", "Café Uno", ["Coffee & Tea", "Food"]),
        ("2", "Dos", ["Bars"]),
    ]
    assert tables.interactions is not None
    assert tables.interactions["item_id"].to_list() == ["2", "1", "2", "1"]
    put(tmp_path, {"Yelp.item.json": {"0": {"title": "Café Uno"}}})
    with pytest.raises(DataError, match="title and description") as caught:
        SOURCES.get("yelp-s3rec").read(tmp_path)
    assert caught.value.where == str(tmp_path / "Yelp.item.json")


def test_real_yelp_names_are_whole(asset: Callable[[str], Path]) -> None:
    folder = asset("data/yelp-s3rec")
    items = SOURCES.get("yelp-s3rec").read(folder).items
    assert items.null_count().row(0) == (0, 0, 0)
    about = json.loads((folder / "Yelp.item.json").read_text())
    sixth = items.row(5)
    assert (sixth[0], sixth[1]) == ("6", about["5"]["title"])
    assert ", ".join(sixth[2]) == about["5"]["description"]
