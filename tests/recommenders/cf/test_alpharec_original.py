"""The original AlphaRec against its formulas."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from tastebench.contracts import CfProblem, Items, Queries
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.cf import graph_map
from tastebench.recommenders.cf.alpharec_original import AlphaRecOriginalConfig
from tastebench.recommenders.cf.draws import PairDraws
from tastebench.recommenders.cf.graph_map import GraphMap, GraphNetwork, normalised_graph
from tastebench.training.fit import FabricTrainer

TRAIN = [[0, 1, 2], [], [1], [3, 4]]  # nobody took item 5
VECTORS = np.random.default_rng(3).normal(size=(6, 4)).astype(np.float32)
QUICK: dict[str, Any] = {"hidden_size": 3, "expansion": 2, "epochs": 2, "device": "cpu"}


def cf_problem(train: list[list[int]], n_items: int = 6) -> CfProblem:
    none = Ragged.from_lists([[] for _ in train])
    return CfProblem(n_items, len(train), Ragged.from_lists(train), none, none)


def asking(*users: int) -> Queries:
    return Queries(len(users), user=np.array(users))


def fitted(train: list[list[int]] = TRAIN, **config: Any) -> GraphMap:
    recommender = GraphMap(AlphaRecOriginalConfig(**{**QUICK, "negatives": 2, **config}))
    recommender.fit(cf_problem(train), Items(n=6, vector=VECTORS), FabricTrainer(seed=0))
    return recommender


def network(**config: Any) -> GraphNetwork:
    torch.manual_seed(0)
    return GraphNetwork(
        Ragged.from_lists(TRAIN), VECTORS, AlphaRecOriginalConfig(**{**QUICK, **config})
    )


def dense_graph(train: list[list[int]], n_items: int) -> np.ndarray:
    """The normalised adjacency, one edge at a time."""
    n = len(train) + n_items
    joined = np.zeros((n, n))
    for user, items in enumerate(train):
        for item in items:
            joined[user, len(train) + item] = joined[len(train) + item, user] = 1
    degree = joined.sum(axis=1)
    scale = np.divide(1, np.sqrt(degree), where=degree > 0, out=np.zeros(n))
    result: np.ndarray = scale[:, None] * joined * scale
    return result


# ------------------------------------------------------------------------------------- the graph


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=6))
def test_the_graph_is_the_dense_one(lists: list[set[int]]) -> None:
    train = [sorted(items) for items in lists]
    ours = normalised_graph(Ragged.from_lists(train), 7).to_dense()
    np.testing.assert_allclose(ours, dense_graph(train, 7), rtol=1e-6)


@pytest.mark.parametrize("layers", [0, 1, 2, 3])
@pytest.mark.parametrize("mapping", ["mlp", "homo"])
def test_points_are_those_of_the_formulas(layers: int, mapping: str) -> None:
    net = network(layers=layers, mapping=mapping)
    user_means = [VECTORS[items].mean(axis=0) if items else np.zeros(4) for items in TRAIN]
    x = np.concatenate([user_means, VECTORS]).astype(np.float64)
    weights = {name: p.detach().double().numpy() for name, p in net.map.named_parameters()}
    if mapping == "homo":
        x = x @ weights["weight"].T
    else:
        hidden = x @ weights["0.weight"].T + weights["0.bias"]
        hidden = np.where(hidden < 0, 0.01 * hidden, hidden)
        x = hidden @ weights["2.weight"].T + weights["2.bias"]
        x[1] = 0  # nothing is known of this user, whatever the biases say
    a = dense_graph(TRAIN, 6)
    smooth = sum(np.linalg.matrix_power(a, power) @ x for power in range(layers + 1))
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    expected = smooth / np.where(length > 0, length, 1)
    users, items = net()
    np.testing.assert_allclose(users.detach(), expected[:4], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(items.detach(), expected[4:], rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_the_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = torch.randn(10, 3, generator=torch.Generator().manual_seed(1))

    def gradients(net: GraphNetwork, points: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.autograd.grad((points * weights).sum(), list(net.parameters())))

    net = network()
    x = net.map(net.vectors) * net.known
    a = torch.from_numpy(dense_graph(TRAIN, 6)).float()
    expected = gradients(net, functional.normalize((x + a @ x + a @ a @ x) / 3, dim=-1))
    torch.testing.assert_close(gradients(net, torch.cat(net())), expected)
    # Hidden layers of a few vectors at a time, made again for the gradient.
    monkeypatch.setattr(graph_map, "MAPPED_TOGETHER", 3)
    torch.testing.assert_close(gradients(net, torch.cat(net())), expected)


# --------------------------------------------------------------------------------------- draws


@settings(deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 8)), min_size=1, max_size=5),
    st.integers(1, 6),
    st.integers(0, 2**32),
)
def test_pairs_are_positives_and_negatives_are_not(
    lists: list[set[int]], k: int, seed: int
) -> None:
    train = Ragged.from_lists([sorted(items) for items in lists])
    draws = PairDraws(train, 9, k)
    batches = list(draws.epoch(np.random.default_rng(seed), 4))
    able = [items for items in lists if 0 < len(items) < 9]
    assert sum(len(batch.users) for batch in batches) == (len(train.values) if able else 0)
    for batch in batches:
        assert batch.negatives.shape == (len(batch.users), k)
        for user, item, others in zip(batch.users, batch.items, batch.negatives, strict=True):
            assert item in lists[user]
            assert not set(others) & lists[user]
            assert (others >= 0).all() and (others < 9).all()


def test_users_items_and_negatives_are_drawn_evenly() -> None:
    train = Ragged.from_lists([[0, 3, 4, 5], [2], [], [0, 1, 2, 3, 4, 5]])
    drawn = PairDraws(train, 6, 3).draw(np.random.default_rng(0), 40_000)
    # Four items or one: a user is a user. The third has nothing, the fourth lacks nothing.
    assert np.bincount(drawn.users, minlength=4) / 40_000 == pytest.approx(
        [0.5, 0.5, 0, 0], abs=0.01
    )
    first = drawn.users == 0
    assert np.bincount(drawn.items[first]) / first.sum() == pytest.approx(
        [0.25, 0, 0, 0.25, 0.25, 0.25], abs=0.01
    )
    assert np.bincount(drawn.negatives[first].ravel(), minlength=6) / (
        3 * first.sum()
    ) == pytest.approx([0, 0.5, 0.5, 0, 0, 0], abs=0.01)
    second = drawn.negatives[drawn.users == 1].ravel()
    assert np.bincount(second, minlength=6) / len(second) == pytest.approx(
        [0.2, 0.2, 0, 0.2, 0.2, 0.2], abs=0.01
    )


def test_draws_follow_the_generator() -> None:
    draws = PairDraws(Ragged.from_lists(TRAIN), 6, 3)
    one, same, other = (draws.draw(np.random.default_rng(seed), 50) for seed in (1, 1, 2))
    for name in ("users", "items", "negatives"):
        np.testing.assert_array_equal(getattr(one, name), getattr(same, name))
    assert not np.array_equal(one.negatives, other.negatives)


# ----------------------------------------------------------------------------- what it does with it


def test_the_loss_is_the_softmax_over_own_and_drawn() -> None:
    recommender = fitted()
    draws = PairDraws(Ragged.from_lists(TRAIN), 6, 2).draw(np.random.default_rng(5), 7)
    ours = recommender._loss(draws).item()
    cosines = recommender.scores(asking(*draws.users.tolist()), slice(0, 6)).double().numpy() / 0.15
    expected = 0.0
    for row, own, others in zip(cosines, draws.items, draws.negatives, strict=True):
        expected -= np.log(np.exp(row[own]) / (np.exp(row[own]) + np.exp(row[others]).sum()))
    assert ours == pytest.approx(expected / 7, rel=1e-5)


def test_who_has_no_items_ties_on_every_item() -> None:
    scores = fitted(epochs=5, lr=0.1).scores(asking(1, 0), slice(0, 6))
    assert not scores[0].any() and len(scores[1].unique()) > 1


def test_an_item_nobody_took_is_scored_by_its_text() -> None:
    one, other = fitted(), fitted()
    assert one.scores(asking(0), slice(5, 6)).abs() > 0
    assert torch.equal(one.scores(asking(0), slice(0, 6)), other.scores(asking(0), slice(0, 6)))


def test_learns_from_neighbours_what_no_vector_says() -> None:
    # Vectors tell items apart and nothing else; who took what falls into three kinds.
    rng = np.random.default_rng(0)
    kind = np.arange(60) % 3
    vectors = rng.normal(size=(60, 60)).astype(np.float32)
    train = [np.sort(rng.choice(np.flatnonzero(kind == u % 3), 6, False)) for u in range(90)]
    none = Ragged.from_lists([[]] * 90)
    problem = CfProblem(60, 90, Ragged.from_lists(train), none, none)
    config = AlphaRecOriginalConfig(expansion=1, epochs=15, lr=5e-3, batch_size=64, device="cpu")
    recommender = GraphMap(config)
    recommender.fit(problem, Items(n=60, vector=vectors), FabricTrainer(0))
    scores = recommender.scores(asking(*range(90)), slice(0, 60)).numpy().copy()
    for user, seen in enumerate(train):
        scores[user, seen] = -np.inf
    right = (kind[scores.argsort(axis=1)[:, -5:]] == (np.arange(90) % 3)[:, None]).mean()
    assert right > 0.8


def test_selection_sees_validation_and_scores_follow_the_weights() -> None:
    """T13: the best validated epoch is kept; nothing else is looked at."""
    recommender = GraphMap(AlphaRecOriginalConfig(**{**QUICK, "lr": 0.1, "patience": 2}))
    seen: list[torch.Tensor] = []

    def validate() -> float:
        seen.append(recommender.scores(asking(0), slice(0, 6)))
        return -float(len(seen))  # the first epoch stays the best

    trainer = FabricTrainer(seed=0, validate=validate)
    report = recommender.fit(cf_problem(TRAIN), Items(n=6, vector=VECTORS), trainer)
    assert report.best_epoch == 1
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(recommender.scores(asking(0), slice(0, 6)), seen[0])


# ------------------------------------------------------------------------------------------ sizes


@pytest.mark.parametrize(
    ("d", "m", "hidden"), [(768, 8, 6144), (1536, 2, 3072), (3072, 0.5, 1536), (4096, 9 / 32, 1152)]
)
def test_the_width_of_the_encoder_does_not_set_the_size_of_the_model(
    d: int, m: float, hidden: int
) -> None:
    config = AlphaRecOriginalConfig()
    assert config.hidden_units(d) == AlphaRecOriginalConfig(expansion=m).hidden_units(d) == hidden
    assert hidden * (d + 64) == pytest.approx(4_800_000, rel=0.07)


def test_other_widths_have_as_many_weights() -> None:
    config = AlphaRecOriginalConfig()
    sizes = [config.hidden_units(d) * (d + 64) for d in (128, 256, 384, 1024, 2048, 2560)]
    assert sizes == pytest.approx([4_800_000] * len(sizes), rel=0.01)
    assert config.hidden_units(10**7) == 1
    assert all(a > b for a, b in pairwise(map(config.hidden_units, (128, 384, 1024))))


def test_parameters_are_those_of_the_map() -> None:
    config = {**QUICK, "epochs": 1}
    for more, expected in (({}, 4 * 8 + 8 + 8 * 3 + 3), ({"mapping": "homo"}, 4 * 3)):
        recommender = GraphMap(AlphaRecOriginalConfig(**{**config, **more}))
        report = recommender.fit(
            cf_problem(TRAIN), Items(n=6, vector=VECTORS), FabricTrainer(seed=0)
        )
        assert report.parameters == expected
        assert report.notes[0] == "item vectors as encoded, 4 dimensions"


def test_bf16_is_close() -> None:
    exact = fitted(epochs=1).scores(asking(0, 2, 3), slice(0, 6))
    fast = fitted(epochs=1, precision="bf16").scores(asking(0, 2, 3), slice(0, 6))
    torch.testing.assert_close(fast, exact, rtol=0, atol=0.05)


def test_errors() -> None:
    with pytest.raises(UsageError, match="alpharec-original is not fitted"):
        GraphMap(AlphaRecOriginalConfig()).scores(asking(0), slice(0, 6))
    with pytest.raises(UsageError, match="queries name none"):
        fitted().scores(Queries(1), slice(0, 6))
    with pytest.raises(UsageError, match="nothing to train on"):
        fitted([[], list(range(6))])
    with pytest.raises(UsageError, match="needs item vectors"):
        GraphMap(AlphaRecOriginalConfig()).fit(cf_problem(TRAIN), Items(n=6), FabricTrainer(0))
