from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.contracts import Queries, Ranking
from tastebench.data.card import SplitSpec
from tastebench.metrics.groups import mean_by
from tastebench.metrics.measure import measure
from tastebench.ragged import Ragged
from tastebench.tasks import TaskProtocol
from tastebench.tasks.evaluate import (
    Asked,
    history_segment,
    measure_answers,
    popularity_segment,
)
from tastebench.tasks.rank import rank_targets

PROTOCOL = TaskProtocol(
    task="cf", split=SplitSpec(kind="last_out"), metrics=("recall@2", "mrr"), average="user"
)


class Told:
    """Scores from a matrix; a query is a row of it by `row`."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        assert queries.row is not None
        scores: np.ndarray = self.matrix[queries.row, items]
        return scores


class Lists:
    """Generates: a list with an invalid slot and a repeat, and a short one without the answer."""

    def generate(self, queries: Queries, k: int) -> Ranking:
        items = np.array([[3, -1, 1, 3], [0, 1, 2, -1]], np.int32)
        scores = np.array([[-1, -2, -2, -3], [0, 0, -9, -np.inf]], np.float32)
        return Ranking(items[:, :k], scores[:, :k])


def test_generated_lists_are_measured_and_their_slots_counted() -> None:
    asked = Asked(
        unit="user",
        ids=np.array([4, 6]),
        n_items=6,
        queries=Queries(2, user=np.array([4, 6])),
        relevant=Ragged.from_lists([[1, 3], [5]]),
        counts={"excluded_no_target": 1},
    )
    protocol = PROTOCOL.model_copy(update={"metrics": ("recall@2", "recall@4", "mrr@4")})
    evaluation = measure_answers(Lists(), asked, protocol, top_k=2)
    assert evaluation.values["recall@2"].tolist() == [0.5, 0]
    assert evaluation.values["recall@4"].tolist() == [1, 0]
    assert evaluation.values["mrr@4"].tolist() == [1, 0]
    assert evaluation.counts == {
        "asked": 2,
        "users": 2,
        "excluded_no_target": 1,
        "targets": 3,
        "tied": 0,
        "not_generated": 1,
        "invalid": 1,
        "empty": 1,
        "duplicate": 1,
    }
    assert evaluation.top is not None and evaluation.top.items.tolist() == [[3, -1], [0, 1]]


def test_equals_of_a_generated_list_are_measured_by_expectation() -> None:
    """Three items share slots 2 to 4, and the cut lies within: each is in two slots with 1 / 3."""

    class Shared:
        def generate(self, queries: Queries, k: int) -> Ranking:
            assert k == 2
            items = np.array([[3, 0, 1, 4]] * 4, np.int32)
            return Ranking(items, np.array([[-1, -2, -2, -2]] * 4, np.float32), ties=True)

    asked = Asked(
        unit="user",
        ids=np.arange(4),
        n_items=6,
        queries=Queries(4, user=np.arange(4)),
        relevant=Ragged.from_lists([[3], [0], [4], [5]]),
    )
    protocol = PROTOCOL.model_copy(update={"metrics": ("recall@2",)})
    evaluation = measure_answers(Shared(), asked, protocol, top_k=2)
    np.testing.assert_allclose(evaluation.values["recall@2"], [1, 1 / 3, 1 / 3, 0])
    assert (evaluation.counts["tied"], evaluation.counts["not_generated"]) == (2, 1)
    assert evaluation.top is not None and evaluation.top.items.tolist() == [[3, 0]] * 4


def test_group_means_ignore_what_is_undefined() -> None:
    groups = np.array([0, 0, 1, 2, 2])
    values = np.array([1.0, np.nan, np.nan, 0.5, 0.25])
    mean, count = mean_by(groups, values, 3)
    np.testing.assert_array_equal(mean, [1, np.nan, 0.375])
    np.testing.assert_array_equal(count, [1, 0, 2])


def test_group_means_weigh() -> None:
    groups, values = np.array([1, 0, 1]), np.array([1.0, 0.25, 0.0])
    mean, weight = mean_by(groups, values, 2, np.array([3, 5, 1]))
    np.testing.assert_array_equal(mean, [0.25, 0.75])
    np.testing.assert_array_equal(weight, [5, 4])


# ------------------------------------------------------------------- what a unit counts in a mean


def questions(user: list[int], relevant: list[list[int]]) -> Asked:
    """Questions of users among eight items; the n-th reads row n of a matrix."""
    n = len(user)
    return Asked(
        unit="user",
        ids=np.array(user),
        n_items=8,
        queries=Queries(n, user=np.array(user), row=np.arange(n)),
        relevant=Ragged.from_lists(relevant),
        segments={"history": np.array(["1-4"] * len(set(user)))},
    )


def of(average: str, *metrics: str) -> TaskProtocol:
    return PROTOCOL.model_copy(update={"average": average, "metrics": metrics})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=2, max_size=8), st.data())
def test_the_mean_over_rows_is_a_weighted_mean_over_users(
    relevant: list[list[int]], data: st.DataObject
) -> None:
    relevant = [sorted(set(items)) for items in relevant]
    user = sorted(data.draw(st.lists(st.integers(0, 3), min_size=len(relevant),
                                     max_size=len(relevant))))  # fmt: skip
    scores = np.array(data.draw(st.lists(
        st.lists(st.integers(0, 2), min_size=8, max_size=8),
        min_size=len(relevant), max_size=len(relevant),
    )), float)  # fmt: skip
    asked = questions(user, relevant)
    rows = measure(
        ["mrr", "recall@2"], rank_targets(Told(scores), asked.queries, asked.relevant, 8)
    )
    found = measure_answers(Told(scores), asked, of("row", "mrr", "recall@2"))
    assert found.ids.tolist() == sorted(set(user))
    assert len(found.segments["history"]) == len(found.ids)
    for name, column in rows.items():
        want = np.nan if np.isnan(column).all() else np.nanmean(column)
        assert found.means()[name] == pytest.approx(want, nan_ok=True)


def test_weights_are_the_rows_that_have_a_value_and_are_left_out_where_they_are_one() -> None:
    scores = Told(np.tile(np.arange(8.0)[::-1], (4, 1)))
    asked = questions([2, 2, 2, 5], [[0], [], [3], [1]])
    by_row = measure_answers(scores, asked, of("row", "mrr"))
    np.testing.assert_allclose(by_row.values["mrr"], [(1 + 1 / 4) / 2, 1 / 2])
    assert by_row.weights["mrr"].tolist() == [2, 1]
    assert by_row.means()["mrr"] == pytest.approx((1 + 1 / 4 + 1 / 2) / 3)
    by_user = measure_answers(scores, asked, of("user", "mrr"))
    assert by_user.weights == {} and by_user.values["mrr"].tolist() == by_row.values["mrr"].tolist()
    assert by_user.means()["mrr"] == pytest.approx((5 / 8 + 1 / 2) / 2)
    once = measure_answers(scores, questions([2, 3, 4, 5], [[0], [], [3], [1]]), of("row", "mrr"))
    assert once.weights == {}


@pytest.mark.parametrize("average", ["user", "row"])
def test_a_metric_over_pairs_is_one_whatever_the_average(average: str) -> None:
    # Ranks 1 and 3, then 2, of one user; rank 8 of another: pairs 1, 1/3, 1/2, 1/8.
    scores = Told(np.tile(np.arange(8.0)[::-1], (3, 1)))
    asked = questions([0, 0, 1], [[0, 2], [1], [7]])
    found = measure_answers(scores, asked, of(average, "mrr_pairwise", "mrr"))
    assert found.means()["mrr_pairwise"] == pytest.approx((1 + 1 / 3 + 1 / 2 + 1 / 8) / 4)
    np.testing.assert_allclose(found.values["mrr_pairwise"], [(1 + 1 / 3 + 1 / 2) / 3, 1 / 8])
    assert found.weights["mrr_pairwise"].tolist() == [3, 1]
    assert list(found.weights) == (
        ["mrr_pairwise", "mrr"] if average == "row" else ["mrr_pairwise"]
    )


@pytest.mark.parametrize(
    ("length", "label"),
    [(0, "0"), (1, "1-4"), (4, "1-4"), (5, "5-9"), (10, "10-19"), (20, "20-49"), (50, "50+"),
     (900, "50+")],
)  # fmt: skip
def test_history_labels(length: int, label: str) -> None:
    assert history_segment(np.array([0]), np.array([length])).tolist() == [label]


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        # 12 interactions: four items have 1 (centre 2), one has 2 (centre 5), one has 6 (centre 9).
        ([6, 2, 1, 1, 1, 1, 0], ["head", "middle", "tail", "tail", "tail", "tail", "cold"]),
        # 15 interactions, centres 0.5, 2, 4.5, 8, 12.5 from the rarest on.
        ([5, 4, 3, 2, 1], ["head", "middle", "tail", "tail", "tail"]),
        ([2, 2, 2], ["middle", "middle", "middle"]),
        ([0, 0], ["cold", "cold"]),
    ],
)
def test_popularity_thirds_by_hand(train: list[int], expected: list[str]) -> None:
    relevant = Ragged.from_lists([[i] for i in range(len(train))])
    labels = popularity_segment(np.arange(len(train)), relevant, np.array(train))
    assert labels.tolist() == expected


def test_a_unit_with_several_targets_takes_their_lower_median() -> None:
    train = np.array([5, 4, 3, 2, 1, 0])
    ids = np.array([2, 2, 7])
    relevant = Ragged.from_lists([[0, 5], [4], [1, 0]])
    # Unit 2: counts 5, 0, 1 -> 1; unit 7: counts 4, 5 -> 4.
    assert popularity_segment(ids, relevant, train).tolist() == ["tail", "middle"]
