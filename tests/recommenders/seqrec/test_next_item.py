"""What every sequence model shares: one pass equals all prefixes, and asking is pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.next_item import NextItem
from tastebench.training.batches import ShiftedSequences
from tastebench.training.fit import FabricTrainer
from tastebench.training.losses import linear_cross_entropy

N_ITEMS = 15
NAMES = ["unisrec", "sasrec", "sasrec-original", "gpt2rec", "sasrec-text"]
SMALL = {"device": "cpu", "epochs": 2, "hidden_size": 8, "inner_size": 12}


def seq_problem(train: list[list[int]], history_length: int = 6) -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(
        N_ITEMS, len(train), history_length, Ragged.from_lists(train), targets, targets
    )


def walks(n: int, seed: int = 0, longest: int = 7) -> list[list[int]]:
    """Everyone walks round the catalogue, item after item, from anywhere."""
    rng = np.random.default_rng(seed)
    return [
        ((rng.integers(N_ITEMS) + np.arange(rng.integers(0, longest + 1))) % N_ITEMS).tolist()
        for _ in range(n)
    ]


def items() -> Items:
    draw = np.random.default_rng(5)
    return Items(n=N_ITEMS, vector=draw.normal(size=(N_ITEMS, 10)).astype(np.float32))


def fitted(name: str, train: list[list[int]], **config: Any) -> NextItem:
    card = get_recommender(name)
    recommender = card.build(card.config(**{**SMALL, **config}))
    assert isinstance(recommender, NextItem)
    recommender.fit(seq_problem(train), items(), FabricTrainer(seed=0))
    return recommender


def asking(*histories: list[int]) -> Queries:
    return Queries(len(histories), history=Ragged.from_lists(histories))


def every(recommender: NextItem, queries: Queries) -> torch.Tensor:
    return recommender.scores(queries, slice(0, N_ITEMS))


@pytest.mark.parametrize("name", NAMES)
def test_one_pass_equals_all_prefixes(name: str) -> None:
    train = walks(12)
    network = fitted(name, train).network  # in eval mode: nothing is drawn
    sequences = ShiftedSequences.cut(Ragged.from_lists(train), 6)
    batch = sequences.batch(np.arange(len(sequences.length)))
    states = network.states(torch.from_numpy(batch.inputs))[torch.from_numpy(batch.is_target)]
    targets = torch.from_numpy(batch.targets)
    shifted = linear_cross_entropy(states, network.catalogue(), targets, network.scale)

    losses = []
    for sequence in train:
        for end in range(1, len(sequence)):
            state = network.states(torch.tensor([sequence[:end]]))[0, -1]
            logits = network.scale * network.catalogue() @ state
            losses.append(functional.cross_entropy(logits, torch.tensor(sequence[end])))
    assert len(losses) == len(batch)
    torch.testing.assert_close(shifted, torch.stack(losses).mean())


@pytest.mark.parametrize("name", NAMES)
def test_company_and_padding_do_not_matter(name: str) -> None:
    """T12: padding is no item."""
    recommender = fitted(name, walks(12))
    histories = [[3], [1, 2, 3, 4, 5, 6], [], [7, 7, 7]]
    together = every(recommender, asking(*histories))
    for row, history in enumerate(histories):
        torch.testing.assert_close(every(recommender, asking(history))[0], together[row])


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_the_catalogue_are_columns_of_the_whole(name: str) -> None:
    recommender = fitted(name, walks(12))
    queries = asking([3, 4], [9])
    whole = every(recommender, queries)
    assert whole.shape == (2, N_ITEMS)
    parts = [recommender.scores(queries, slice(b, min(b + 4, N_ITEMS))) for b in (0, 4, 8, 12)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_latest_items_count(name: str) -> None:
    recommender = fitted(name, walks(12))
    long = [9, 8, 1, 2, 3, 4, 5, 6]
    torch.testing.assert_close(
        every(recommender, asking(long)), every(recommender, asking(long[-6:]))
    )


@pytest.mark.parametrize("name", NAMES)
def test_order_matters(name: str) -> None:
    scores = every(fitted(name, walks(12)), asking([1, 2, 3], [3, 2, 1]))
    assert not torch.allclose(scores[0], scores[1])


@pytest.mark.parametrize("name", NAMES)
def test_who_has_no_history_ties_on_every_item(name: str) -> None:
    recommender = fitted(name, walks(12))
    assert not every(recommender, asking([])).any()
    assert not every(recommender, asking([], [4]))[0].any()


@pytest.mark.parametrize("name", NAMES)
def test_many_histories_are_encoded_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recommender = fitted(name, walks(12))
    histories = walks(30, seed=3)
    whole = every(recommender, asking(*histories))
    monkeypatch.setattr("tastebench.recommenders.seqrec.next_item.ASKED_TOGETHER", 4)
    torch.testing.assert_close(every(recommender, asking(*histories)), whole)


@pytest.mark.parametrize("name", ["unisrec", "sasrec-text"])
def test_an_item_is_embedded_once_however_often_it_occurs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recommender, embedded = fitted(name, walks(12)), []
    network = recommender.network
    embed = network.embed
    monkeypatch.setattr(network, "embed", lambda items: embedded.append(len(items)) or embed(items))
    queries = asking(*walks(30, seed=3))
    every(recommender, queries)
    recommender.scores(queries[:4], slice(3, 9))
    assert embedded == [N_ITEMS]


@pytest.mark.parametrize("name", NAMES)
def test_scores_follow_the_weights_during_training(name: str) -> None:
    card = get_recommender(name)
    recommender = card.build(card.config(**SMALL, lr=0.05))
    queries, seen = asking([3, 4]), []

    def validate() -> float:
        seen.append(every(recommender, queries))  # the same object each time
        return -float(len(seen))  # the first epoch stays the best

    recommender.fit(seq_problem(walks(12)), items(), FabricTrainer(0, validate=validate))
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(every(recommender, queries), seen[0])


@pytest.mark.parametrize(
    ("name", "lr"), [("unisrec", 5e-3), ("sasrec", 1e-2), ("sasrec-text", 5e-3)]
)
def test_learns_what_popularity_cannot(name: str, lr: float) -> None:
    train = [walk for walk in walks(80) if walk]
    light = {"hidden_size": 32, "hidden_dropout": 0.1, "attention_dropout": 0.1}
    recommender = fitted(name, train, **light, epochs=40, lr=lr, batch_size=64)
    answers = every(recommender, asking(*[[i, (i + 1) % N_ITEMS] for i in range(N_ITEMS)]))
    right = answers.argmax(dim=1) == (torch.arange(N_ITEMS) + 2) % N_ITEMS
    # The most popular item would be right once in fifteen.
    assert right.float().mean().item() > 0.8


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_model(name: str) -> None:
    torch.manual_seed(1)
    first = every(fitted(name, walks(12)), asking([3, 4]))
    torch.manual_seed(2)
    assert torch.equal(every(fitted(name, walks(12)), asking([3, 4])), first)


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_fit_goes_on_to_the_same_scores(name: str, tmp_path: Path) -> None:
    card = get_recommender(name)

    def fit(directory: Path | None, stop_at: int | None = None) -> torch.Tensor:
        recommender, asked = card.build(card.config(**{**SMALL, "epochs": 4})), asking([3, 4])

        def validate() -> float:
            return every(recommender, asked)[0, 5].item()

        def progress(row: dict[str, float]) -> None:
            if row["epoch"] == stop_at:
                raise KeyboardInterrupt

        trainer = FabricTrainer(0, directory, validate, progress, save_every=0)
        recommender.fit(seq_problem(walks(12)), items(), trainer)
        return every(recommender, asked)

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, stop_at=3)
    assert torch.equal(fit(tmp_path), fit(None))


@pytest.mark.parametrize("name", NAMES)
def test_asking_too_early_or_without_histories_is_an_error(name: str) -> None:
    card = get_recommender(name)
    with pytest.raises(UsageError, match=f"{name} is not fitted"):
        every(card.build(card.config()), asking([1]))
    with pytest.raises(UsageError, match=f"{name} needs histories"):
        every(fitted(name, walks(12)), Queries(1))


@pytest.mark.parametrize("name", NAMES)
def test_sequences_of_one_item_teach_nothing(name: str) -> None:
    with pytest.raises(UsageError, match="nothing to train on"):
        fitted(name, [[1], [], [2]])


@pytest.mark.parametrize("name", NAMES)
def test_heads_must_divide_the_width(name: str) -> None:
    with pytest.raises(ValueError, match="heads=3 does not divide hidden_size=8"):
        get_recommender(name).config(hidden_size=8, heads=3)
