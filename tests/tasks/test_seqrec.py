"""Sequences and targets of hand-made event tables, for every kind of split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tastebench.contracts import SeqProblem, Targets
from tastebench.data.card import SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.split import split
from tastebench.errors import ProtocolError, UsageError
from tastebench.tasks import NO_FORMS, TASKS

TASK = TASKS.get("seqrec")
ITEMS = "u v w x y z"

# User a: u1 v2 w3 x4 y5; user b: v2 z6; user c: w9. Time 12 digits apart does not matter here.
EVENTS = "a u 1, a v 2, b v 2, a w 3, a x 4, a y 5, b z 6, c w 9"


def made(dataset: Dataset, **overrides: Any) -> SeqProblem:
    problem: SeqProblem = TASK.problem(dataset, TASK.protocol(dataset, **overrides))
    return problem


def words(targets: Targets) -> list[str]:
    """Each target as `user: history -> item`."""
    names = ITEMS.split()
    return [
        f"{'abc'[user]}: {''.join(names[i] for i in history)} -> {names[item]}"
        for user, history, item in zip(targets.user, targets.history, targets.item, strict=True)
    ]


def sequences(problem: SeqProblem) -> list[str]:
    names = ITEMS.split()
    return ["".join(names[i] for i in items) for items in problem.train]


@pytest.mark.parametrize(
    ("spec", "train", "valid", "test"),
    [
        (
            SplitSpec(kind="last_out"),
            ["uvw", "", ""],
            ["a: uvw -> x", "b:  -> v"],
            ["a: uvwx -> y", "b: v -> z", "c:  -> w"],
        ),
        (
            SplitSpec(kind="time", valid_from=3, test_from=5),
            ["uv", "v", ""],
            ["a: uv -> w", "a: uvw -> x"],
            ["a: uvwx -> y", "b: v -> z", "c:  -> w"],
        ),
        (
            SplitSpec(kind="ratio", ratios=(0.6, 0.2, 0.2)),
            ["uvw", "vz", "w"],
            ["a: uvw -> x"],
            ["a: uvwx -> y"],
        ),
    ],
    ids=["last_out", "time", "ratio"],
)
def test_every_split_by_hand(
    shop: Callable[..., Dataset],
    spec: SplitSpec,
    train: list[str],
    valid: list[str],
    test: list[str],
) -> None:
    problem = made(shop(EVENTS, ITEMS), split=spec)
    assert sequences(problem) == train
    assert words(problem.valid) == valid
    assert words(problem.test) == test


def test_given_split_and_what_it_drops(shop: Callable[..., Dataset]) -> None:
    import polars as pl

    from tastebench.data.schema import Tables

    dataset = shop(EVENTS, ITEMS)
    table = pl.DataFrame(
        {
            "user_id": ["a", "a", "a", "b", "b"],
            "item_id": ["u", "w", "y", "v", "z"],
            "part": ["train", "valid", "test", "train", "test"],
        }
    )
    tables = Tables(dataset.tables.items, dataset.tables.interactions, split=table)
    problem = made(Dataset.create(dataset.card, tables), split=SplitSpec(kind="given"))
    # a's v and x, and c's w, are in no part: nor are they in anyone's past.
    assert sequences(problem) == ["u", "v", ""]
    assert words(problem.valid) == ["a: u -> w"]
    assert words(problem.test) == ["a: uw -> y", "b: v -> z"]


def test_a_random_split_keeps_time_order_within_histories(shop: Callable[..., Dataset]) -> None:
    dataset = shop(EVENTS, ITEMS)
    spec = SplitSpec(kind="random", by="all", ratios=(0.4, 0.3, 0.3))
    problem = made(dataset, split=spec)
    parts = split(dataset, spec)
    events = dataset.events()
    assert problem.train.values.tolist() == events.item[parts == 0].tolist()
    for targets, part in ((problem.valid, 1), (problem.test, 2)):
        assert targets.row.tolist() == events.row[parts == part].tolist()
        for user, history, row in zip(targets.user, targets.history, targets.row, strict=True):
            [at] = np.flatnonzero(events.row == row)
            mine = (events.user == user) & (np.arange(len(events.user)) < at)
            assert history.tolist() == events.item[mine].tolist()


def test_histories_keep_the_latest_items(shop: Callable[..., Dataset]) -> None:
    """T7: of all earlier items the latest."""
    spec = SplitSpec(kind="last_out")
    problem = made(shop(EVENTS, ITEMS), split=spec, history_length=2)
    assert words(problem.test) == ["a: wx -> y", "b: v -> z", "c:  -> w"]
    assert sequences(problem)[0] == "uvw"


def test_equal_times_are_ordered_by_row(shop: Callable[..., Dataset]) -> None:
    problem = made(shop("a z 5, a u 5, a v 5", ITEMS), split=SplitSpec(kind="last_out"))
    assert words(problem.test) == ["a: zu -> v"]


def test_targets_without_history_are_not_asked_but_counted(
    shop: Callable[..., Dataset], told: Callable[[Any], Any]
) -> None:
    dataset = shop(EVENTS, ITEMS)
    protocol = TASK.protocol(dataset, split=SplitSpec(kind="last_out"))
    problem = TASK.problem(dataset, protocol)
    scores = np.tile([6.0, 5, 4, 3, 2, 1], (8, 1))  # everyone: u v w x y z
    evaluation = TASK.evaluate(told(scores), problem, protocol, "test")
    assert evaluation.ids.tolist() == [0, 1]
    np.testing.assert_allclose(evaluation.values["mrr"], [1 / 5, 1 / 6])
    np.testing.assert_allclose(evaluation.values["ndcg@10"], 1 / np.log2([6, 7]))
    assert evaluation.counts == {
        "asked": 2,
        "users": 2,
        "excluded_short_history": 1,
        "cold_targets": 2,  # y and z are in no training part
        "targets": 2,
        "tied": 0,
    }
    assert evaluation.segments["history"].tolist() == ["1-4", "1-4"]
    assert evaluation.segments["popularity"].tolist() == ["cold", "cold"]
    everyone = protocol.model_copy(update={"min_history": 0})
    assert TASK.evaluate(told(scores), problem, everyone, "test").ids.tolist() == [0, 1, 2]


def test_users_are_averaged_before_the_mean(
    shop: Callable[..., Dataset], told: Callable[[Any], Any]
) -> None:
    dataset = shop(EVENTS, ITEMS)
    spec = SplitSpec(kind="time", valid_from=2, test_from=3)
    protocol = TASK.protocol(dataset, split=spec, metrics=("mrr",))
    problem = TASK.problem(dataset, protocol)
    assert words(problem.test) == [
        "a: uv -> w", "a: uvw -> x", "a: uvwx -> y", "b: v -> z", "c:  -> w",
    ]  # fmt: skip
    scores = np.tile([6.0, 5, 4, 3, 2, 1], (8, 1))
    by_user = TASK.evaluate(told(scores), problem, protocol, "test")
    mean_of_a = (1 / 3 + 1 / 4 + 1 / 5) / 3
    np.testing.assert_allclose(by_user.values["mrr"], [mean_of_a, 1 / 6])
    rows = protocol.model_copy(update={"average": "row"})
    by_row = TASK.evaluate(told(scores), problem, rows, "test")
    assert by_row.ids.tolist() == [0, 1]
    np.testing.assert_allclose(by_row.values["mrr"], [mean_of_a, 1 / 6])
    assert by_row.weights["mrr"].tolist() == [3, 1]
    assert by_row.means()["mrr"] == pytest.approx((1 / 3 + 1 / 4 + 1 / 5 + 1 / 6) / 4)
    assert len(by_row.segments["history"]) == 2


def test_seen_items_leave_the_ranking_if_asked(
    shop: Callable[..., Dataset], told: Callable[[Any], Any]
) -> None:
    dataset = shop("a u 1, a v 2, a w 3, b u 1, b v 2, b u 3", ITEMS)
    spec = SplitSpec(kind="last_out")
    protocol = TASK.protocol(dataset, split=spec, metrics=("mrr",), mask_seen=True)
    problem = TASK.problem(dataset, protocol)
    evaluation = TASK.evaluate(
        told(np.tile([6.0, 5, 4, 3, 2, 1], (6, 1))), problem, protocol, "test", top_k=2
    )
    assert evaluation.values["mrr"].tolist() == [1.0]  # w is first once u and v are gone
    assert evaluation.counts["excluded_seen_target"] == 1  # b took u again
    assert evaluation.top is not None and evaluation.top.items.tolist() == [[2, 3]]


def test_what_was_seen_before_the_history_begins_was_seen(
    shop: Callable[..., Dataset], told: Callable[[Any], Any]
) -> None:
    dataset = shop("a u 1, a v 2, a w 3, b u 1, b v 2, b w 3, b u 4", ITEMS)
    spec = SplitSpec(kind="last_out")
    protocol = TASK.protocol(
        dataset, split=spec, metrics=("mrr",), mask_seen=True, history_length=1
    )
    problem = TASK.problem(dataset, protocol)
    assert words(problem.test) == ["a: v -> w", "b: w -> u"]
    scores = told(np.tile([6.0, 5, 4, 3, 2, 1], (7, 1)))
    evaluation = TASK.evaluate(scores, problem, protocol, "test")
    assert evaluation.values["mrr"].tolist() == [1.0]  # u is gone although the model sees v only
    assert evaluation.counts["excluded_seen_target"] == 1
    cut = protocol.model_copy(update={"mask_seen": False})
    with pytest.raises(ProtocolError, match="does not hold what was seen"):
        TASK.evaluate(scores, TASK.problem(dataset, cut), protocol, "test")


def test_an_empty_part_is_an_error_that_says_why(
    shop: Callable[..., Dataset], told: Callable[[Any], Any]
) -> None:
    dataset = shop("a u 1, b v 9, c w 9", ITEMS)
    spec = SplitSpec(kind="time", valid_from=5, test_from=6)
    protocol = TASK.protocol(dataset, split=spec)
    problem = TASK.problem(dataset, protocol)
    with pytest.raises(ProtocolError, match=r"nothing to ask in this part .*short_history 2"):
        TASK.evaluate(told(np.zeros((3, 6))), problem, protocol, "test")
    with pytest.raises(ProtocolError, match="nothing to ask"):
        TASK.evaluate(told(np.zeros((3, 6))), problem, protocol, "valid")


def test_a_limit_asks_evenly_spread_users(
    shop: Callable[..., Dataset], told: Callable[[Any], Any]
) -> None:
    events = ", ".join(
        f"{user} {item} {time}" for user in "abcdef" for time, item in enumerate("uvw")
    )
    dataset = shop(events, ITEMS)
    protocol = TASK.protocol(dataset, split=SplitSpec(kind="last_out"), limit=3)
    problem = TASK.problem(dataset, protocol)
    evaluation = TASK.evaluate(told(np.zeros((18, 6))), problem, protocol, "test")
    assert evaluation.ids.tolist() == [0, 2, 4]
    assert evaluation.counts["excluded_by_limit"] == 3
    assert len(evaluation.segments["history"]) == 3
    asked = TASK.ask(problem, protocol, "test", NO_FORMS)
    assert asked.queries.user is not None and asked.queries.user.tolist() == [0, 2, 4]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz"), st.integers(0, 9)),
        min_size=1,
        max_size=25,
    ),
    st.sampled_from(
        [
            SplitSpec(kind="last_out"),
            SplitSpec(kind="time", valid_from=4, test_from=7),
            SplitSpec(kind="ratio", ratios=(0.5, 0.25, 0.25)),
            SplitSpec(kind="random", by="user", ratios=(0.5, 0.25, 0.25)),
            SplitSpec(kind="random", by="all", ratios=(0.5, 0.25, 0.25)),
        ]
    ),
    st.integers(1, 4),
)
def test_training_never_holds_a_held_out_event(
    shop: Callable[..., Dataset], events: Any, spec: SplitSpec, length: int
) -> None:
    dataset = shop(", ".join(" ".join(map(str, event)) for event in events), ITEMS)
    try:
        problem = made(dataset, split=spec, history_length=length)
    except UsageError as error:
        assert "empty" in str(error)
        reject()
    table, parts = dataset.events(), split(dataset, spec)
    for user in range(dataset.n_users):
        mine = (table.user == user) & (parts == 0)
        assert problem.train[user].tolist() == table.item[mine].tolist()
    held_out = np.concatenate([problem.valid.row, problem.test.row])
    assert sorted(held_out.tolist()) == sorted(table.row[parts > 0].tolist())
    assert (problem.test.history.lengths <= length).all()
