"""How a user encoder learns before it meets a language model: what comes next, and nothing else.

It learns from the histories of the training questions' users alone. It is chosen by the users of
the validation part: how likely the last item of each is, given those before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.contracts import FitReport, Trainer
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.objective import Objective
from tastebench.recommenders.userqa.pretrain_settings import PretrainSettings
from tastebench.recommenders.userqa.user_network import UserNetwork
from tastebench.training.batches import SequenceBatch, ShiftedSequences
from tastebench.training.fit import FabricTrainer
from tastebench.training.losses import linear_cross_entropy
from tastebench.training.team import ALONE

_ASKED_TOGETHER = 2048


@dataclass(frozen=True, eq=False)
class _Learning:
    """One fit: the loss of a batch, and what comes of a validation."""

    network: UserNetwork
    settings: PretrainSettings
    objective: Objective
    sequences: ShiftedSequences
    held_out: SequenceBatch | None

    def epoch(self, rng: np.random.Generator) -> Iterator[SequenceBatch]:
        """All sequences once, with what is drawn for them."""
        settings = self.settings
        batches = self.sequences.epoch(rng, settings.batch_size)
        if settings.by == "supervised":
            yield from self.objective.with_draws(batches, rng)
            return
        for batch in batches:
            asked = batch if settings.positions == "all" else last_targets(batch)
            others = rng.integers(self.network.n_items, size=settings.others)
            yield replace(asked, drawn=others)

    def loss(self, batch: SequenceBatch) -> Tensor:
        """Mean over the predicted positions."""
        states = self._states(batch)
        targets = self._tensor(batch.targets)
        drawn = None if batch.drawn is None else self._tensor(batch.drawn)
        if self.settings.by == "supervised":
            return self.objective.loss(self.network, states, targets, drawn)
        assert drawn is not None
        return contrastive_loss(self.network, states, targets, drawn, self.settings.temperature)

    def valid(self) -> float:
        """Mean log-probability of the items that are held out, over the whole catalogue."""
        batch = self.held_out
        assert batch is not None
        catalogue, scale = self.network.catalogue().float(), 1.0
        if self.settings.by == "contrastive":
            catalogue, scale = functional.normalize(catalogue, dim=1), 1 / self.settings.temperature
        total = 0.0
        for begin in range(0, len(batch), _ASKED_TOGETHER):
            some = slice(begin, begin + _ASKED_TOGETHER)
            part = SequenceBatch(
                batch.inputs[some], batch.is_target[some], batch.targets[some], batch.lengths[some]
            )
            states = self._states(part).float()
            if self.settings.by == "contrastive":
                states = functional.normalize(states, dim=1)
            loss = linear_cross_entropy(states, catalogue, self._tensor(part.targets), scale)
            total -= loss.item() * len(part)
        return total / len(batch)

    def _states(self, batch: SequenceBatch) -> Tensor:
        return self.network.predicting(
            self._tensor(batch.inputs), self._tensor(batch.is_target), self._tensor(batch.lengths)
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.network.out.weight.device)


def pretrain(
    network: UserNetwork,
    settings: PretrainSettings,
    train: Ragged,
    valid: Ragged,
    length: int,
    trainer: Trainer,
) -> FitReport:
    """Trains the encoder in place and leaves it frozen, in eval mode.

    Args:
        network: The encoder with what it reads.
        settings: How.
        train: Histories to learn from, oldest item first.
        valid: Histories whose last item is held out to choose by.
        length: Items of a history at most.
        trainer: Of the run: its seed, and where state may be kept.
    """
    report = FitReport(parameters=0, seconds=0.0, notes=("the user encoder is as it was drawn",))
    if settings.by != "none":
        held_out = last_items(valid, length)
        learning = _Learning(
            network,
            settings,
            Objective.of(settings, train, network.n_items),
            ShiftedSequences.cut(train, length),
            held_out,
        )
        # A trainer of its own: that of the run validates by answers, which there are none of yet.
        own = FabricTrainer(
            trainer.seed,
            _folder(trainer),
            learning.valid if held_out is not None else None,
            team=trainer.team if isinstance(trainer, FabricTrainer) else ALONE,
        )
        report = own.fit(network, settings, learning.epoch, learning.loss)
        said = (*learning.objective.notes, *report.notes)
        notes = tuple(f"user encoder: {note}" for note in said)
        report = replace(report, notes=notes)
    network.requires_grad_(False).eval()
    return report


def contrastive_loss(
    network: UserNetwork, states: Tensor, targets: Tensor, others: Tensor, temperature: float
) -> Tensor:
    """InfoNCE of states `[n, h]` and the items that came next `[n]`, over the batch's items.

    Args:
        network: Says what items are compared by.
        states: One row a predicted position.
        targets: Items, int64 `[n]`.
        others: More candidates, int64 `[k]`; one that is a target is the same candidate.
        temperature: Divides the cosines.
    """
    candidates, place = torch.unique(torch.cat([targets, others]), return_inverse=True)
    items = functional.normalize(network.answers(candidates).float(), dim=1)
    users = functional.normalize(states.float(), dim=1)
    return linear_cross_entropy(users, items, place[: len(targets)], 1 / temperature)


def last_targets(batch: SequenceBatch) -> SequenceBatch:
    """The same batch with the last position of each row predicting alone."""
    last = np.zeros_like(batch.is_target)
    last[np.arange(len(batch.lengths)), batch.lengths - 1] = True
    return replace(batch, is_target=last, targets=batch.targets[last[batch.is_target]])


def last_items(histories: Ragged, length: int) -> SequenceBatch | None:
    """Histories whose last item is what comes next, as one batch; None where none has two items."""
    histories = histories[histories.lengths > 1].tail(length + 1)
    if not len(histories):
        return None
    lengths = histories.lengths - 1
    before = Ragged.windows(histories.values, histories.offsets[1:] - 1, lengths)
    is_target = np.zeros((len(lengths), int(lengths.max())), dtype=bool)
    is_target[np.arange(len(lengths)), lengths - 1] = True
    return SequenceBatch(
        inputs=before.padded(is_target.shape[1], fill=0).astype(np.int64),
        is_target=is_target,
        targets=histories.values[histories.offsets[1:] - 1].astype(np.int64),
        lengths=lengths,
    )


def _folder(trainer: Trainer) -> Path | None:
    if trainer.directory is None:
        return None
    folder = trainer.directory / "user-encoder"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
