"""Batches as slices of index arrays: shifted sequences, and (user, item) pairs.

A causal model that reads `a b c` predicts `b`, `c` and `d` in one pass and sees for each exactly
the prefix that an explicit training row would hold, so one row a user replaces one row a prefix at
a fraction of the work. Batches count targets, not rows: the loss is a mean over targets, as it is
over explicit prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tastebench.ragged import Ragged

POOL = (
    16  # batches sorted by length together: enough to leave little padding, few enough to shuffle
)


@dataclass(frozen=True, eq=False)
class SequenceBatch:
    """Some sequences, right-padded to the longest among them.

    Attributes:
        inputs: Items, int64 `[b, width]`; 0 in the padding, which comes after every real position
            and so is invisible to a causal model.
        is_target: Positions whose next item is to be predicted, bool `[b, width]`.
        targets: What is to be predicted there, row by row, int64 `[n_targets]`.
        lengths: Real positions of each row, int64 `[b]`.
        drawn: Items that targets are told apart from, int64, `[k]` for all of them or
            `[n_targets, k]`; None where that is the whole catalogue.
    """

    inputs: np.ndarray
    is_target: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    drawn: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class ShiftedSequences:
    """Training sequences cut to the model's length: row `i` reads `length[i]` items.

    Every item of a sequence but the first is a target exactly once. A sequence with more inputs
    than `history_length` becomes several rows that overlap by half: in all but the first the
    leading inputs are context only, so each target sees at least half of `history_length` items
    (in the first row, all there are), and the last row reads the latest `history_length` inputs,
    as the model will when it is asked.

    Attributes:
        values: All items end to end, as in the `Ragged` it was made from.
        start: Where in `values` each row begins, int64 `[n_rows]`.
        length: Inputs of each row, 1 .. history_length, int64 `[n_rows]`.
        context: Leading inputs of each row that predict nothing, int64 `[n_rows]`.
    """

    values: np.ndarray
    start: np.ndarray
    length: np.ndarray
    context: np.ndarray

    @classmethod
    def cut(cls, sequences: Ragged, history_length: int) -> ShiftedSequences:
        """From whole sequences, oldest item first; those of fewer than two items teach nothing."""
        inputs = np.maximum(sequences.lengths - 1, 0)
        stride = history_length - history_length // 2
        beyond = np.maximum(inputs - history_length, 0)
        windows = np.where(inputs > 0, 1 + -(-beyond // stride), 0)
        sequence = np.repeat(np.arange(len(sequences)), windows)
        window = np.arange(len(sequence)) - np.repeat(np.cumsum(windows) - windows, windows)
        end = np.minimum(history_length + window * stride, inputs[sequence])
        begin = np.maximum(end - history_length, 0)
        seen = np.where(window > 0, history_length + (window - 1) * stride, 0)
        return cls(
            values=sequences.values,
            start=sequences.offsets[:-1][sequence] + begin,
            length=end - begin,
            context=np.maximum(seen - begin, 0),
        )

    @property
    def n_targets(self) -> int:
        """Positions to predict in one epoch."""
        return int((self.length - self.context).sum())

    def epoch(self, rng: np.random.Generator, batch_size: int) -> Iterator[SequenceBatch]:
        """All rows once, in batches of `batch_size` targets, at most one row more or less."""
        for rows in arranged(self.length, self.length - self.context, rng, batch_size):
            yield self.batch(rows)

    def batch(self, rows: np.ndarray) -> SequenceBatch:
        """The given rows as one batch."""
        length = self.length[rows]
        column = np.arange(length.max(initial=0))
        real = column < length[:, None]
        position = np.where(real, self.start[rows][:, None] + column, 0)
        is_target = real & (column >= self.context[rows][:, None])
        return SequenceBatch(
            inputs=np.where(real, self.values[position], 0).astype(np.int64),
            is_target=is_target,
            targets=self.values[position[is_target] + 1].astype(np.int64),
            lengths=length,
        )


def arranged(
    lengths: np.ndarray, targets: np.ndarray, rng: np.random.Generator, batch_size: int
) -> Iterator[np.ndarray]:
    """All rows once, in batches of `batch_size` targets, at most one row more or less.

    Rows are shuffled, then sorted by length within pools of a few batches so that little is padded,
    and the batches are shuffled again.

    Args:
        lengths: Of each row, int64 `[n_rows]`.
        targets: Of each row, int64 `[n_rows]`.
        rng: Of the epoch.
        batch_size: Targets in a batch.
    """
    rows = rng.permutation(len(lengths))
    pool = _begins(targets[rows]) // (batch_size * POOL)
    # Every other pool is sorted downwards, so a batch across two pools holds similar lengths.
    key = np.where(pool % 2 == 0, lengths[rows], -lengths[rows])
    rows = rows[np.lexsort((key, pool))]
    batch = _begins(targets[rows]) // batch_size
    cuts = np.append(np.flatnonzero(np.diff(batch, prepend=-1)), len(rows))
    for place in rng.permutation(len(cuts) - 1):
        yield rows[cuts[place] : cuts[place + 1]]


def shuffled(n: int, rng: np.random.Generator, batch_size: int) -> Iterator[np.ndarray]:
    """The indices 0 .. n - 1 in random order, `batch_size` at a time; the last may be smaller."""
    order = rng.permutation(n)
    return (order[begin : begin + batch_size] for begin in range(0, n, batch_size))


def _begins(sizes: np.ndarray) -> np.ndarray:
    begins: np.ndarray = np.cumsum(sizes) - sizes
    return begins
