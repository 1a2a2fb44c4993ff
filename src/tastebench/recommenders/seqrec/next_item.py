"""Next-item prediction: training and asking any causal sequence network.

The network says what a history and an item look like; this file does what is the same for all of
them: batches, the loss, and scores for any user and any items.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import FitReport, Items, Queries, SeqProblem, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec.objective import Objective
from tastebench.recommenders.seqrec.padding import alike, asked_together
from tastebench.recommenders.seqrec.settings import SequenceSettings
from tastebench.training.batches import SequenceBatch, ShiftedSequences
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
        has_tables: Items are rows of tables of parameters and are read through `looked_up`.
        touched: Whether such tables get a gradient of the rows read alone.
    """

    n_items: int
    scale: float = 1.0
    notes: tuple[str, ...] = ()
    has_tables: bool = False
    touched: bool = False

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

    def looked_up(self, table: Tensor, items: Tensor) -> Tensor:
        """Rows `items` `[n]` of a table `[n_items, h]`."""
        return functional.embedding(items, table, sparse=True) if self.touched else table[items]

    def answers(self, items: Tensor) -> Tensor:
        """What states are compared with, for items int64 `[n]`, `[n, h]`."""
        return self.compared(self.embed(items))

    def predicting(self, items: Tensor, is_target: Tensor, lengths: Tensor) -> Tensor:
        """States that predict in training, `[n_targets, h]`, row by row.

        Args:
            items: Right-padded, int64 `[b, l]`.
            is_target: Positions that predict, bool `[b, l]`.
            lengths: Real positions of each row, int64 `[b]`.
        """
        return self.states(items)[is_target]

    def last(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """What is known at the end of right-padded histories `[b, l, h]`, none empty: `[b, h]`."""
        return self.read(embeddings)[torch.arange(len(lengths), device=lengths.device), lengths - 1]

    def states(self, items: Tensor) -> Tensor:
        """Right-padded items int64 `[b, l]` to states `[b, l, h]`."""
        return self.read(self.embed(items.flatten()).view(*items.shape, -1))

    def table(self) -> Tensor:
        """The embeddings of all items, `[n_items, h]`."""
        every = torch.arange(self.n_items, device=next(self.parameters()).device)
        parts = (every,) if torch.is_grad_enabled() else torch.split(every, EMBEDDED_TOGETHER)
        return torch.cat([self.embed(part) for part in parts])

    def catalogue(self, table: Tensor | None = None) -> Tensor:
        """What states are compared with, one row an item, `[n_items, h]`.

        Args:
            table: The embeddings of all items, where they are there already.
        """
        return self.compared(self.table() if table is None else table)


class Sequences(Protocol):
    """Training sequences that a network learns from."""

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[SequenceBatch]:
        """All of them once."""
        ...


class NextItem:
    """A recommender that asks a sequence network which item comes next.

    A user without history has a zero state, so every item ties: nothing is known, and expected
    values over ties say so. Scores are those of the network without `scale`.

    Args:
        name: For messages.
        settings: How to train.
        build: Problem and items to an untrained network.
        cut: Training items per user and the length of histories to what is trained on.
    """

    def __init__(
        self,
        name: str,
        settings: TrainSettings,
        build: Callable[[SeqProblem, Items], SequenceNetwork],
        cut: Callable[[Ragged, int], Sequences] = ShiftedSequences.cut,
    ) -> None:
        self.name = name
        self.settings = settings
        self._build = build
        self._cut = cut
        self._objective = Objective()
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
            UsageError: No sequence has two items, the network lacks a form it needs, or a setting
                does not go with it.
        """
        began = time.perf_counter()
        with torch_seeded(trainer.rng("weights")):
            self._network = network = self._build(problem, items)
        network.touched = self._touched(network)
        self._history_length = problem.history_length
        self._objective = Objective.of(self.settings, problem.train, items.n)
        self._forget()
        sequences = self._cut(problem.train, problem.history_length)

        def epoch(rng: np.random.Generator) -> Iterator[SequenceBatch]:
            batches = sequences.epoch(rng, self.settings.batch_size)
            batches = (part for batch in batches for part in little_padded(batch))
            return self._objective.with_draws(batches, rng)

        prepared = time.perf_counter() - began
        report = trainer.fit(network, self.settings, epoch, self._loss)
        self._forget()
        notes = (*network.notes, *self._objective.notes, *report.notes)
        return replace(report, seconds=report.seconds + prepared, notes=notes)

    def scores(self, queries: Queries, items: slice) -> Tensor:
        """Scores float32 `[len(queries), len(items)]`.

        Raises:
            UsageError: `fit` was not called, or the queries hold no histories.
        """
        with torch.no_grad():
            return self.query_vectors(queries) @ self.item_vectors()[items].T

    def item_vectors(self) -> Tensor:
        """What states are compared with, float32 `[n_items, h]`, not to be written to."""
        # Both sides are kept: a catalogue in chunks asks about the same users many times.
        if self._table is None or self._catalogue is None:
            with torch.no_grad():
                self._table = self.network.table()
                self._catalogue = self.network.catalogue(self._table)
        return self._catalogue.detach()  # it may be the very table that is trained

    def query_vectors(self, queries: Queries) -> Tensor:
        """What is known at the end of each history, float32 `[len(queries), h]`.

        Raises:
            UsageError: As `scores`.
        """
        self.item_vectors()  # histories are read by the same embeddings
        if queries.history is None:
            raise UsageError(f"{self.name} needs histories to say what comes next")
        if self._asked is None or self._asked[0] is not queries:
            with torch.no_grad():
                self._asked = queries, self._encode(queries.history)
        return self._asked[1]

    def _loss(self, batch: SequenceBatch) -> Tensor:
        self._forget()  # what is kept for scoring belongs to the weights before this step
        network = self.network
        states = network.predicting(
            self._tensor(batch.inputs), self._tensor(batch.is_target), self._tensor(batch.lengths)
        )
        drawn = None if batch.drawn is None else self._tensor(batch.drawn)
        return self._objective.loss(network, states, self._tensor(batch.targets), drawn)

    def _touched(self, network: SequenceNetwork) -> bool:
        touched = isinstance(self.settings, SequenceSettings) and self.settings.table == "touched"
        if touched and not network.has_tables:
            raise UsageError(
                f"table=touched changes nothing in {self.name}: it has no table of item embeddings",
                fix="leave table out",
            )
        return touched

    def _encode(self, history: Ragged) -> Tensor:
        """What is known at the end of every history, `[n, h]`; zero where it is empty.

        An item is embedded once, not wherever it occurs: in training each occurrence draws its own
        dropout, here nothing is drawn.
        """
        assert self._table is not None and self._catalogue is not None
        history = history.tail(self._history_length)
        lengths = history.lengths
        known = np.flatnonzero(lengths)
        states = torch.zeros(len(history), self._catalogue.shape[1], device=self._device)
        for part in asked_together(lengths[known], ASKED_TOGETHER):
            rows = known[part]
            padded = history[rows].padded(int(lengths[rows[-1]]), fill=0).astype(np.int64)
            embeddings = self._table[self._tensor(padded)]
            states[self._tensor(rows)] = self.network.last(
                embeddings, self._tensor(lengths[rows])
            ).float()
        return states

    def _forget(self) -> None:
        self._table = self._catalogue = self._asked = None

    @property
    def _device(self) -> torch.device:
        return next(self.network.parameters()).device

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def little_padded(batch: SequenceBatch) -> Iterator[SequenceBatch]:
    """The batch, or where one row is far longer than most, its parts: see `alike`."""
    groups = alike(batch.lengths)
    if len(groups) == 1:
        yield batch
        return
    of_row = np.concatenate(([0], np.cumsum(batch.is_target.sum(axis=1))))
    for rows in groups:
        length = batch.lengths[rows]
        yield SequenceBatch(
            inputs=batch.inputs[rows, : length.max()],
            is_target=batch.is_target[rows, : length.max()],
            targets=Ragged(batch.targets, of_row)[rows].values,
            lengths=length,
        )
