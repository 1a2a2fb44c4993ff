"""CoLLM's click set from small files of its format and from the real one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.schema import PARTS
from tastebench.data.sources import collm
from tastebench.data.split import default_split, split
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

ROWS = {
    "train": [(1, 1, 1, 994_556_598), (2, 3, 0, 1_009_669_071), (2, 1, 1, 1_009_669_071)],
    "valid": [(2, 2, 1, 1_018_930_306)],
    "test": [(1, 3, 1, 1_040_544_350)],
}
TITLES = 'iid\ttitle\n1\tAlien³ (1992)\n2\t"Quoted" One, The (1999)\n3\tOf No Genre (2000)\n4\tX\n'
MOVIES = (
    "1320::Alien³ (1992)::Action|Horror|Sci-Fi\n"
    '5::"Quoted" One, The (1999)::Drama\n'
    "6::Of No Genre (2000)::\n"
)


def put(folder: Path, movies: str | None = MOVIES) -> Path:
    for part, rows in ROWS.items():
        keys = ("uid", "iid", "label", "timestamp")
        lines = [json.dumps(dict(zip(keys, row, strict=True)) | {"his": [0]}) for row in rows]
        (folder / f"collm_{part}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "collm_item_titles.tsv").write_text(TITLES, encoding="utf-8")
    if movies is not None:
        (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    return folder


def test_three_parts_with_labels_and_times(tmp_path: Path) -> None:
    tables = collm.read(put(tmp_path))
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "1", "1", 994_556_598_000, 1),
        (1, "2", "3", 1_009_669_071_000, 0),
        (2, "2", "1", 1_009_669_071_000, 1),
        (3, "2", "2", 1_018_930_306_000, 1),
        (4, "1", "3", 1_040_544_350_000, 1),
    ]
    assert tables.split is not None
    assert tables.split.rows() == [
        ("1", "1", "train"),
        ("2", "3", "train"),
        ("2", "1", "train"),
        ("2", "2", "valid"),
        ("1", "3", "test"),
    ]
    assert tables.items.rows() == [
        ("1", "Alien³ (1992)", ["Action", "Horror", "Sci-Fi"]),
        ("2", '"Quoted" One, The (1999)', ["Drama"]),
        ("3", "Of No Genre (2000)", []),
    ]
    dataset = Dataset.create(collm.COLLM.card, tables)
    assert split(dataset, default_split(dataset, "ctr")).tolist() == [0, 2, 0, 1]


def test_without_genres(tmp_path: Path) -> None:
    assert collm.read(put(tmp_path, movies=None)).items.columns == ["item_id", "title"]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"uid": 1, "iid": 2, "label": 3, "timestamp": 5}', "label is neither 0 nor 1"),
        ('{"uid": 1, "iid": 2, "timestamp": 5}', "label is missing"),
        ('{"uid": 1, "iid": "x", "label": 1, "timestamp": 5}', "iid is not a whole number"),
        ('{"uid": 1, "iid": 2, "label": 1, "timest', "no JSON object"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, tmp_path: Path) -> None:
    path = put(tmp_path) / "collm_test.jsonl"
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(DataError, match=f"{what} in 1 row") as caught:
        collm.read(tmp_path)
    assert caught.value.where == f"{path}, row 3"


def test_bad_movies_are_named(tmp_path: Path) -> None:
    put(tmp_path, movies=MOVIES + "7:Broken (2001):Drama\n")
    with pytest.raises(DataError, match="not the fields of a movie in 1 row") as caught:
        collm.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'movies.dat'}, row 4"


def test_real_click_set(asset: Callable[[str], Path]) -> None:
    source = collm.COLLM
    tables, repairs = tidy(source.read(asset("data/ml-1m")), "collm-movielens")
    assert repairs == {}
    dataset = Dataset.create(source.card, tables)
    frame = dataset.tables.interactions
    assert frame is not None
    assert (dataset.n_users, dataset.n_items, len(frame)) == (838, 3_255, 51_623)
    assert not frame.select("user_id", "item_id").is_duplicated().any()
    assert dataset.tables.split is not None
    given = frame.with_columns(dataset.tables.split["part"])
    facts = {}
    for (part,), rows in given.group_by("part"):
        facts[part] = (len(rows), rows["label"].sum(), rows["user_id"].n_unique())
    assert facts == {
        "train": (33_891, 18_191, 740),
        "valid": (10_401, 5_495, 356),
        "test": (7_331, 3_998, 320),
    }
    parts = split(dataset, default_split(dataset, "ctr"))
    assert np.bincount(parts).tolist() == [18_191, 5_495, 3_998]
    genres = dataset.tables.items["genres"]
    assert genres.list.len().min() == 1
    assert dataset.tables.items["title"].n_unique() == 3_255


def test_real_histories_are_the_earlier_clicks(asset: Callable[[str], Path]) -> None:
    """What the card says of `his`, from the files themselves and row by row."""
    folder, rows = asset("data/ml-1m"), []
    for part in PARTS:
        with (folder / f"collm_{part}.jsonl").open() as lines:
            rows += [json.loads(line) for line in lines]
    order = sorted(range(len(rows)), key=lambda at: (rows[at]["uid"], rows[at]["timestamp"], at))
    clicks: dict[int, list[tuple[int, int]]] = defaultdict(list)
    equal = of_one_second = 0
    for at in order:
        row = rows[at]
        before = clicks[row["uid"]]
        equal += row["his"] == [0, *(item for item, _ in before)]
        of_one_second += bool(before) and before[-1][1] == row["timestamp"]
        if row["label"] == 1:
            before.append((row["iid"], row["timestamp"]))
    assert equal == len(rows) == 51_623
    assert of_one_second / len(rows) == pytest.approx(0.210, abs=0.0005)
