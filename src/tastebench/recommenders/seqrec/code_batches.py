"""Training sequences for models that spell items: whole windows, or histories and what came next.

A causal reader predicts every item of a sequence in one pass (`Windows`). A bidirectional reader
sees a history as a whole, so what it makes of the first items depends on the later ones, and every
item to predict needs a reading of its own (`Pairs`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tastebench.ragged import Ragged, spans
from tastebench.recommenders.seqrec.padding import alike
from tastebench.training.batches import ShiftedSequences, arranged


@dataclass(frozen=True, eq=False)
class ItemBatch:
    """Some windows or some histories, right-padded.

    Attributes:
        items: int64 `[b, n]`; what stands after `length` items means nothing.
        length: Items of each row, int64 `[b]`.
        user: Whose they are, int64 `[b]`.
        is_target: Of `Windows`: the items to predict from what stands before them, bool `[b, n]`.
        targets: The items to predict: of `Windows` those of `is_target` row by row, of `Pairs` one
            a row; int64.
    """

    items: np.ndarray
    length: np.ndarray
    user: np.ndarray
    targets: np.ndarray
    is_target: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)


class Windows:
    """Sequences cut as `ShiftedSequences` cuts them, with the item that each position predicts.

    A row has at most `history_length + 1` items. Beside every item that has another before it, the
    first item of a sequence is a target too, predicted from the start alone: so a user without
    history is no unknown case. Sequences of one item are left out, as everywhere.

    Args:
        sequences: Oldest item first, one list a user.
        history_length: Items that a prediction may look back to.
    """

    def __init__(self, sequences: Ragged, history_length: int) -> None:
        self._items, self._offsets = sequences.values, sequences.offsets
        self._user = sequences.rows
        # What is cut are places in the sequences: they tell which item, whose, and whether first.
        places = Ragged(np.arange(len(sequences.values)), sequences.offsets)
        self._shifted = ShiftedSequences.cut(places, history_length)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[ItemBatch]:
        """All rows once, about `batch_size` targets at a time."""
        for batch in self._shifted.epoch(rng, batch_size):
            b, n = batch.inputs.shape
            place = np.zeros((b, n + 1), np.int64)
            place[:, :-1] = batch.inputs
            place[:, 1:][batch.is_target] = batch.targets
            user = self._user[place[:, 0]]
            is_target = np.zeros((b, n + 1), bool)
            is_target[:, 1:] = batch.is_target
            last = n - np.argmax(is_target[:, ::-1], axis=1)
            is_target[:, 0] = place[:, 0] == self._offsets[user]
            items = self._items[place].astype(np.int64)
            for rows in alike(last + 1):
                some, marks = (each[rows, : last[rows].max() + 1] for each in (items, is_target))
                yield ItemBatch(some, last[rows] + 1, user[rows], some[marks], marks)


class Pairs:
    """Every history and what came next, or a few of each sequence an epoch.

    Args:
        sequences: Oldest item first, one list a user.
        history_length: A history is at most this many of the latest items.
        per_sequence: Targets that an epoch draws of every sequence, uniformly and without
            replacement; None takes all. Drawing weighs sequences alike, and all weighs them by
            their targets: the two are the same only where sequences are equally long.
    """

    def __init__(self, sequences: Ragged, history_length: int, per_sequence: int | None) -> None:
        self._items, self._offsets = sequences.values, sequences.offsets
        self._user, self._length = sequences.rows, history_length
        self._per_sequence = per_sequence
        before = np.arange(len(self._items)) - self._offsets[self._user]
        self._targets = np.flatnonzero(before > 0)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[ItemBatch]:
        """Pairs in batches of `batch_size`, similar lengths together."""
        place = self._draw(rng)
        length = np.minimum(place - self._offsets[self._user[place]], self._length)
        for rows in arranged(length, np.ones_like(length), rng, batch_size):
            for some in alike(length[rows]):
                yield self._batch(place[rows[some]], length[rows[some]])

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """The targets of an epoch, as places in the sequences."""
        if self._per_sequence is None:
            return self._targets
        # In random order, the first few of each sequence are a draw.
        place = rng.permutation(self._targets)
        place = place[np.argsort(self._user[place], kind="stable")]
        user = self._user[place]
        nth = np.arange(len(place)) - np.searchsorted(user, user)
        kept: np.ndarray = place[nth < self._per_sequence]
        return kept

    def _batch(self, place: np.ndarray, length: np.ndarray) -> ItemBatch:
        history = Ragged.from_lengths(self._items[spans(place - length, length)], length)
        items = history.padded(int(length.max()), fill=0).astype(np.int64)
        targets = self._items[place].astype(np.int64)
        return ItemBatch(items, length, self._user[place], targets)
