"""MicroLens-50k: the official tables in their format, DEALRec's layout, and its real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources.microlens import MICROLENS_50K
from tastebench.data.split import default_split, split
from tastebench.errors import DataError

PAIRS = (
    "user,item,timestamp\n36121,10612,1583378629552\n2,415,1662984132429\n36121,415,1662984132429\n"
)
TITLES = (
    "item,title\n"
    '415,"# Food, ""really"" good\nsecond line"\n'
    "10612,西班牙 #颜值\n"
    "9,never watched\n"
    "415,again\n"
)
SEQUENCES = {
    "sequential_train.txt": "1 1 2\n2 3\n",
    "sequential_valid.txt": "1\n2 1\n",
    "sequential_test.txt": "1 3\n2\n",
    "title_maps.json": json.dumps({"seqid2title": {"1": "# Food", "2": "视频", "3": "Farm"}}),
    "item_map.json": json.dumps({"10612": 0, "415": 1, "9": 2}),
    "user_map.json": json.dumps({"36121": 0, "26572": 1}),
}


@pytest.fixture
def official(tmp_path: Path) -> Path:
    (tmp_path / "MicroLens-50k_pairs.csv").write_text(PAIRS)
    (tmp_path / "MicroLens-50k_titles.csv").write_text(TITLES, encoding="utf-8")
    return tmp_path


def test_the_official_tables(official: Path) -> None:
    tables = MICROLENS_50K.read(official)
    assert tables.items.rows() == [
        ("415", '# Food, "really" good\nsecond line'),
        ("10612", "西班牙 #颜值"),
        ("415", "again"),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "36121", "10612", 1_583_378_629_552),
        (1, "2", "415", 1_662_984_132_429),
        (2, "36121", "415", 1_662_984_132_429),
    ]
    assert tables.split is None


def test_seconds_are_refused(official: Path) -> None:
    path = official / "MicroLens-50k_pairs.csv"
    path.write_text(PAIRS + "2,9,1662984132\n")
    with pytest.raises(DataError, match="timestamp is not in milliseconds") as caught:
        MICROLENS_50K.read(official)
    assert caught.value.where == f"{path}, row 5"


def test_bad_pairs_are_named(official: Path) -> None:
    path = official / "MicroLens-50k_pairs.csv"
    path.write_text(PAIRS + ",9,1662984132429\n")
    with pytest.raises(DataError, match="user is missing") as caught:
        MICROLENS_50K.read(official)
    assert caught.value.where == f"{path}, row 5"
    path.write_text(PAIRS.replace("user,item", "userID,videoID"))
    with pytest.raises(DataError, match=r"no column user, item \(found: userID, videoID"):
        MICROLENS_50K.read(official)


def test_dealrec_s_layout_brings_its_split(tmp_path: Path) -> None:
    for name, text in SEQUENCES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    dataset = Dataset.create(MICROLENS_50K.card, MICROLENS_50K.read(tmp_path))
    assert dataset.tables.items.rows() == [("10612", "# Food"), ("415", "视频"), ("9", "Farm")]
    assert dataset.tables.interactions is not None
    assert dataset.tables.interactions.select("user_id", "item_id").rows() == [
        ("36121", "10612"),
        ("36121", "415"),
        ("36121", "9"),
        ("26572", "9"),
        ("26572", "10612"),
    ]
    for task in MICROLENS_50K.card.tasks:
        assert default_split(dataset, task).kind == "given"
    parts = split(dataset, default_split(dataset, "seqrec"))
    assert parts.tolist() == [0, 0, 2, 0, 1]
    (tmp_path / "sequential_valid.txt").unlink()
    with pytest.raises(DataError, match=r"there is no sequential_valid\.txt"):
        MICROLENS_50K.read(tmp_path)


def test_the_official_tables_are_taken_where_both_are(official: Path) -> None:
    for name, text in SEQUENCES.items():
        (official / name).write_text(text, encoding="utf-8")
    assert MICROLENS_50K.read(official).split is None


def test_real_sequences(asset: Callable[[str], Path]) -> None:
    folder = asset("data/microlens-50k")
    dataset = Dataset.create(MICROLENS_50K.card, MICROLENS_50K.read(folder))
    assert (dataset.n_users, dataset.n_items, len(dataset.events().user)) == (
        49_887,
        19_217,
        359_048,
    )
    parts = split(dataset, default_split(dataset, "seqrec"))
    assert np.bincount(parts).tolist() == [287_768, 35_970, 35_310]
    assert dataset.tables.items["title"].null_count() == 0
    # Ids are the release's, which counts people to 50,000 and videos to 20,000.
    assert dataset.item_ids[0] == next(iter(json.loads((folder / "item_map.json").read_text())))
    numbers = dataset.user_ids.cast(int)
    assert (numbers.min(), numbers.max()) == (1, 50_000)
