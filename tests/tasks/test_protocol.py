from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from tastebench.data.card import RowsSpec, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.errors import UsageError
from tastebench.tasks import TASKS, TaskProtocol
from tastebench.tasks import protocol as module

BASE: dict[str, Any] = {
    "task": "seqrec",
    "split": SplitSpec(kind="last_out"),
    "history_length": 50,
    "metrics": ("ndcg@10",),
}


@pytest.mark.parametrize(
    "change",
    [
        {"task": "cf", "history_length": None},
        {"split": SplitSpec(kind="time")},
        {"split": SplitSpec(kind="time", valid_from=1, test_from=2)},
        {"split": SplitSpec(kind="random", seed=1)},
        {"split": SplitSpec(kind="random", seed=2)},
        {"split": SplitSpec(kind="ratio", ratios=(0.4, 0.3, 0.3))},
        {"history_length": 49},
        {"min_history": 2},
        {"mask_seen": True},
        {"average": "row"},
        {"metrics": ("ndcg@20",)},
        {"metrics": ("ndcg@10", "mrr")},
        {"limit": 10},
    ],
    ids=str,
)
def test_every_field_changes_the_fingerprint(
    change: dict[str, Any], shop: Callable[..., Dataset]
) -> None:
    dataset = shop("a x 1, a y 2")
    base = TaskProtocol(**BASE).fingerprint(dataset)
    assert TaskProtocol(**{**BASE, **change}).fingerprint(dataset) != base
    assert TaskProtocol(**BASE).fingerprint(dataset) == base
    assert re.fullmatch("[0-9a-f]{12}", base)


def test_the_least_grade_changes_the_fingerprint_of_a_search(shop: Callable[..., Dataset]) -> None:
    dataset = shop("a x 1")
    protocol = TaskProtocol(task="search", metrics=("mrr",))
    graded = protocol.model_copy(update={"min_grade": 1.0})
    assert graded.fingerprint(dataset) != protocol.fingerprint(dataset)


@pytest.mark.parametrize(
    "change",
    [
        {"group": "impression"},
        {"rows": RowsSpec(source="sampled")},
        {"rows": RowsSpec(source="sampled", negatives=2)},
        {"rows": RowsSpec(source="sampled", seed=1)},
        {"rows": RowsSpec(source="labels", threshold=3.5)},
    ],
    ids=str,
)
def test_every_field_of_labelled_rows_changes_the_fingerprint(
    change: dict[str, Any], shop: Callable[..., Dataset]
) -> None:
    given: dict[str, Any] = {
        "task": "ctr",
        "candidates": "shown",
        "rows": RowsSpec(source="labels"),
        "group": "user",
        "split": SplitSpec(kind="user"),
        "history_length": 20,
        "metrics": ("gauc",),
    }
    dataset = shop("a x 1, a y 2")
    base = TaskProtocol(**given).fingerprint(dataset)
    assert TaskProtocol(**{**given, **change}).fingerprint(dataset) != base


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"candidates": "shown"}, "ctr ranks what was shown, userqa the options"),
        ({"group": "user"}, "group changes nothing in seqrec"),
        ({"rows": RowsSpec(source="labels")}, "rows changes nothing in seqrec"),
        ({"metrics": ("gauc",)}, "metric 'gauc' is computed from rows, not from ranks"),
    ],
)
def test_what_belongs_to_labelled_rows_is_refused_elsewhere(
    change: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        TaskProtocol(**{**BASE, **change})


def test_every_field_is_in_a_table_above_or_has_one_value() -> None:
    single = {"candidates", "ties", "behaviour"}
    tried = {
        "task", "split", "history_length", "min_history", "min_grade", "mask_seen", "average",
        "metrics", "limit", "rows", "group",
        "questions",  # tests/tasks/test_userqa.py
    }  # fmt: skip
    assert set(TaskProtocol.model_fields) == tried | single


def test_data_and_definitions_change_the_fingerprint(
    shop: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = TaskProtocol(**BASE)
    one, other = shop("a x 1, a y 2"), shop("a x 1, a y 3")
    before = protocol.fingerprint(one)
    assert protocol.fingerprint(other) != before
    monkeypatch.setattr(module, "DEFINITIONS", module.DEFINITIONS + 1)
    assert protocol.fingerprint(one) != before


def test_a_protocol_survives_json() -> None:
    protocol = TaskProtocol(**BASE)
    assert TaskProtocol.model_validate_json(protocol.model_dump_json()) == protocol


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"metrics": ()}, UsageError, "at least one metric"),
        ({"metrics": ("ndgc@10",)}, UsageError, "did you mean ndcg"),
        ({"metrics": ("logloss",)}, UsageError, "computed from rows, not from ranks"),
        ({"split": None}, UsageError, "seqrec needs a split"),
        ({"history_length": None}, UsageError, "seqrec needs a history length"),
        ({"history_length": 0}, ValidationError, "history_length"),
        ({"history": 5}, ValidationError, "Extra inputs"),
        ({"candidates": "sampled"}, ValidationError, "candidates"),
        ({"behaviour": "reference"}, ValidationError, "behaviour"),
        ({"min_grade": 1.0}, UsageError, "min_grade changes nothing in seqrec"),
        ({"task": "cf"}, UsageError, "history_length changes nothing in cf: it belongs to seqrec"),
        (
            {"task": "search", "history_length": None},
            UsageError,
            "split changes nothing in search: it belongs to seqrec and cf",
        ),
        (
            {"task": "search", "history_length": None, "split": None, "mask_seen": True},
            UsageError,
            "mask_seen changes nothing in search",
        ),
    ],
)
def test_what_cannot_be_carried_out_is_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TaskProtocol(**{**BASE, **change})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {},
            "seqrec; last item out; latest 50 items; all items ranked; expected value over ties; "
            "mean over users",
        ),
        (
            {"task": "search", "split": None, "history_length": None, "average": "row",
             "min_grade": 0.5, "limit": 2000},
            "search; relevant from grade 0.5; all items ranked; expected value over ties; "
            "mean over queries; only 2,000 asked",
        ),
        (
            {"mask_seen": True},
            "seqrec; last item out; latest 50 items; all items ranked, seen ones left out; "
            "expected value over ties; mean over users",
        ),
    ],
)  # fmt: skip
def test_describe_says_it_in_one_line(change: dict[str, Any], text: str) -> None:
    assert TaskProtocol(**{**BASE, **change}).describe() == text


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (SplitSpec(kind="time"), "by time 80/10/10"),
        (
            SplitSpec(kind="time", valid_from=5, test_from=9),
            "by time, valid from 5 ms, test from 9 ms",
        ),
        (SplitSpec(kind="ratio"), "each user's last by ratio 80/10/10"),
        (SplitSpec(kind="random"), "random 80/10/10 per user, seed 101"),
        (SplitSpec(kind="given"), "given split"),
        (
            SplitSpec(kind="random", drop_cold=True),
            "random 80/10/10 per user, seed 101, cold rows left out",
        ),
        (
            SplitSpec(kind="last_out", cold_items=0.05),
            "last item out, 0.05 of test's items in no other part",
        ),
    ],
)  # fmt: skip
def test_splits_in_words(split: SplitSpec, words: str) -> None:
    assert module.describe_split(split) == words


def test_defaults_come_from_the_card(shop: Callable[..., Dataset]) -> None:
    split = SplitSpec(kind="ratio", ratios=(0.5, 0.25, 0.25))
    dataset = shop("a x 1, a y 2", splits={"seqrec": split}, history_length=7)
    protocol = TASKS.get("seqrec").protocol(dataset)
    assert protocol.split == split and protocol.history_length == 7
    assert protocol.headline == "ndcg@10" and not protocol.mask_seen
    assert TASKS.get("cf").protocol(dataset).split != split
    assert TASKS.get("cf").protocol(dataset).mask_seen
    assert TASKS.get("search").protocol(dataset).split is None
    changed = TASKS.get("seqrec").protocol(dataset, history_length=3, metrics=("mrr",))
    assert changed.history_length == 3 and changed.headline == "mrr"


@pytest.mark.parametrize("name", TASKS.names())
def test_every_task_is_whole(name: str) -> None:
    task = TASKS.get(name)
    assert task.name == name and task.metrics
    assert {"random", "majority"} & set(task.controls)  # what knows nothing of the asker
    from tastebench.recommenders import get_recommender

    for recommender in (task.default_recommender, *task.controls):
        assert name in get_recommender(recommender).tasks
