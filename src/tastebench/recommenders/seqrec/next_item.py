"""Next-item prediction: training and asking any causal sequence network.

The network says what a history and an item look like; this file does what is the same for all of
them: shifted batches, the softmax over the whole catalogue, and scores for any user and any items.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.contracts import FitReport, Items, Queries, SeqProblem, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.training.batches import SequenceBatch, ShiftedSequences
from tastebench.training.losses import linear_cross_entropy
from tastebench.training.seeds import torch_seeded
from tastebench.training.settings import TrainSettings

ASKED_TOGETHER = 128  # histories of similar length encoded at once when scoring
EMBEDDED_TOGETHER = 8192  # items at once when nothing is differentiated: bounds the memory


class SequenceNetwork(nn.Module):
    """What a network for `NextItem` has to say.

    Attributes:
        n_items: Size of the catalogue.
        scale: The softmax is taken over `scale * states @ catalogue.T`.
        notes: What the record should say of it.
    """

    n_items: int
    scale: float = 1.0
    notes: tuple[str, ...] = ()

    def embed(self, items: Tensor) -> Tensor:
        """Items int64 `[n]` to embeddings `[n, h]`."""
        raise NotImplementedError

    def read(self, embeddings: Tensor) -> Tensor:
        """Embeddings of right-padded histories `[b, l, h]` to states of the same shape.

        State `i` has seen `0 .. i`.
        """
        raise NotImplementedError

    def compared(self, embeddings: Tensor) -> Tensor:
        """What states are compared with, from the embeddings of items, `[n, h]`."""
        return embeddings

    def states(self, items: Tensor) -> Tensor:
        """Right-padded items int64 `[b, l]` to states `[b, l, h]`."""
        return self.read(self.embed(items.flatten()).view(*items.shape, -1))

    def table(self) -> Tensor:
        """The embeddings of all items, `[n_items, h]`."""
        every = torch.arange(self.n_items, device=next(self.parameters()).device)
        parts = (every,) if torch.is_grad_enabled() else torch.split(every, EMBEDDED_TOGETHER)
        return torch.cat([self.embed(part) for part in parts])

    def catalogue(self) -> Tensor:
        """What states are compared with, one row an item, `[n_items, h]`."""
        return self.compared(self.table())


class NextItem:
    """A recommender that asks a sequence network which item comes next.

    A user without history has a zero state, so every item ties: nothing is known, and expected
    values over ties say so. Scores are those of the network without `scale`.

    Args:
        name: For messages.
        settings: How to train.
        build: Problem and items to an untrained network.
    """

    def __init__(
        self,
        name: str,
        settings: TrainSettings,
        build: Callable[[SeqProblem, Items], SequenceNetwork],
    ) -> None:
        self.name = name
        self.settings = settings
        self._build = build
        self._network: SequenceNetwork | None = None
        self._history_length = 0
        self._table: Tensor | None = None
        self._catalogue: Tensor | None = None
        self._asked: tuple[Queries, Tensor] | None = None

    @property
    def network(self) -> SequenceNetwork:
        """The network, fitted as far as `fit` has come.

        Raises:
            UsageError: `fit` was not called.
        """
        if self._network is None:
            raise UsageError(f"{self.name} is not fitted", fix="call fit first")
        return self._network

    def fit(self, problem: SeqProblem, items: Items, trainer: Trainer) -> FitReport:
        """Trains on every position of every training sequence.

        Raises:
            UsageError: No sequence has two items, or the network lacks a form it needs.
        """
        began = time.perf_counter()
        with torch_seeded(trainer.rng("weights")):
            self._network = self._build(problem, items)
        self._history_length = problem.history_length
        self._forget()
        sequences = ShiftedSequences.cut(problem.train, problem.history_length)
        prepared = time.perf_counter() - began
        report = trainer.fit(
            self._network,
            self.settings,
            partial(sequences.epoch, batch_size=self.settings.batch_size),
            self._loss,
        )
        self._forget()
        notes = (*self.network.notes, *report.notes)
        return replace(report, seconds=report.seconds + prepared, notes=notes)

    def scores(self, queries: Queries, items: slice) -> Tensor:
        """Scores float32 `[len(queries), len(items)]`.

        Raises:
            UsageError: `fit` was not called, or the queries hold no histories.
        """
        network = self.network
        if queries.history is None:
            raise UsageError(f"{self.name} needs histories to say what comes next")
        with torch.no_grad():
            # Both sides are kept: a catalogue in chunks asks about the same users many times.
            if self._table is None or self._catalogue is None:
                self._table = network.table()
                self._catalogue = network.compared(self._table)
            if self._asked is None or self._asked[0] is not queries:
                self._asked = queries, self._encode(queries.history, self._table)
            return self._asked[1] @ self._catalogue[items].T

    def _loss(self, batch: SequenceBatch) -> Tensor:
        self._forget()  # what is kept for scoring belongs to the weights before this step
        network = self.network
        states = network.states(self._tensor(batch.inputs))[self._tensor(batch.is_target)]
        targets = self._tensor(batch.targets)
        return linear_cross_entropy(states, network.catalogue(), targets, network.scale)

    def _encode(self, history: Ragged, table: Tensor) -> Tensor:
        """The last state of every history, `[n, h]`; zero where it is empty.

        An item is embedded once, not wherever it occurs: in training each occurrence draws its own
        dropout, here nothing is drawn.
        """
        history = history.tail(self._history_length)
        lengths = history.lengths
        # Similar lengths together: most histories are short, and padding costs as much as items.
        order = np.argsort(lengths, kind="stable")[np.count_nonzero(lengths == 0) :]
        states = torch.zeros(len(history), table.shape[1], device=self._device)
        for begin in range(0, len(order), ASKED_TOGETHER):
            rows = order[begin : begin + ASKED_TOGETHER]
            padded = history[rows].padded(int(lengths[rows[-1]]), fill=0).astype(np.int64)
            last = self._tensor(lengths[rows] - 1)
            encoded = self.network.read(table[self._tensor(padded)])
            states[self._tensor(rows)] = encoded[torch.arange(len(rows)), last]
        return states

    def _forget(self) -> None:
        self._table = self._catalogue = self._asked = None

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)
