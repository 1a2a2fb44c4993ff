"""Bing News from small files of its format and from the real sample."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources import bing_news
from tastebench.data.split import default_split, split
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

TRAIN = (
    "0\ttautog bite coming\t0\t36136:Tautog\r\n"
    "0\twatch tom cruise\t0\t3410:Tom Cruise;8:Scene: One\r\n"
    "0\twatch tom cruise\t1\t3410:Cruise;3410:Tom Cruise\r\n"
    '7\t"quoted title\t1\t\r\n'
    "7\ttautog bite coming\t1\t36136:Tautog\r\n"
)
TEST = "7\tnever seen before\t0\t5:Never\n0\tnever seen before\t1\t5:Never\n"


def put(folder: Path, train: str = TRAIN, test: str = TEST) -> Path:
    (folder / "raw_train.txt").write_bytes(train.encode())
    (folder / "raw_test.txt").write_bytes(test.encode())
    return folder


def key(title: str) -> str:
    return hashlib.blake2b(title.encode(), digest_size=8).hexdigest()


def test_the_title_is_the_item(tmp_path: Path) -> None:
    tables = bing_news.read(put(tmp_path))
    fish, tom, quoted, new = map(
        key, ("tautog bite coming", "watch tom cruise", '"quoted title', "never seen before")
    )
    assert fish == "74fb14359963f750"  # b2sum -l 64
    assert tables.items.rows() == [
        (fish, "tautog bite coming", ["Tautog"]),
        (tom, "watch tom cruise", ["Tom Cruise", "Scene: One", "Cruise"]),
        (quoted, '"quoted title', []),
        (new, "never seen before", ["Never"]),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        ("0", fish, 0, 0),
        ("0", tom, 0, 0),
        ("0", tom, 1, 0),
        ("7", quoted, 1, 0),
        ("7", fish, 1, 0),
        ("7", new, 0, 1),
        ("0", new, 1, 1),
    ]
    assert tables.split is not None
    assert tables.split.rows() == [
        ("0", fish, "train"),
        ("0", tom, "train"),
        ("7", quoted, "train"),
        ("7", fish, "train"),
        ("7", new, "test"),
        ("0", new, "test"),
    ]


def test_the_given_split_has_what_was_clicked(tmp_path: Path) -> None:
    dataset = Dataset.create(bing_news.BING_NEWS.card, bing_news.read(put(tmp_path)))
    parts = split(dataset, default_split(dataset, "ctr"))
    assert parts.tolist() == [0, 2, 0, 0]  # user 0: tom, new; user 7: quoted, fish


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("0\ta title\t2\t1:A\n", "label is neither 0 nor 1"),
        ("0\ta title\tyes\t1:A\n", "label is not a whole number"),
        ("0\t\t1\t1:A\n", "title is missing"),
        ("\ta title\t1\t1:A\n", "user_id is missing"),
        ("0\ta title\n", "label is missing"),
        ("0\ta title\t1\t1:A\tmore\n", "more than 4 fields"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, tmp_path: Path) -> None:
    put(tmp_path, test=TEST + line)
    with pytest.raises(DataError, match=what) as caught:
        bing_news.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'raw_test.txt'}, row 3"


def test_real_sample(asset: Callable[[str], Path]) -> None:
    source = bing_news.BING_NEWS
    tables, repairs = tidy(source.read(asset("data/bing-news-dkn")), "bing-news")
    assert repairs == {}
    dataset = Dataset.create(source.card, tables)
    frame = dataset.tables.interactions
    assert frame is not None
    counts = frame.group_by("row", "label").len().sort("row", "label").rows()
    assert counts == [(0, 0, 4_096), (0, 1, 6_305), (1, 0, 191), (1, 1, 271)]
    assert (dataset.n_users, dataset.n_items, len(frame)) == (469, 9_075, 10_863)
    by_part = frame.group_by("row").agg(pl.col("user_id", "item_id").n_unique()).sort("row")
    assert by_part.rows() == [(0, 469, 8_668), (1, 138, 407)]  # 8,668 + 407: no title in both
    pairs = frame.group_by("user_id", "item_id").agg(
        pl.len(), pl.col("label").n_unique().alias("labels"), pl.col("row").n_unique()
    )
    repeated = pairs.filter(pl.col("len") > 1)
    assert (len(repeated), (repeated["labels"] == 2).sum(), repeated["row"].max()) == (162, 133, 1)
    assert dataset.tables.split is not None
    assert len(dataset.tables.split) == len(pairs) == 10_696


def test_real_lines_are_sorted_by_label(asset: Callable[[str], Path]) -> None:
    tables = bing_news.read(asset("data/bing-news-dkn"))
    assert tables.interactions is not None
    of_user = tables.interactions.filter(pl.col("row") == 0).group_by("user_id").agg("label")
    both = of_user.filter(pl.col("label").list.n_unique() == 2)
    ordered = both.filter(pl.col("label") == pl.col("label").list.sort())
    assert (len(both), len(ordered)) == (444, 349)
