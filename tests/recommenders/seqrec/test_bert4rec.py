"""BERT4Rec: looks both ways, sees no target, and is asked by a [MASK] after the history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.bert4rec import CARD, BERT4RecConfig
from tastebench.recommenders.seqrec.bert4rec_network import BERT4RecNetwork
from tastebench.recommenders.seqrec.next_item import NextItem
from tastebench.training.fit import FabricTrainer

N_ITEMS = 15
SMALL: dict[str, Any] = {"hidden_size": 8, "inner_size": 12}


def network(**config: Any) -> BERT4RecNetwork:
    torch.manual_seed(0)
    net = BERT4RecNetwork(N_ITEMS, 6, BERT4RecConfig(**{**SMALL, **config})).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # biases begin at 0: nothing must be told by chance
            parameter.add_(torch.randn(parameter.shape) * 0.2)
    return net


def walks(n: int, seed: int = 0) -> list[list[int]]:
    """Everyone walks round the catalogue, item after item, from anywhere."""
    rng = np.random.default_rng(seed)
    return [
        ((rng.integers(N_ITEMS) + np.arange(rng.integers(2, 8))) % N_ITEMS).tolist()
        for _ in range(n)
    ]


def fitted(train: list[list[int]], **config: Any) -> NextItem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    problem = SeqProblem(N_ITEMS, len(train), 6, Ragged.from_lists(train), targets, targets)
    recommender = CARD.build(BERT4RecConfig(**{**SMALL, "epochs": 2, "device": "cpu", **config}))
    assert isinstance(recommender, NextItem)
    recommender.fit(problem, Items(N_ITEMS, forms=("id",)), FabricTrainer(seed=0))
    return recommender


def every(recommender: NextItem, *histories: list[int]) -> torch.Tensor:
    asked = Queries(len(histories), history=Ragged.from_lists(histories))
    return recommender.scores(asked, slice(0, N_ITEMS))


def test_parameters_by_formula() -> None:
    h, f, length, n = 64, 256, 50, 1000
    net = BERT4RecNetwork(n, length, BERT4RecConfig())
    layer = 4 * (h * h + h) + (h * f + f) + (f * h + h) + 2 * 2 * h
    rest = (length + 1) * h + 2 * h + 2 * layer + h + (h * h + h)  # with the [MASK] and the head
    assert sum(p.numel() for p in net.parameters()) == n * h + n + rest


def test_a_hidden_item_is_not_seen() -> None:
    """Whatever stands in its place among the inputs, every state is the same."""
    net = network()
    items = torch.tensor([[3, 5, 7, 2], [1, 4, 0, 0]])
    hidden = torch.tensor([[False, True, False, True], [True, False, False, False]])
    lengths = torch.tensor([4, 2])
    states = net.predicting(items, hidden, lengths)
    changed = items.clone()
    changed[hidden] = torch.tensor([9, 14, 11])
    assert torch.equal(net.predicting(changed, hidden, lengths), states)
    # ... and what is not hidden is seen, from both sides.
    for place in ((0, 0), (0, 2)):
        changed = items.clone()
        changed[place] = 13
        moved = net.predicting(changed, hidden, lengths) != states
        assert moved[:2].any(dim=1).all() and not moved[2].any()


def test_gradients_reach_no_hidden_item_by_what_is_read() -> None:
    net = network()
    items, lengths = torch.tensor([[3, 5, 7]]), torch.tensor([3])
    net.predicting(items, torch.tensor([[False, True, False]]), lengths).sum().backward()
    assert net.items.grad is not None
    assert net.items.grad.abs().sum(dim=1).nonzero()[:, 0].tolist() == [3, 7]


def test_padding_is_not_seen() -> None:
    net = network()
    items = torch.tensor([[3, 5, 7, 0, 0]])
    hidden = torch.tensor([[False, True, False, False, False]])
    states = net.predicting(items, hidden, torch.tensor([3]))
    torch.testing.assert_close(
        net.predicting(items[:, :3], hidden[:, :3], torch.tensor([3])), states
    )
    items[0, 3:] = 9
    assert torch.equal(net.predicting(items, hidden, torch.tensor([3])), states)


def test_scores_are_of_a_mask_after_the_history_alone() -> None:
    """Written out: embeddings of the history and a [MASK], no padding, and the paper's output."""
    recommender = fitted(walks(12))
    net = recommender.network
    assert isinstance(net, BERT4RecNetwork)
    histories = [[3], [1, 2, 3, 4, 5, 6], [7, 7, 7]]
    together = every(recommender, *histories)
    for history, found in zip(histories, together, strict=True):
        read = torch.cat([net.items[history], net.mask[None]])[None]
        state = net.encoder(read, torch.tensor([len(history) + 1]))[0, -1]
        scores = functional.gelu(net.head(state)) @ net.items.T + net.bias[:, 0]
        torch.testing.assert_close(found, scores)
        torch.testing.assert_close(every(recommender, history)[0], found)


def test_asking_is_what_hiding_the_last_item_trains() -> None:
    recommender = fitted(walks(12))
    net = recommender.network
    items, lengths = torch.tensor([[4, 2, 9, 0]]), torch.tensor([4])
    hidden = torch.tensor([[False, False, False, True]])
    trained = net.predicting(items, hidden, lengths)[0] @ net.catalogue().T
    torch.testing.assert_close(every(recommender, [4, 2, 9])[0], trained)


def test_only_the_latest_items_count_and_their_order_does() -> None:
    recommender = fitted(walks(12))
    long = [9, 8, 1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(every(recommender, long), every(recommender, long[-6:]))
    scores = every(recommender, [1, 2, 3], [3, 2, 1])
    assert not torch.allclose(scores[0], scores[1])


def test_who_has_no_history_ties_on_every_item() -> None:
    assert not every(fitted(walks(12)), [], [4])[0].any()


def test_learns_what_popularity_cannot() -> None:
    light = {"hidden_size": 32, "hidden_dropout": 0.1, "attention_dropout": 0.1}
    recommender = fitted(
        walks(80), **light, epochs=90, lr=3e-3, batch_size=64, last_only=0.5
    )  # fmt: skip
    pairs = [[i, (i + 1) % N_ITEMS] for i in range(N_ITEMS)]
    right = every(recommender, *pairs).argmax(dim=1) == (torch.arange(N_ITEMS) + 2) % N_ITEMS
    # The most popular item would be right once in fifteen.
    assert right.float().mean().item() > 0.8


@pytest.mark.parametrize("touched", [False, True])
def test_drawn_losses_compare_with_embeddings_and_biases(touched: bool) -> None:
    net = network()
    net.touched = touched
    items = torch.tensor([3, 3, 11])
    assert torch.equal(net.answers(items), net.catalogue()[items])
    net.answers(items).sum().backward()
    assert net.bias.grad is not None and net.bias.grad.is_sparse == touched
    assert net.bias.grad.to_dense()[[3, 11, 4], 0].tolist() == [2, 1, 0]


def test_drawn_losses_train_it() -> None:
    settings: list[dict[str, Any]] = [
        {"loss": "sampled-softmax", "negatives": 10},
        {"loss": "bce", "table": "touched"},
        {"loss": "gbce", "negatives": 4},
    ]
    before = every(fitted(walks(30), epochs=1, lr=1e-9), [3, 4])
    for loss in settings:
        assert not torch.allclose(every(fitted(walks(30), **loss, epochs=3), [3, 4]), before)


def test_the_same_seed_gives_the_same_model() -> None:
    torch.manual_seed(1)
    first = every(fitted(walks(12)), [3, 4])
    torch.manual_seed(2)
    assert torch.equal(every(fitted(walks(12)), [3, 4]), first)
