from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tastebench.contracts import CfProblem
from tastebench.data.card import SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.errors import UsageError
from tastebench.tasks import NO_FORMS, TASKS

TASK = TASKS.get("cf")
ITEMS = "u v w x y z"
BY_TIME = SplitSpec(kind="time", valid_from=10, test_from=20)

# a: train u w, valid x, test v (and w again, which is no test pair: it was in train);
# b: test z only; c: train v, nothing held out; d: train y, valid y again, test u v.
EVENTS = (
    "a w 1, a u 2, c v 3, d y 4, a x 11, d y 12, a v 20, a w 21, b z 22, d v 23, d u 24, d u 25"
)


def by_row(told: Callable[[Any], Any], scores: Any) -> Any:
    """A recommender that scores by user, where a query has no row."""
    recommender = told(scores)

    class ByUser:
        def scores(self, queries: Any, items: slice) -> np.ndarray:
            return recommender.matrix[queries.user][:, items]

    return ByUser()


def made(dataset: Dataset, **overrides: Any) -> tuple[CfProblem, Any]:
    protocol = TASK.protocol(dataset, split=BY_TIME, **overrides)
    return TASK.problem(dataset, protocol), protocol


def test_pairs_count_once_in_the_part_of_their_earliest_event(shop: Callable[..., Dataset]) -> None:
    problem, _ = made(shop(EVENTS, ITEMS))
    # Users in order of appearance: a c d b; items sorted: u v w x y z = 0 .. 5.
    assert problem.train.to_lists() == [[0, 2], [1], [4], []]
    assert problem.valid.to_lists() == [[3], [], [], []]
    assert problem.test.to_lists() == [[1], [], [0, 1], [5]]
    assert problem.train.values.dtype == np.int32


def test_known_items_leave_the_ranking_phase_by_phase(shop: Callable[..., Dataset]) -> None:
    problem, protocol = made(shop(EVENTS, ITEMS))
    valid = TASK.ask(problem, protocol, "valid", NO_FORMS)
    assert valid.ids.tolist() == [0] and valid.exclude is not None
    assert valid.exclude.to_lists() == [[0, 2]]
    test = TASK.ask(problem, protocol, "test", NO_FORMS)
    assert test.ids.tolist() == [0, 2, 3] and test.exclude is not None
    assert test.exclude.to_lists() == [[0, 2, 3], [4], []]
    assert test.queries.history is not None
    assert test.queries.history.to_lists() == [[0, 2], [4], []]  # training items in both phases
    everything = protocol.model_copy(update={"mask_seen": False})
    assert TASK.ask(problem, everything, "test", NO_FORMS).exclude is None


def test_metrics_by_hand(shop: Callable[..., Dataset], told: Callable[[Any], Any]) -> None:
    problem, _ = made(shop(EVENTS, ITEMS))
    _, protocol = made(shop(EVENTS, ITEMS), metrics=("ndcg@2", "recall@2", "mrr"))
    # Everyone gets u v w x y z. a: u w x are known, so v is first. d: y is known; u, v are first
    # and second. b: z is last of six.
    scores = np.tile([6.0, 5, 4, 3, 2, 1], (4, 1))
    evaluation = TASK.evaluate(by_row(told, scores), problem, protocol, "test", top_k=3)
    assert evaluation.ids.tolist() == [0, 2, 3]
    np.testing.assert_allclose(evaluation.values["ndcg@2"], [1, 1, 0])
    np.testing.assert_allclose(evaluation.values["recall@2"], [1, 1, 0])
    np.testing.assert_allclose(evaluation.values["mrr"], [1, 1, 1 / 6])
    assert evaluation.top is not None
    assert evaluation.top.items.tolist() == [[1, 4, 5], [0, 1, 2], [0, 1, 2]]
    assert evaluation.counts == {
        "asked": 3,
        "users": 3,
        "excluded_no_target": 1,
        "excluded_short_history": 0,
        "cold_users": 1,
        "cold_targets": 1,  # z is in nobody's training part; u and v are
        "targets": 4,
        "tied": 0,
    }
    assert evaluation.segments["history"].tolist() == ["1-4", "1-4", "0"]
    assert evaluation.segments["popularity"][2] == "cold"


def test_users_without_training_items_can_be_left_out(shop: Callable[..., Dataset]) -> None:
    problem, protocol = made(shop(EVENTS, ITEMS), min_history=1)
    asked = TASK.ask(problem, protocol, "test", NO_FORMS)
    assert asked.ids.tolist() == [0, 2]
    assert asked.counts["excluded_short_history"] == 1 and asked.counts["cold_users"] == 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from("uvwxyz"), st.integers(0, 30)),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(
        [
            BY_TIME,
            SplitSpec(kind="last_out"),
            SplitSpec(kind="random", by="all", ratios=(0.4, 0.3, 0.3)),
        ]
    ),
)
def test_parts_are_disjoint_sorted_and_whole(
    shop: Callable[..., Dataset], events: Any, spec: SplitSpec
) -> None:
    dataset = shop(", ".join(" ".join(map(str, event)) for event in events), ITEMS)
    try:
        problem = TASK.problem(dataset, TASK.protocol(dataset, split=spec))
    except UsageError as error:
        assert "empty" in str(error)
        reject()
    table = dataset.events()
    for user in range(dataset.n_users):
        lists = [part[user].tolist() for part in (problem.train, problem.valid, problem.test)]
        assert all(items == sorted(set(items)) for items in lists)
        together = [item for items in lists for item in items]
        assert sorted(together) == sorted(set(table.item[table.user == user].tolist()))
