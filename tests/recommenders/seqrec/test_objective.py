"""Each loss is wired to what it should be of, learns, and draws from the epoch's generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tastebench.contracts import Items, Queries, SeqProblem, Targets
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.seqrec.next_item import NextItem
from tastebench.recommenders.seqrec.objective import Objective
from tastebench.recommenders.seqrec.settings import SequenceSettings
from tastebench.training.adam import RowAdam
from tastebench.training.batches import ShiftedSequences
from tastebench.training.fit import FabricTrainer
from tastebench.training.losses import gbce_beta
from tastebench.training.negatives import ItemDraws

N_ITEMS = 15
SMALL = {"device": "cpu", "epochs": 2, "hidden_size": 8, "inner_size": 12}
DRAWN: list[dict[str, Any]] = [
    {"loss": "sampled-softmax", "negatives": 8},
    {"loss": "sampled-softmax", "negatives": 8, "logq": False},
    {"loss": "sampled-softmax", "negatives": 8, "draws": "popularity"},
    {"loss": "bce"},
    {"loss": "bce", "negatives": 4, "draws": "popularity"},
    {"loss": "gbce", "negatives": 4},
]


def name_of(settings: dict[str, Any]) -> str:
    return "-".join(str(value) for value in settings.values())


def problem(train: list[list[int]], n_items: int = N_ITEMS) -> SeqProblem:
    none = np.empty(0, np.int64)
    targets = Targets(none, Ragged.from_lists([]), none.astype(np.int32), none)
    return SeqProblem(n_items, len(train), 6, Ragged.from_lists(train), targets, targets)


def walks(n: int) -> list[list[int]]:
    """Everyone walks round the catalogue, item after item, from anywhere."""
    rng = np.random.default_rng(0)
    return [
        ((rng.integers(N_ITEMS) + np.arange(rng.integers(2, 8))) % N_ITEMS).tolist()
        for _ in range(n)
    ]


def items() -> Items:
    draw = np.random.default_rng(5)
    return Items(n=N_ITEMS, vector=draw.normal(size=(N_ITEMS, 10)).astype(np.float32))


def fitted(train: list[list[int]], name: str = "sasrec", **config: Any) -> NextItem:
    card = get_recommender(name)
    recommender = card.build(card.config(**{**SMALL, **config}))
    assert isinstance(recommender, NextItem)
    recommender.fit(problem(train), items(), FabricTrainer(seed=0))
    return recommender


def answers(recommender: NextItem) -> torch.Tensor:
    pairs = [[i, (i + 1) % N_ITEMS] for i in range(N_ITEMS)]
    asked = Queries(N_ITEMS, history=Ragged.from_lists(pairs))
    return recommender.scores(asked, slice(0, N_ITEMS))


def loss_of(recommender: NextItem, drawn: np.ndarray | None, **settings: Any) -> torch.Tensor:
    """Of all targets of some walks, with these draws."""
    train = Ragged.from_lists(walks(12))
    objective = Objective.of(SequenceSettings(**settings), train, N_ITEMS)
    sequences = ShiftedSequences.cut(train, 6)
    batch = sequences.batch(np.arange(len(sequences.length)))
    network = recommender.network
    states = network.states(torch.from_numpy(batch.inputs))[torch.from_numpy(batch.is_target)]
    return objective.loss(
        network,
        states,
        torch.from_numpy(batch.targets),
        None if drawn is None else torch.from_numpy(drawn),
    )


def plain(recommender: NextItem) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of every target position of the same walks, and the targets."""
    sequences = ShiftedSequences.cut(Ragged.from_lists(walks(12)), 6)
    batch = sequences.batch(np.arange(len(sequences.length)))
    network = recommender.network
    states = network.states(torch.from_numpy(batch.inputs))[torch.from_numpy(batch.is_target)]
    return network.scale * states @ network.catalogue().T, torch.from_numpy(batch.targets)


@pytest.mark.parametrize("output", ["tied", "untied"])
@pytest.mark.parametrize("table", ["all", "touched"])
@pytest.mark.parametrize(("loss", "k"), [("bce", 3), ("gbce", 3)])
def test_binary_losses_are_those_of_the_scores(loss: str, k: int, table: str, output: str) -> None:
    recommender = fitted(walks(12), loss=loss, table=table, output=output)
    scores, targets = plain(recommender)
    drawn = np.random.default_rng(1).integers(N_ITEMS, size=(len(targets), k))
    assert (drawn == targets.numpy()[:, None]).any()
    settings = {"loss": loss, "negatives": k, "table": table}
    beta = gbce_beta(k, N_ITEMS, 0.75) if loss == "gbce" else 1.0
    right = torch.sigmoid(scores.gather(1, targets[:, None]))[:, 0]
    wrong = torch.sigmoid(scores.gather(1, torch.from_numpy(drawn)))
    kept = torch.from_numpy(drawn) != targets[:, None]
    whole = -(beta * right.log() + ((1 - wrong).log() * kept).sum(dim=1)).mean() / (1 + k)
    torch.testing.assert_close(loss_of(recommender, drawn, **settings), whole)


@pytest.mark.parametrize("name", ["sasrec", "sasrec-text"])
@pytest.mark.parametrize("logq", [True, False])
@pytest.mark.parametrize("draws", ["uniform", "popularity"])
def test_sampled_softmax_is_that_of_the_scores(name: str, logq: bool, draws: str) -> None:
    recommender = fitted(walks(12), name, loss="sampled-softmax")
    scores, targets = plain(recommender)
    drawn = np.array([3, 3, 9, 14, 0, 6])
    of_each = np.full(N_ITEMS, 1 / N_ITEMS)
    if draws == "popularity":
        taken = np.concatenate([walk[1:] for walk in walks(12)])
        of_each = np.bincount(taken, minlength=N_ITEMS) / len(taken)
    # `negatives` is how many are expected to have been drawn.
    correction = torch.from_numpy(np.log(6 * of_each[drawn])).float() if logq else 0.0
    others = (scores[:, drawn] - correction).exp()
    others = others * (torch.from_numpy(drawn) != targets[:, None])
    right = scores.gather(1, targets[:, None]).exp()[:, 0]
    whole = -(right / (right + others.sum(dim=1))).log().mean()
    settings = {"loss": "sampled-softmax", "negatives": 6, "logq": logq, "draws": draws}
    torch.testing.assert_close(loss_of(recommender, drawn, **settings), whole)


def test_the_full_softmax_is_as_before() -> None:
    recommender = fitted(walks(12))
    scores, targets = plain(recommender)
    whole = torch.nn.functional.cross_entropy(scores, targets)
    torch.testing.assert_close(loss_of(recommender, None), whole)


@pytest.mark.parametrize("config", DRAWN, ids=name_of)
def test_every_loss_learns_what_popularity_cannot(config: dict[str, Any]) -> None:
    light = {"hidden_size": 32, "hidden_dropout": 0.1, "attention_dropout": 0.1}
    recommender = fitted(walks(80), **light, **config, epochs=40, lr=1e-2, batch_size=64)
    right = answers(recommender).argmax(dim=1) == (torch.arange(N_ITEMS) + 2) % N_ITEMS
    # The most popular item would be right once in fifteen.
    assert right.float().mean().item() > 0.8


@pytest.mark.parametrize("config", DRAWN, ids=name_of)
def test_draws_are_those_of_the_epoch(config: dict[str, Any]) -> None:
    train = Ragged.from_lists(walks(12))
    settings = SequenceSettings(**config)
    objective = Objective.of(settings, train, N_ITEMS)
    sequences = ShiftedSequences.cut(train, 6)

    def epoch(seed: int) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        batches = list(objective.with_draws(sequences.epoch(rng, 16), rng))
        for batch in batches:
            k = settings.n_negatives
            shared = settings.loss == "sampled-softmax"
            assert batch.drawn is not None
            assert batch.drawn.shape == ((k,) if shared else (len(batch), k))
        return [batch.drawn.ravel() for batch in batches if batch.drawn is not None]

    first = np.concatenate(epoch(0))
    assert (first == np.concatenate(epoch(0))).all()
    assert (first != np.concatenate(epoch(1))).any()


def test_popularity_is_that_of_targets() -> None:
    """Nobody is asked to predict their first item."""
    train = Ragged.from_lists([[7, 1, 2], [], [7], [7, 2]])
    objective = Objective.of(SequenceSettings(loss="bce", draws="popularity"), train, 9)
    assert objective.draws is not None
    found = objective.draws.probabilities()
    np.testing.assert_allclose(found[[1, 2]], [1 / 3, 2 / 3])
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("loss", ["bce", "gbce", "sampled-softmax"])
@pytest.mark.parametrize("output", ["tied", "untied"])
def test_touched_rows_are_what_was_read_or_compared_with(
    loss: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    touched: list[list[int]] = []
    draw, move = ItemDraws.draw, RowAdam._move_rows

    def spied_draw(self: ItemDraws, *args: Any) -> np.ndarray:
        found = draw(self, *args)
        drawn.extend(found.ravel().tolist())
        return found

    def spied_move(self: RowAdam, parameter: Any, gradient: Any, group: Any) -> None:
        touched.append(gradient.indices()[0].tolist())
        move(self, parameter, gradient, group)

    monkeypatch.setattr(ItemDraws, "draw", spied_draw)
    monkeypatch.setattr(RowAdam, "_move_rows", spied_move)
    train = [[0, 1, 2], [2, 1], [3, 4, 0]]  # read: 0 1 2 3 4; to be predicted: 0 1 2 4
    fitted(train, loss=loss, negatives=1, output=output, epochs=1, table="touched")
    compared = {0, 1, 2, 4, *drawn}
    if output == "tied":
        assert touched == [sorted({0, 1, 2, 3, 4} | compared)]
    else:
        assert sorted(touched) == sorted([[0, 1, 2, 3, 4], sorted(compared)])
    fitted(train, loss=loss, negatives=1, output=output, epochs=1, table="all")
    assert len(touched) == (1 if output == "tied" else 2)  # there every row has a gradient


def test_touched_rows_are_those_of_a_table() -> None:
    with pytest.raises(UsageError, match="table=touched changes nothing in sasrec-text"):
        fitted(walks(12), "sasrec-text", loss="bce", table="touched")


def test_touched_rows_learn_too() -> None:
    light = {"hidden_size": 32, "hidden_dropout": 0.1, "attention_dropout": 0.1}
    recommender = fitted(
        walks(80), **light, loss="bce", negatives=4, table="touched", epochs=60, lr=1e-2,
        batch_size=64,
    )  # fmt: skip
    right = answers(recommender).argmax(dim=1) == (torch.arange(N_ITEMS) + 2) % N_ITEMS
    assert right.float().mean().item() > 0.8


@pytest.mark.parametrize("loss", ["bce", "gbce", "sampled-softmax"])
def test_one_item_has_nothing_to_be_told_apart_from(loss: str) -> None:
    with pytest.raises(UsageError, match=r"there is one item(.|\n)*loss=softmax"):
        Objective.of(SequenceSettings(loss=loss), Ragged.from_lists([[0, 0]]), 1)


def test_the_record_says_what_was_drawn() -> None:
    card = get_recommender("sasrec")
    config = {"loss": "sampled-softmax", "negatives": 2000, "draws": "popularity"}
    recommender = card.build(card.config(**SMALL, **config))
    report = recommender.fit(problem(walks(12)), items(), FabricTrainer(seed=0))
    assert "sampled-softmax: 2,000 items a batch drawn by popularity" in report.notes


def test_a_full_softmax_over_what_is_drawn_is_the_full_softmax() -> None:
    """Every item once, uncorrected: an independent way to the same number."""
    recommender = fitted(walks(12))
    scores, targets = plain(recommender)
    sampled = loss_of(
        recommender, np.arange(N_ITEMS), loss="sampled-softmax", negatives=N_ITEMS, logq=True
    )
    torch.testing.assert_close(sampled, torch.nn.functional.cross_entropy(scores, targets))
