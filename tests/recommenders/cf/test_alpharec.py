"""AlphaRec's linear form against its formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tastebench.contracts import CfProblem, Items, Queries
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.cf.alpharec import CARD, AlphaRecConfig
from tastebench.recommenders.cf.linear_map import LinearMap, known_positives, user_means
from tastebench.tasks import TASKS
from tastebench.testing import RecommenderTests
from tastebench.testing.tiny import tiny
from tastebench.training.fit import FabricTrainer

TRAIN = [[0, 1, 2], [], [1], [3, 4]]
VECTORS = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)


class TestConformance(RecommenderTests):
    card = CARD
    config = {"epochs": 2, "hidden_size": 4, "device": "cpu"}  # noqa: RUF012


def cf_problem(train: list[list[int]], n_items: int = 6) -> CfProblem:
    none = Ragged.from_lists([[] for _ in train])
    return CfProblem(n_items, len(train), Ragged.from_lists(train), none, none)


def asking(*users: int) -> Queries:
    return Queries(len(users), user=np.array(users))


def fitted(**config: Any) -> LinearMap:
    defaults = {"adaptor": "none", "hidden_size": 3, "epochs": 2, "device": "cpu"}
    recommender = LinearMap(AlphaRecConfig(**{**defaults, **config}))
    recommender.fit(cf_problem(TRAIN), Items(n=6, vector=VECTORS), FabricTrainer(seed=0))
    return recommender


def test_a_user_is_the_mean_of_their_items() -> None:
    """T13: of training items only."""
    means = user_means(Ragged.from_lists(TRAIN), VECTORS)
    expected = [VECTORS[:3].mean(axis=0), np.zeros(4), VECTORS[1], VECTORS[3:5].mean(axis=0)]
    np.testing.assert_allclose(means, expected, rtol=1e-6, atol=1e-7)
    assert means.dtype == np.float32


def test_scores_are_cosines_after_the_map() -> None:
    recommender = fitted()
    assert recommender._map is not None
    w = recommender._map.weight.detach().numpy()
    users = [(VECTORS[TRAIN[u]].mean(axis=0) @ w.T) for u in (0, 2, 3)]
    points = VECTORS @ w.T
    expected = [[u @ v / np.linalg.norm(u) / np.linalg.norm(v) for v in points[1:5]] for u in users]
    ours = recommender.scores(asking(0, 2, 3), slice(1, 5))
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_who_has_no_items_ties_on_every_item() -> None:
    assert not fitted().scores(asking(1), slice(0, 6)).any()


@pytest.mark.parametrize("mask", [True, False])
def test_the_loss_is_the_softmax_over_the_batch(mask: bool) -> None:
    recommender = fitted(mask_known_positives=mask)
    train = Ragged.from_lists(TRAIN)
    # Pairs (0, 0), (0, 2), (2, 1), (3, 3): item 1 of the third is a known positive of user 0.
    pairs = np.array([0, 2, 3, 4])
    ours = recommender._loss(train, train.rows, pairs).item()
    users, items = [0, 0, 2, 3], [0, 2, 1, 3]
    cosines = recommender.scores(asking(*users), slice(0, 6))[:, items].double().numpy() / 0.15
    expected = 0.0
    for b, user in enumerate(users):
        rivals = [c for c in range(4) if c == b or not mask or items[c] not in TRAIN[user]]
        expected += np.log(np.exp(cosines[b, rivals]).sum()) - cosines[b, b]
    assert ours == pytest.approx(expected / 4, rel=1e-5)


def test_the_loss_of_one_pair_is_zero() -> None:
    """T13."""
    train = Ragged.from_lists(TRAIN)
    assert fitted()._loss(train, train.rows, np.array([3])).item() == 0


@given(
    st.lists(st.sets(st.integers(0, 8), max_size=6), min_size=1, max_size=5),
    st.lists(st.integers(0, 100), min_size=1, max_size=12),
)
def test_known_positives_are_those_of_the_sets(lists: list[set[int]], picks: list[int]) -> None:
    train = Ragged.from_lists([sorted(items) for items in lists])
    if not len(train.values):
        return
    pairs = np.array(picks) % len(train.values)
    users, items = train.rows[pairs], train.values[pairs]
    known = known_positives(train, users, items, n_items=9)
    expected = [
        [b != c and items[c] in lists[users[b]] for c in range(len(pairs))]
        for b in range(len(pairs))
    ]
    assert known.tolist() == expected


def test_learns_which_part_of_the_text_is_taste() -> None:
    # The first coordinates say what a shopper cares about, the rest is louder and says nothing.
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 3
    vectors = np.concatenate([np.eye(3)[kind], 3 * rng.normal(size=(60, 8))], axis=1)
    train = [rng.choice(np.flatnonzero(kind == u % 3), 6, replace=False) for u in range(90)]
    problem = CfProblem(
        60,
        90,
        Ragged.from_lists([np.sort(t) for t in train]),
        *(Ragged.from_lists([[]] * 90) for _ in range(2)),
    )
    recommender = LinearMap(AlphaRecConfig(epochs=30, lr=0.02, batch_size=64, device="cpu"))
    recommender.fit(problem, Items(n=60, vector=vectors.astype(np.float32)), FabricTrainer(0))
    scores = recommender.scores(asking(*range(90)), slice(0, 60)).numpy()
    for user, seen in enumerate(train):
        scores[user, seen] = -np.inf
    best = scores.argsort(axis=1)[:, -5:]
    right = (kind[best] == (np.arange(90) % 3)[:, None]).mean()
    assert right > 0.8  # popularity: one third


def test_gradient_reaches_the_map_and_parameters_are_its_size() -> None:
    recommender = LinearMap(AlphaRecConfig(hidden_size=64, epochs=1, device="cpu"))
    report = recommender.fit(cf_problem(TRAIN), Items(n=6, vector=VECTORS), FabricTrainer(seed=0))
    assert report.parameters == 64 * 4
    assert report.notes[0] == "item vectors whitened by PCA from 4 to 4 dimensions"
    before = recommender.scores(asking(0), slice(0, 6))
    recommender = LinearMap(AlphaRecConfig(hidden_size=64, epochs=9, device="cpu"))
    recommender.fit(cf_problem(TRAIN), Items(n=6, vector=VECTORS), FabricTrainer(seed=0))
    assert not torch.equal(recommender.scores(asking(0), slice(0, 6)), before)


def test_scores_follow_the_weights_during_training() -> None:
    recommender = LinearMap(AlphaRecConfig(epochs=2, lr=0.1, device="cpu"))
    seen = []

    def validate() -> float:
        seen.append(recommender.scores(asking(0), slice(0, 6)))
        return -float(len(seen))  # the first epoch stays the best

    trainer = FabricTrainer(seed=0, validate=validate)
    recommender.fit(cf_problem(TRAIN), Items(n=6, vector=VECTORS), trainer)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(recommender.scores(asking(0), slice(0, 6)), seen[0])


@pytest.mark.parametrize("name", ["alpharec", "alpharec-original"])
def test_known_items_are_not_ranked_and_test_items_not_used(name: str) -> None:
    """T13."""
    found = []
    card, task = get_recommender(name), TASKS.get("cf")
    for case in (tiny("cf"), tiny("cf", other_test=True)):
        recommender = card.build(card.config(epochs=2, device="cpu"))
        recommender.fit(case.problem, case.items, FabricTrainer(seed=0))
        found.append(np.asarray(recommender.scores(asking(*range(8)), slice(0, 12))))
        evaluation = task.evaluate(recommender, case.problem, case.protocol, "test", top_k=12)
        assert evaluation.top is not None
        for user, best in zip(evaluation.ids, evaluation.top.items, strict=True):
            known = {*case.problem.train[user], *case.problem.valid[user]}
            assert {*best.tolist()} - {-1} == {*range(12)} - known
    np.testing.assert_array_equal(found[0], found[1])


def test_errors() -> None:
    with pytest.raises(UsageError, match="alpharec is not fitted"):
        LinearMap(AlphaRecConfig()).scores(asking(0), slice(0, 6))
    with pytest.raises(UsageError, match="queries name neither"):
        fitted().scores(Queries(1), slice(0, 6))
    with pytest.raises(UsageError, match="nothing to train on"):
        LinearMap(AlphaRecConfig(device="cpu")).fit(
            cf_problem([[], []]), Items(n=6, vector=VECTORS), FabricTrainer(seed=0)
        )
    with pytest.raises(UsageError, match="needs item vectors"):
        LinearMap(AlphaRecConfig()).fit(cf_problem(TRAIN), Items(n=6), FabricTrainer(seed=0))
