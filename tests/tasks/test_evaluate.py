from __future__ import annotations

import numpy as np
import pytest

from tastebench.contracts import Queries, Ranking
from tastebench.data.card import SplitSpec
from tastebench.ragged import Ragged
from tastebench.tasks import TaskProtocol
from tastebench.tasks.evaluate import (
    Asked,
    history_segment,
    mean_by,
    measure_answers,
    popularity_segment,
)

PROTOCOL = TaskProtocol(
    task="cf", split=SplitSpec(kind="last_out"), metrics=("recall@2", "mrr"), average="user"
)


class Lists:
    """Generates: a list with an invalid slot and a repeat, and one without the answer."""

    def generate(self, queries: Queries, k: int) -> Ranking:
        items = np.array([[3, -1, 1, 3], [0, 1, 2, 4]], np.int32)[:, :k]
        return Ranking(items, np.zeros(items.shape, np.float32))


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
        "duplicate": 1,
    }
    assert evaluation.top is not None and evaluation.top.items.tolist() == [[3, -1], [0, 1]]


def test_group_means_ignore_what_is_undefined() -> None:
    groups = np.array([0, 0, 1, 2, 2])
    values = np.array([1.0, np.nan, np.nan, 0.5, 0.25])
    np.testing.assert_array_equal(mean_by(groups, values, 3), [1, np.nan, 0.375])


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
