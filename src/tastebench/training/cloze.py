"""Batches for models that look both ways: some items are hidden, and those are the targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tastebench.ragged import Ragged
from tastebench.training.batches import SequenceBatch, ShiftedSequences, arranged


@dataclass(frozen=True, eq=False)
class ClozeSequences:
    """Training sequences of at most `history_length + 1` items, in which items are hidden.

    Longer sequences become several rows that overlap by half, as `ShiftedSequences` cuts them. Each
    item can be hidden in one row only: in all but the first the leading items are context.

    Attributes:
        rows: Row `i` holds the `rows.length[i]` inputs of a shifted row and the item after them.
        masked: Share of the items that can be hidden in a row that are, at least one; something
            always stays visible.
        last_only: Share of rows of which the last item alone is hidden, as when the model is asked.
    """

    rows: ShiftedSequences
    masked: float
    last_only: float

    @classmethod
    def cut(
        cls, sequences: Ragged, history_length: int, *, masked: float, last_only: float
    ) -> ClozeSequences:
        """From whole sequences, oldest item first; those of fewer than two items teach nothing."""
        return cls(ShiftedSequences.cut(sequences, history_length), masked, last_only)

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[SequenceBatch]:
        """All rows once, in batches of `batch_size` items that can be hidden."""
        length = self.rows.length + 1
        for rows in arranged(length, length - self._first(), rng, batch_size):
            yield self.batch(rows, rng)

    def batch(self, rows: np.ndarray, rng: np.random.Generator) -> SequenceBatch:
        """The given rows as one batch; what is hidden is 0 in its inputs."""
        length = self.rows.length[rows] + 1
        column = np.arange(length.max(initial=0))
        real = column < length[:, None]
        position = np.where(real, self.rows.start[rows][:, None] + column, 0)
        hidden = self._hidden(rows, column, rng)
        return SequenceBatch(
            inputs=np.where(real & ~hidden, self.rows.values[position], 0).astype(np.int64),
            is_target=hidden,
            targets=self.rows.values[position[hidden]].astype(np.int64),
            lengths=length,
        )

    def _first(self) -> np.ndarray:
        """The first item of each row that can be hidden: the one after what is context only."""
        return np.where(self.rows.context > 0, self.rows.context + 1, 0)

    def _hidden(self, rows: np.ndarray, column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Which positions are hidden, bool `[b, width]`."""
        first, last = self._first()[rows], self.rows.length[rows]
        n = np.clip(np.rint(self.masked * (last + 1 - first)), 1, last).astype(np.int64)
        can = (column >= first[:, None]) & (column <= last[:, None])
        order = np.argsort(np.where(can, rng.random(can.shape), 2.0), axis=1)
        hidden: np.ndarray = np.zeros_like(can)
        np.put_along_axis(hidden, order, column < n[:, None], axis=1)
        only = rng.random(len(rows)) < self.last_only
        hidden[only] = column == last[only, None]
        return hidden
