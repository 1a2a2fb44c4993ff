from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.training.fit import FabricTrainer

CARD = get_recommender("graph-walk")
N = 5


def problem(train: Sequence[Sequence[int]], n_items: int = N) -> SeqProblem:
    empty = np.empty(0, np.int64)
    none = Targets(empty, Ragged.from_lists([]), empty.astype(np.int32), empty)
    return SeqProblem(n_items, len(train), 50, Ragged.from_lists(train), none, none)


def fitted(
    train: Sequence[Sequence[int]], vectors: np.ndarray | None = None, **params: Any
) -> tuple[Any, Any]:
    walk = CARD.build(CARD.config(**params))
    forms = ("id",) if vectors is None else ("vector",)
    items = Items(n=N, vector=vectors, forms=forms)  # type: ignore[arg-type]
    return walk, walk.fit(problem(train), items, FabricTrainer(seed=0))


def asked(*histories: Sequence[int]) -> Queries:
    return Queries(len(histories), history=Ragged.from_lists(histories))


def brute(
    train: list[list[int]], vectors: np.ndarray, history: list[int], config: Any
) -> np.ndarray:
    """The docstring's formula, item by item."""
    edges = np.zeros((N, N))
    for sequence in train:
        for i, one in enumerate(sequence):
            for apart, other in enumerate(sequence[i + 1 : i + 1 + config.distance]):
                edges[one, other] += config.decay**apart
                edges[other, one] += config.backward * config.decay**apart
    count = np.bincount([item for sequence in train for item in sequence], minlength=N)
    length = np.linalg.norm(vectors, axis=1)
    start = history[-config.last_items :][::-1]
    weights = [config.recency**age for age in range(len(start))]
    scores = config.popularity * count / max(count.max(), 1)
    for item, weight in zip(start, weights, strict=True):
        for other in range(N):
            total = edges[item].sum()
            walked = edges[item, other] / total**config.damping if total else 0.0
            like = vectors[item] @ vectors[other] / max(length[item] * length[other], 1e-9)
            like = 0.0 if other == item else like
            scores[other] += weight / sum(weights) * (walked + config.similarity * like)
    return scores


LISTS = st.lists(st.lists(st.integers(0, N - 1), max_size=6), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(LISTS, LISTS, st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 99))
def test_scores_equal_the_formula(
    train: list[list[int]], histories: list[list[int]], last: int, damping: float, seed: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(N, 3)).astype(np.float32)
    vectors[seed % N] = 0
    walk, _ = fitted(train, vectors, last_items=last, damping=damping, repeats="yes")
    found = walk.scores(asked(*histories), slice(0, N))
    expected = [brute(train, vectors, history, walk.config) for history in histories]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_scores_by_hand() -> None:
    # After 0: 1 twice and 2 once, of three; 4 is never reached, 3 comes before 0 only.
    walk, report = fitted(
        [[0, 1], [0, 1], [0, 2], [3, 0]],
        distance=1,
        backward=0,
        damping=1,
        last_items=1,
        popularity=0.4,
        repeats="yes",
    )
    found = walk.scores(asked([3, 0], []), slice(0, N))
    # 0 was taken four times, 1 twice, 2 and 3 once.
    popular = np.array([0.4, 0.2, 0.1, 0.1, 0])
    np.testing.assert_allclose(
        found, [popular + np.array([0, 2 / 3, 1 / 3, 0, 0]), popular], rtol=1e-6
    )
    assert report.parameters == 3
    assert report.notes == ("3 edges, 0.6 an item",)


def test_likeness_ranks_what_no_edge_leads_to() -> None:
    vectors = np.array([[1, 0], [0, 1], [3, 1], [-1, 0], [0, 0]], np.float32)
    walk, _ = fitted([[0, 1]], vectors, popularity=0)
    scores = walk.scores(asked([0]), slice(0, N))[0]
    assert scores.argsort()[::-1].tolist()[:3] == [1, 2, 4]
    assert scores[2] == pytest.approx(0.5 * 3 / np.sqrt(10))
    without, _ = fitted([[0, 1]], popularity=0, repeats="yes")
    # One edge of weight 1 from item 0, and nothing else to tell items apart.
    assert without.scores(asked([0]), slice(0, N))[0].tolist() == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("train", "repeats", "last"),
    [
        ([[0, 1, 2]], "auto", True),
        ([[0, 1, 0]], "auto", False),
        ([[0, 1, 2]], "yes", False),
        ([[0, 1, 0]], "no", True),
    ],
)
def test_what_was_taken_is_put_last_where_nothing_is_taken_again(
    train: list[list[int]], repeats: str, last: bool
) -> None:
    rng = np.random.default_rng(5)
    walk, report = fitted(train, rng.normal(size=(N, 3)).astype(np.float32), repeats=repeats)
    scores = walk.scores(asked([0, 1, 0]), slice(0, N))[0]
    gap = scores[[2, 3, 4]].min() - scores[[0, 1]].max()
    assert gap >= 1 if last else gap < 1
    assert ("items of the history are put last" in report.notes) == last
    parts = [walk.scores(asked([0, 1, 0]), slice(i, i + 1))[0, 0] for i in range(N)]
    np.testing.assert_allclose(parts, scores, rtol=1e-5)


def test_nothing_to_learn_from_still_ranks_by_text() -> None:
    vectors = np.eye(N, dtype=np.float32)[:, :2]
    walk, _ = fitted([[], [3]], vectors)
    scores = walk.scores(asked([3], []), slice(0, N))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(bad: float) -> None:
    vectors = np.ones((N, 2), np.float32)
    vectors[2, 1] = bad
    with pytest.raises(DataError, match=r"the vector of item 2 is not finite \(1 such items\)"):
        fitted([[0, 1]], vectors)


def test_missing_vectors_and_histories_are_refused() -> None:
    walk = CARD.build(CARD.config())
    with pytest.raises(UsageError, match="the items have no vectors"):
        walk.fit(problem([[0, 1]]), Items(n=N, forms=("vector",)), FabricTrainer(seed=0))
    walk, _ = fitted([[0, 1]])
    with pytest.raises(UsageError, match="a walk needs histories"):
        walk.scores(Queries(1), slice(0, N))
