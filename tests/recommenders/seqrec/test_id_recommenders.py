"""Recommenders over ids whose histories other encoders than SASRec's read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.next_item import NextItem
from tastebench.training.batches import ShiftedSequences
from tastebench.training.fit import FabricTrainer

N_ITEMS, LENGTH = 15, 6
SMALL: dict[str, dict[str, Any]] = {
    "gru4rec": {"state_size": 12},
    "caser": {"window": 3, "horizontal": 4},
    "hstu": {"head_width": 6},
    "mamba4rec": {"state_size": 4},
    "mamba4rec of mamba2": {"block": "mamba2", "layers": 2, "state_size": 4, "head_width": 8},
    "trm++": {},
    "trm++ untied": {"output": "untied"},
}
ALL = pytest.mark.parametrize("case", SMALL)


def seq_problem(train: list[list[int]]) -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(N_ITEMS, len(train), LENGTH, Ragged.from_lists(train), targets, targets)


def walks(n: int, longest: int = 7) -> list[list[int]]:
    """Everyone walks round the catalogue, item after item, from anywhere."""
    rng = np.random.default_rng(0)
    return [
        ((rng.integers(N_ITEMS) + np.arange(rng.integers(0, longest + 1))) % N_ITEMS).tolist()
        for _ in range(n)
    ]


def fitted(case: str, train: list[list[int]], **config: Any) -> NextItem:
    card = get_recommender(case.split(maxsplit=1)[0])
    settings = {"device": "cpu", "epochs": 2, "hidden_size": 8, **SMALL[case], **config}
    recommender = card.build(card.config(**settings))
    assert isinstance(recommender, NextItem)
    recommender.fit(seq_problem(train), Items(n=N_ITEMS), FabricTrainer(seed=0))
    return recommender


def scores(recommender: NextItem, *histories: list[int]) -> torch.Tensor:
    queries = Queries(len(histories), history=Ragged.from_lists(histories))
    return recommender.scores(queries, slice(0, N_ITEMS))


@ALL
def test_one_pass_equals_all_prefixes(case: str) -> None:
    train = walks(12)
    network = fitted(case, train).network  # in eval mode: nothing is drawn
    sequences = ShiftedSequences.cut(Ragged.from_lists(train), LENGTH)
    batch = sequences.batch(np.arange(len(sequences.length)))
    states = network.states(torch.from_numpy(batch.inputs))[torch.from_numpy(batch.is_target)]
    logits = states @ network.catalogue().T
    together = functional.cross_entropy(logits, torch.from_numpy(batch.targets))
    losses = []
    for sequence in train:
        for end in range(1, len(sequence)):
            state = network.states(torch.tensor([sequence[:end]]))[0, -1]
            target = torch.tensor(sequence[end])
            losses.append(functional.cross_entropy(network.catalogue() @ state, target))
    torch.testing.assert_close(together, torch.stack(losses).mean())


@ALL
def test_company_and_padding_do_not_matter(case: str) -> None:
    recommender = fitted(case, walks(12))
    histories = [[3], [1, 2, 3, 4, 5, 6], [], [7, 7, 7]]
    together = scores(recommender, *histories)
    for row, history in enumerate(histories):
        torch.testing.assert_close(scores(recommender, history)[0], together[row])


@ALL
def test_of_ten_thousand_items_the_latest_count(case: str) -> None:
    recommender = fitted(case, walks(12))
    long = np.random.default_rng(1).integers(N_ITEMS, size=10_000).tolist()
    torch.testing.assert_close(
        scores(recommender, long, [2]), scores(recommender, long[-LENGTH:], [2])
    )


@ALL
def test_a_training_sequence_of_ten_thousand_items_is_read_in_pieces(case: str) -> None:
    long = (np.arange(10_000) % N_ITEMS).tolist()
    recommender = fitted(case, [long, [1, 2]], epochs=1)
    assert scores(recommender, [3]).isfinite().all()


@ALL
def test_who_has_no_history_ties_on_every_item(case: str) -> None:
    recommender = fitted(case, walks(12))
    assert not scores(recommender, []).any()


@ALL
def test_gradients_reach_every_parameter_and_every_item(case: str) -> None:
    network = fitted(case, walks(12)).network
    network.zero_grad(set_to_none=True)
    items = torch.arange(N_ITEMS).view(3, 5)
    logits = network.states(items).flatten(0, 1) @ network.catalogue().T
    functional.cross_entropy(logits, torch.arange(N_ITEMS).roll(1)).backward()
    dead = [k for k, v in network.named_parameters() if v.grad is None or not v.grad.any()]
    assert dead == []
    assert (network.items.grad.abs().sum(dim=1) > 0).all()  # type: ignore[union-attr]


@ALL
def test_learns_what_popularity_cannot(case: str) -> None:
    train = [walk for walk in walks(80) if walk]
    light = {"hidden_size": 32, "embedding_dropout": 0.1, "dropout": 0.1}
    recommender = fitted(case, train, **light, epochs=40, lr=1e-2, batch_size=64)
    answers = scores(recommender, *[[i, (i + 1) % N_ITEMS] for i in range(N_ITEMS)])
    right = answers.argmax(dim=1) == (torch.arange(N_ITEMS) + 2) % N_ITEMS
    # The most popular item would be right once in fifteen.
    assert right.float().mean().item() > 0.8


@ALL
def test_the_same_seed_gives_the_same_model(case: str) -> None:
    torch.manual_seed(1)
    first = scores(fitted(case, walks(12)), [3, 4])
    torch.manual_seed(2)
    assert torch.equal(scores(fitted(case, walks(12)), [3, 4]), first)


@pytest.mark.parametrize("loss", ["sampled-softmax", "bce", "gbce"])
def test_trains_with_drawn_items_too(loss: str) -> None:
    recommender = fitted("gru4rec", walks(12), loss=loss, negatives=4)
    assert scores(recommender, [3]).isfinite().all()


def test_dropout_of_embeddings_is_drawn_in_training_only() -> None:
    network = fitted("caser", walks(12), embedding_dropout=0.5, dropout=0.0).network
    items = torch.tensor([[1, 2, 3]])
    assert torch.equal(network.states(items), network.states(items))
    network.train()
    assert not torch.equal(network.states(items), network.states(items))


def test_an_untied_output_has_a_table_of_its_own() -> None:
    tied, untied = fitted("trm++", walks(12)).network, fitted("trm++ untied", walks(12)).network
    count = [sum(p.numel() for p in network.parameters()) for network in (tied, untied)]
    assert count[1] - count[0] == N_ITEMS * 8


def test_hstu_without_biases_knows_no_order() -> None:
    one = {"layers": 1}
    ordered = scores(fitted("hstu", walks(12), **one), [1, 2, 3], [2, 1, 3])
    unordered = scores(fitted("hstu", walks(12), **one, bias="none"), [1, 2, 3], [2, 1, 3])
    assert not torch.allclose(ordered[0], ordered[1])
    torch.testing.assert_close(unordered[0], unordered[1])


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("trm++", {"heads": 3}, "heads=3 does not divide hidden_size=64 into even parts"),
        ("trm++", {"heads": 4, "kv_heads": 3}, "kv_heads=3 does not divide heads=4"),
        (
            "mamba4rec",
            {"block": "mamba2", "head_width": 7},
            "head_width=7 does not divide twice hidden_size=64",
        ),
    ],
)
def test_shapes_that_do_not_go_together_are_refused_before_a_run(
    name: str, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        get_recommender(name).config(**config)


@pytest.mark.parametrize("field", ["hidden_size", "layers", "embedding_dropout", "dropout"])
@pytest.mark.parametrize("name", ["gru4rec", "hstu", "mamba4rec", "trm++"])
def test_what_cannot_be_is_refused_by_the_config(name: str, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        get_recommender(name).config(**{field: -1})
