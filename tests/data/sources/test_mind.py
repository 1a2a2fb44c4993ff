"""MIND from small files of its format and from the real sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.catalog import load_dataset
from tastebench.data.schema import validate
from tastebench.data.sources import mind
from tastebench.errors import DataError
from tastebench.tasks import TASKS

NEWS = (
    'N1\tnews\tus\tA "quoted" title\tAbstract\thttp://x\t[]\t[]\nN2\tsports\tgolf\tPutt\t\th\t\t\n'
)
TRAIN = (
    "1\tU1\t11/9/2019 12:05:00 AM\tN2 N1 N2\tN1-0 N3-1\n"
    "2\tU2\t11/14/2019 12:05:00 PM\t\tN2-1\n"
)  # fmt: skip
DEV = "1\tU1\t11/15/2019 8:00:00 AM\tN2 N1 N2 N3\tN1-1\n2\tU3\t11/15/2019 9:00:00 AM\tN1\tN2-0\n"


def put(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".tsv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def test_train_alone(tmp_path: Path) -> None:
    tables = mind.read(put(tmp_path, behaviors=TRAIN, news=NEWS), "small")
    assert tables.items.rows() == [
        ("N1", 'A "quoted" title', "Abstract", "news", "us"),
        ("N2", "Putt", None, "sports", "golf"),
        ("N3", None, None, None, None),
    ]
    assert tables.impressions is not None
    night, noon = 1_573_257_900_000, 1_573_733_100_000  # 2019-11-09T00:05Z, 2019-11-14T12:05Z
    assert tables.impressions.rows() == [
        ("train-1", "U1", "N1", night, 0, 0),
        ("train-1", "U1", "N3", night, 1, 1),
        ("train-2", "U2", "N2", noon, 0, 1),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [(0, "U1", "N3", night), (1, "U2", "N2", noon)]
    assert tables.histories is not None
    assert tables.histories.rows() == [("U1", ["N2", "N1", "N2"])]


def test_both_parts_as_one(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        MINDsmall_train__behaviors=TRAIN,
        MINDsmall_train__news=NEWS,
        MINDsmall_dev__behaviors=DEV,
        MINDsmall_dev__news=NEWS.splitlines()[1] + "\nN3\tnews\tus\tLate\t\th\t\t\n",
    )
    tables = mind.read(raw, "small")
    assert tables.items["item_id"].to_list() == ["N1", "N2", "N3"]
    assert tables.items["title"][2] == "Late"
    assert tables.impressions is not None
    assert tables.impressions["impression_id"].unique(maintain_order=True).to_list() == [
        "train-1",
        "train-2",
        "dev-1",
        "dev-2",
    ]
    assert tables.histories is not None
    assert dict(tables.histories.iter_rows()) == {"U1": ["N2", "N1", "N2"], "U3": ["N1"]}
    spec = mind.SMALL.card.splits["ctr"]
    assert spec.valid_from is not None
    assert spec.test_from is not None
    days = [
        "train" if t < spec.valid_from else "valid" if t < spec.test_from else "test"
        for t in tables.impressions["time"]
    ]
    assert days == ["train", "train", "valid", "test", "test"]


def test_a_user_of_both_parts_has_what_the_first_one_added(home: Path, tmp_path: Path) -> None:
    """The later part is asked with the clicks of the earlier one behind the history, each once."""
    raw = put(
        tmp_path,
        MINDsmall_train__behaviors=TRAIN,
        MINDsmall_train__news=NEWS,
        MINDsmall_dev__behaviors=DEV,
        MINDsmall_dev__news=NEWS,
    )
    dataset = load_dataset("mind-small", raw=raw)
    task = TASKS.get("ctr")
    problem = task.problem(dataset, task.protocol(dataset))
    had = problem.history[problem.test.context]
    asked = {
        dataset.everyone[user]: [dataset.item_ids[item] for item in items]
        for user, items in zip(problem.test.user.tolist(), had.to_lists(), strict=True)
    }
    assert asked == {"U1": ["N2", "N1", "N2", "N3"], "U3": ["N1"]}
    first = problem.history[problem.train.context]
    assert [[dataset.item_ids[i] for i in items] for items in first.to_lists()] == [
        ["N2", "N1", "N2"]
    ] * 2


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("3\tU1\t2019-11-09\t\tN1-0\n", "time is not of the form"),
        ("3\tU1\t11/9/2019 12:05:00 AM\t\tN1 N2\n", "impressions are not news-0 or news-1"),
        ("3\t\t11/9/2019 12:05:00 AM\t\tN1-1\n", "user_id is missing"),
        ("3\tU1\n", "time is missing"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, tmp_path: Path) -> None:
    raw = put(tmp_path, behaviors=TRAIN + line, news=NEWS)
    with pytest.raises(DataError, match=what) as caught:
        mind.read(raw, "small")
    assert caught.value.where == f"{tmp_path / 'behaviors.tsv'}, row 3"


def test_real_sample(asset: Callable[[str], Path]) -> None:
    tables = validate(mind.SMALL.read(asset("data/mind-small-sample")), "mind-small")
    assert tables.impressions is not None
    assert tables.impressions["impression_id"].n_unique() == 5_000
    assert len(tables.impressions) == 189_359
    assert tables.impressions["user_id"].n_unique() == 4_637
    assert tables.items["title"].drop_nulls().len() == 2_000
    assert tables.items["abstract"].drop_nulls().len() == 1_901
    known = tables.items.filter(tables.items["title"].is_not_null())["item_id"]
    assert tables.impressions["item_id"].is_in(known.implode()).sum() == 5_310
