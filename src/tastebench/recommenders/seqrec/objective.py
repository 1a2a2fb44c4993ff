"""The loss of predicted positions: over the whole catalogue, or over what is drawn for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.settings import SequenceSettings
from tastebench.training.batches import SequenceBatch
from tastebench.training.losses import (
    gbce_beta,
    linear_cross_entropy,
    sampled_binary_cross_entropy,
    shared_cross_entropy,
)
from tastebench.training.negatives import ItemDraws
from tastebench.training.settings import TrainSettings

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.next_item import SequenceNetwork


@dataclass(frozen=True, eq=False)
class Objective:
    """What `SequenceSettings` say of the loss, for one problem.

    Attributes:
        settings: The loss and its numbers; None for the full softmax.
        draws: What negatives are drawn from; None where none are.
        log_expected: Taken off the scores of drawn items, float32 `[n_items]`; None for nothing.
        rows: Rows of the full softmax taken at once; None for the default.
    """

    settings: SequenceSettings | None = None
    draws: ItemDraws | None = None
    log_expected: np.ndarray | None = None
    rows: int | None = None

    @classmethod
    def of(cls, settings: TrainSettings, train: Ragged, n_items: int) -> Objective:
        """The objective of a training part, in which every item but a user's first is a target.

        Raises:
            UsageError: There is nothing to draw in a catalogue of one item.
        """
        if not isinstance(settings, SequenceSettings):
            return cls()
        if settings.loss == "softmax":
            return cls(rows=settings.ROWS)
        if n_items < 2:
            raise UsageError(
                f"loss={settings.loss} draws items that a position is told apart from, and there "
                "is one item",
                fix="use loss=softmax, or more items",
            )
        targets = None
        if settings.draws == "popularity":
            first = train.offsets[:-1][train.lengths > 0]
            targets = np.delete(train.values, first)
        draws = ItemDraws(n_items, targets)
        log_expected = draws.log_expected(settings.n_negatives) if settings.corrects else None
        return cls(settings, draws, log_expected)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a record should say of it."""
        if self.settings is None or self.draws is None:
            return ()
        by = "uniformly" if self.draws.targets is None else "by popularity"
        whom = "batch" if self.settings.loss == "sampled-softmax" else "position"
        return (f"{self.settings.loss}: {self.settings.n_negatives:,} items a {whom} drawn {by}",)

    def with_draws(
        self, batches: Iterable[SequenceBatch], rng: np.random.Generator
    ) -> Iterator[SequenceBatch]:
        """The batches of an epoch with the items drawn for each."""
        if self.settings is None or self.draws is None:
            yield from batches
            return
        k = self.settings.n_negatives
        for batch in batches:
            shape = (k,) if self.settings.loss == "sampled-softmax" else (len(batch), k)
            yield replace(batch, drawn=self.draws.draw(rng, *shape))

    def loss(
        self, network: SequenceNetwork, states: Tensor, targets: Tensor, drawn: Tensor | None
    ) -> Tensor:
        """Mean loss of states `[n, h]` against the items that came next, `[n]`.

        Args:
            network: Says what states are compared with.
            states: One row a predicted position.
            targets: Items, int64 `[n]`.
            drawn: Items drawn for all, int64 `[k]`, or for each, `[n, k]`; None for none.
        """
        if self.settings is None or drawn is None:
            table = network.catalogue()
            return linear_cross_entropy(states, table, targets, network.scale, rows=self.rows)
        if self.settings.loss == "sampled-softmax":
            return self._softmax(network, states.float(), targets, drawn)
        beta = gbce_beta(drawn.shape[1], network.n_items, self.settings.calibration)
        if network.has_tables and not network.touched:  # what is compared with is there as it is
            table, own, others = network.catalogue(), targets, drawn
        else:
            both = torch.cat([targets[:, None], drawn], dim=1)
            items, place = torch.unique(both, return_inverse=True)
            table, own, others = network.answers(items), place[:, 0], place[:, 1:]
        return sampled_binary_cross_entropy(
            states.float(), table.float(), own, others, network.scale, beta
        )

    def _softmax(
        self, network: SequenceNetwork, states: Tensor, targets: Tensor, drawn: Tensor
    ) -> Tensor:
        rows = network.answers(torch.cat([drawn, targets])).float()
        correction = None
        if self.log_expected is not None:
            correction = torch.from_numpy(self.log_expected).to(drawn.device)[drawn]
        return shared_cross_entropy(
            states,
            rows[: len(drawn)],
            rows[len(drawn) :],
            targets[:, None] == drawn,
            correction,
            network.scale,
        )
