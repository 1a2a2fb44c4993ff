"""What an encoder learns before it is frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from tastebench.contracts import Items
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.objective import Objective
from tastebench.recommenders.userqa.encoders import EncoderSettings
from tastebench.recommenders.userqa.item_features import make_bags
from tastebench.recommenders.userqa.pretrain import (
    contrastive_loss,
    last_items,
    last_targets,
    pretrain,
)
from tastebench.recommenders.userqa.pretrain_settings import PretrainSettings
from tastebench.recommenders.userqa.user_network import UserNetwork
from tastebench.testing.user_questions import LENGTH, N_ITEMS, problem, shop
from tastebench.training.batches import ShiftedSequences
from tastebench.training.fit import FabricTrainer

NAMES = ("sasrec", "gru4rec", "hstu", "mamba2", "trm")


def network(name: str = "gru4rec", items: Items | None = None, **shape: Any) -> UserNetwork:
    torch.manual_seed(0)
    settings = EncoderSettings(name=name, **shape)  # type: ignore[arg-type]
    bags = make_bags(items or shop(), ("id", "side"), None)
    return UserNetwork(settings, bags, LENGTH)


def test_the_loss_is_that_of_every_next_item_over_the_tied_table() -> None:
    made = network().eval()
    histories = Ragged.from_lists([[3, 1, 2], [5, 4]])
    batch = ShiftedSequences.cut(histories, LENGTH).batch(np.array([0, 1]))
    tensors = [torch.from_numpy(a) for a in (batch.inputs, batch.is_target, batch.lengths)]
    states = made.predicting(*tensors)
    found = Objective().loss(made, states, torch.from_numpy(batch.targets), None)
    assert made.features.ids is not None
    losses = []
    for items in histories.to_lists():
        inputs = made.features(torch.tensor(items[:-1]))[None]
        logits = made.out(made.norm(made.encoder(inputs)))[0] @ made.features.ids.T
        losses.append(functional.cross_entropy(logits, torch.tensor(items[1:]), reduction="none"))
    assert found.item() == pytest.approx(torch.cat(losses).mean().item(), abs=1e-5)


@pytest.mark.parametrize("others", [[], [7, 2, 2]])
def test_the_contrastive_loss_is_infonce_over_the_different_items(others: list[int]) -> None:
    made = network().eval()
    states = torch.randn(4, made.features.compared_width)
    targets = torch.tensor([2, 5, 2, 9])
    found = contrastive_loss(made, states, targets, torch.tensor(others, dtype=torch.long), 0.2)
    candidates = sorted({2, 5, 9, *others})
    items = made.features.compared(torch.tensor(candidates))
    cosines = functional.cosine_similarity(states[:, None], items[None], dim=2) / 0.2
    own = torch.tensor([candidates.index(int(t)) for t in targets])
    assert found.item() == pytest.approx(functional.cross_entropy(cosines, own).item(), abs=1e-5)


def test_last_positions_alone_can_predict() -> None:
    batch = ShiftedSequences.cut(Ragged.from_lists([[3, 1, 2], [5, 4]]), 9).batch(np.arange(2))
    assert batch.targets.tolist() == [1, 2, 4]
    last = last_targets(batch)
    assert last.targets.tolist() == [2, 4]
    assert last.is_target.tolist() == [[False, True], [True, False]]


def test_who_is_chosen_by_is_asked_for_the_last_item() -> None:
    batch = last_items(Ragged.from_lists([[3, 1, 2, 8], [5], [], [6, 7]]), 2)
    assert batch is not None
    assert batch.inputs.tolist() == [[1, 2], [6, 0]]
    assert batch.targets.tolist() == [8, 7]
    assert batch.is_target.tolist() == [[False, True], [True, False]]
    assert last_items(Ragged.from_lists([[5], []]), 2) is None


@pytest.mark.parametrize("by", ["supervised", "contrastive"])
@pytest.mark.parametrize("name", NAMES)
def test_every_encoder_learns_and_is_frozen(name: str, by: str) -> None:
    """What comes next is of the user's favourite category, four times as likely as by chance."""
    made, case = network(name), problem(train=300)
    settings = PretrainSettings(by=by, epochs=6, batch_size=128, lr=3e-3)  # type: ignore[arg-type]
    histories = case.train.history, case.valid.history
    report = pretrain(made, settings, *histories, LENGTH, FabricTrainer(seed=0))
    assert len(report.curve) == 6
    assert not made.training and not any(p.requires_grad for p in made.parameters())
    assert max(row["valid"] for row in report.curve) > -np.log(N_ITEMS)  # of a uniform guess
    held_out = last_items(case.test.history, LENGTH)
    assert held_out is not None
    with torch.no_grad():
        states = made.predicting(
            *(torch.from_numpy(a) for a in (held_out.inputs, held_out.is_target, held_out.lengths))
        )
    best = (states @ functional.normalize(made.catalogue(), dim=1).T).argmax(dim=1).numpy()
    assert np.mean(best % 4 == held_out.targets % 4) > 0.6  # 0.85 is all that there is


def test_none_leaves_it_as_it_was_drawn_and_says_so() -> None:
    made = network()
    before = {name: p.clone() for name, p in made.named_parameters()}
    settings, case = PretrainSettings(by="none"), problem(20, 5)
    histories = case.train.history, case.valid.history
    report = pretrain(made, settings, *histories, LENGTH, FabricTrainer(seed=0))
    assert report.notes == ("the user encoder is as it was drawn",)
    assert all(torch.equal(p, before[name]) for name, p in made.named_parameters())
    assert not any(p.requires_grad for p in made.parameters())


def test_it_keeps_its_state_beside_that_of_the_run(tmp_path: Path) -> None:
    case = problem(40, 5)
    histories = case.train.history, case.valid.history
    settings = PretrainSettings(epochs=1)
    trainer = FabricTrainer(seed=0, directory=tmp_path, validate=lambda: 1 / 0)
    first = network()
    pretrain(first, settings, *histories, LENGTH, trainer)  # never validates by answers
    assert (tmp_path / "user-encoder" / "fit-1.safetensors").is_file()
    again = network()
    pretrain(again, settings, *histories, LENGTH, FabricTrainer(seed=0, directory=tmp_path))
    torch.testing.assert_close(again.out.weight, first.out.weight)


def test_items_that_occur_twice_are_embedded_once() -> None:
    made = network()
    seen: list[int] = []
    made.features.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    embedded = made.embed(torch.tensor([4, 4, 2, 4]))
    assert seen == [2]
    torch.testing.assert_close(embedded, made.features(torch.tensor([4, 4, 2, 4])))
    assert made.n_items == N_ITEMS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": "contrastive", "loss": "bce"}, "loss=bce changes nothing where by=contrastive"),
        ({"temperature": 0.1}, "temperature changes nothing where by=supervised"),
        ({"by": "none", "others": 3}, "others changes nothing where by=none"),
        ({"loss": "bce", "table": "touched"}, "not for encoders that read more than ids"),
    ],
)
def test_settings_that_change_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PretrainSettings(**changes)
