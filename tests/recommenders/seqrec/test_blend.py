from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.blend import _Search, like_items
from tastebench.training.fit import FabricTrainer

CARD = get_recommender("walk-blend")
N = 11
VECTORS = np.random.default_rng(4).normal(size=(N, 6)).astype(np.float32)
SMALL = {"device": "cpu", "epochs": 2, "hidden_size": 8, "inner_size": 8, "like_items": 3}
TRAIN = [[(u + k) % N for k in range(2 + u % 4)] for u in range(20)]
ASKED = [[0, 1], [5], [3, 9, 2, 7, 1, 4], []]


def problem(train: list[list[int]]) -> SeqProblem:
    empty = np.empty(0, np.int64)
    none = Targets(empty, Ragged.from_lists([]), empty.astype(np.int32), empty)
    return SeqProblem(N, len(train), 50, Ragged.from_lists(train), none, none)


def fitted(
    train: list[list[int]] | None = None,
    validate: Callable[[Any], float] | None = None,
    **params: Any,
) -> tuple[Any, Any]:
    blend = CARD.build(CARD.config(**{**SMALL, **params}))
    items = Items(n=N, vector=VECTORS, forms=("id", "vector"))
    trainer = FabricTrainer(seed=0, validate=None if validate is None else lambda: validate(blend))
    return blend, blend.fit(problem(train or TRAIN), items, trainer)


def asked(histories: list[list[int]]) -> Queries:
    return Queries(len(histories), history=Ragged.from_lists(histories))


def test_scores_are_the_walk_and_what_is_borrowed_and_the_sequence_model() -> None:
    blend, report = fitted(walk={"repeats": "yes"}, borrowed=0.7, sequence=0.3)
    queries = asked(ASKED)
    walk = get_recommender("graph-walk")
    alone = walk.build(walk.config(repeats="yes"))
    alone.fit(problem(TRAIN), Items(n=N, vector=VECTORS, forms=("vector",)), None)  # type: ignore[arg-type]
    expected = alone.scores(queries, slice(0, N)).astype(np.float64)
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    cosine = unit @ unit.T
    edges = alone.edges.toarray()
    for row, history in enumerate(ASKED):
        weights = [0.5**age for age in range(len(history[-5:]))]
        for item, weight in zip(history[-5:][::-1], weights, strict=True):
            near = sorted((j for j in range(N) if j != item), key=lambda j: -cosine[item, j])[:3]
            share = np.exp(cosine[item, near] / 0.1)
            expected[row] += 0.7 * weight / sum(weights) * (share / share.sum()) @ edges[near]
    own = blend._sequence.scores(queries, slice(0, N)).numpy().astype(np.float64)
    deviation = own.std(axis=1, keepdims=True)
    expected += 0.3 * (own - own.mean(axis=1, keepdims=True)) / np.where(deviation, deviation, 1)
    found = blend.scores(queries, slice(0, N))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for items in (slice(0, 4), slice(4, 8), slice(8, N)):
        part = blend.scores(queries, items)
        np.testing.assert_allclose(part, expected[:, items], rtol=1e-4, atol=1e-4)
    notes = " ".join(report.notes)
    assert "weights as they were given: likeness 0.5, borrowed 0.7, sequence 0.3" in notes
    assert report.parameters > alone.edges.nnz + N * 3


def test_without_weights_the_parts_are_left_out() -> None:
    blend, _ = fitted(borrowed=0, sequence=0)
    walk = get_recommender("graph-walk")
    alone = walk.build(walk.config())
    alone.fit(problem(TRAIN), Items(n=N, vector=VECTORS, forms=("vector",)), None)  # type: ignore[arg-type]
    queries = asked(ASKED)
    np.testing.assert_array_equal(
        blend.scores(queries, slice(0, N)), alone.scores(queries, slice(0, N))
    )


def test_what_cannot_come_again_is_last_however_much_a_part_counts() -> None:
    blend, _ = fitted(borrowed=100, sequence=100)
    scores = blend.scores(asked(ASKED), slice(0, N))
    for row, history in zip(scores, ASKED, strict=True):
        rest = np.setdiff1d(np.arange(N), history)
        assert not history or row[history].max() < row[rest].min()


def test_sasrec_is_validated_alone_and_the_weights_after_it() -> None:
    seen: list[bool] = []

    def validate(blend: Any) -> float:
        seen.append(blend._alone)
        # Only half the likeness is better; nothing else changes the number.
        return 0.5 if blend.weights["likeness"] == 0.25 else 0.2

    blend, report = fitted(validate=validate, search=20)
    assert seen[:2] == [True, True] and not any(seen[2:])
    # Nothing is worse without borrowing and SASRec, so they are left out.
    assert blend.weights == {"likeness": 0.25, "borrowed": 0, "sequence": 0}
    assert report.curve[0]["valid"] == 0.2
    assert "validation 0.2000 before and 0.5000 after" in report.notes[-1]


@pytest.mark.parametrize("tries", [1, 2, 7, 30])
def test_no_more_tries_than_allowed(tries: int) -> None:
    asked_for: list[bool] = []

    def validate(blend: Any) -> float:
        asked_for.append(blend._alone)
        return float(len(asked_for))  # every try is better than the one before

    fitted(validate=validate, search=tries)
    assert asked_for.count(False) == tries


def test_no_search_where_none_is_wanted() -> None:
    blend, report = fitted(validate=lambda _: 0.1, search=0)
    assert blend.weights == {"likeness": 0.5, "borrowed": 1, "sequence": 0.02}
    assert "weights as they were given" in report.notes[-1]


def test_the_search_climbs_to_the_top() -> None:
    weights = {"a": 1.0, "b": 1.0}

    def value() -> float:
        return -abs(np.log2(weights["a"]) - 3) - abs(np.log2(weights["b"]) + 2)

    search = _Search(weights, value, 50)
    for name in weights:
        search.climb(name, 2.0)
    assert weights == {"a": 8.0, "b": 0.25}
    assert search.value == 0
    # First try, then 3 up and 1 too far; then 1 up in vain, 2 down and 1 too far.
    assert 50 - search.left == 1 + 4 + 4
    assert not search.keeps("a", 9.0)
    assert weights["a"] == 8.0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_like_items_equal_brute_force(n: int, k: int, seed: int) -> None:
    unit = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found = like_items(unit, k).toarray()
    cosine = (unit @ unit.T).astype(np.float64)
    expected = np.zeros((n, n))
    for i in range(n):
        near = sorted((j for j in range(n) if j != i), key=lambda j: (-cosine[i, j], j))[:k]
        share = np.exp(cosine[i, near] / 0.1)
        expected[i, near] = share / share.sum() if near else 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_identical_and_zero_vectors_borrow_by_index() -> None:
    same = like_items(np.ones((4, 1), np.float32), 2).toarray()
    np.testing.assert_allclose(
        same, [[0, 0.5, 0.5, 0], [0.5, 0, 0.5, 0], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]]
    )
    assert np.isfinite(like_items(np.zeros((3, 2), np.float32), 2).toarray()).all()


def test_without_vectors_and_histories_it_is_refused() -> None:
    blend = CARD.build(CARD.config(**SMALL))
    with pytest.raises(UsageError, match="walk-blend needs item vectors"):
        blend.fit(problem(TRAIN), Items(n=N, forms=("id", "vector")), FabricTrainer(seed=0))
    blend, _ = fitted()
    with pytest.raises(UsageError, match="a walk needs histories"):
        blend.scores(Queries(1), slice(0, N))
