"""Shifted sequences: every position is a target once and sees its prefix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.ragged import Ragged
from tastebench.training.batches import ShiftedSequences, shuffled


def sequences(lengths: list[int]) -> Ragged:
    """Every item of every sequence is another one, so an item names its position."""
    return Ragged.from_lengths(np.arange(sum(lengths), dtype=np.int32), np.array(lengths))


@pytest.mark.parametrize(
    ("lengths", "history", "rows"),
    [
        # (start, length, context) of each row; values are numbered through.
        ([0, 1], 4, []),
        ([2], 4, [(0, 1, 0)]),
        ([5], 4, [(0, 4, 0)]),
        ([1, 3, 0, 2], 4, [(1, 2, 0), (4, 1, 0)]),
        # Five inputs, four at a time: the fifth input brings its latest three along.
        ([6], 4, [(0, 4, 0), (1, 4, 3)]),
        ([7], 4, [(0, 4, 0), (2, 4, 2)]),
        ([8], 4, [(0, 4, 0), (2, 4, 2), (3, 4, 3)]),
        ([4], 1, [(0, 1, 0), (1, 1, 0), (2, 1, 0)]),
        ([6], 3, [(0, 3, 0), (2, 3, 1)]),
    ],
)
def test_sequences_are_cut_into_overlapping_rows(
    lengths: list[int], history: int, rows: list[tuple[int, int, int]]
) -> None:
    cut = ShiftedSequences.cut(sequences(lengths), history)
    assert list(zip(cut.start, cut.length, cut.context, strict=True)) == rows


def test_a_batch_holds_inputs_and_what_follows_them() -> None:
    cut = ShiftedSequences.cut(Ragged.from_lists([[5, 6, 7, 8], [9, 4]]), 3)
    batch = cut.batch(np.array([0, 1]))
    assert batch.inputs.tolist() == [[5, 6, 7], [9, 0, 0]]
    assert batch.is_target.tolist() == [[True, True, True], [True, False, False]]
    assert batch.targets.tolist() == [6, 7, 8, 4]
    assert len(batch) == 4


ragged_lengths = st.lists(st.integers(0, 40), min_size=1, max_size=12)


@given(ragged_lengths, st.integers(1, 9), st.integers(1, 30), st.integers(0, 5))
def test_an_epoch_predicts_every_position_once_from_its_own_prefix(
    lengths: list[int], history: int, batch_size: int, seed: int
) -> None:
    everything = sequences(lengths)
    cut = ShiftedSequences.cut(everything, history)
    predicted = []
    for batch in cut.epoch(np.random.default_rng(seed), batch_size):
        assert 0 < len(batch) < batch_size + history
        assert batch.inputs.shape[1] <= history
        predicted += batch.targets.tolist()
        row, column = np.nonzero(batch.is_target)
        # Items are numbered through, so what a position reads is the item before its target ...
        assert (batch.inputs[row, column] == batch.targets - 1).all()
        # ... and what it sees before it are its predecessors, at least half a history of them.
        begins = everything.offsets[everything.rows[batch.targets]]
        seen = column + 1
        assert (batch.inputs[row, 0] == batch.targets - seen).all()
        assert (seen >= np.minimum(batch.targets - begins, (history + 1) // 2)).all()
    firsts = everything.offsets[:-1][everything.lengths > 0]
    assert sorted(predicted) == sorted(set(range(sum(lengths))) - set(firsts.tolist()))
    assert len(predicted) == cut.n_targets


@given(ragged_lengths, st.integers(1, 9))
def test_the_last_position_sees_what_a_question_will_show(lengths: list[int], history: int) -> None:
    everything = sequences(lengths)
    cut = ShiftedSequences.cut(everything, history)
    last = {int(s + n): int(n) for s, n in zip(cut.start, cut.length, strict=True)}
    for begin, end in zip(everything.offsets[:-1], everything.offsets[1:], strict=True):
        if end - begin > 1:
            assert last[int(end) - 1] == min(end - begin - 1, history)


def test_an_epoch_follows_its_generator() -> None:
    cut = ShiftedSequences.cut(sequences([9, 3, 5, 2, 7, 4]), 4)

    def order(seed: int) -> list[list[int]]:
        return [b.targets.tolist() for b in cut.epoch(np.random.default_rng(seed), 5)]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_little_is_padded() -> None:
    rng = np.random.default_rng(0)
    cut = ShiftedSequences.cut(sequences((2 + rng.geometric(0.15, 3000)).tolist()), 50)
    cells = sum(batch.inputs.size for batch in cut.epoch(rng, 256))
    assert cells < 1.15 * cut.n_targets  # in random order it is more than three times as many


def test_nothing_to_learn_is_an_epoch_without_batches() -> None:
    cut = ShiftedSequences.cut(sequences([1, 0, 1]), 4)
    assert cut.n_targets == 0
    assert list(cut.epoch(np.random.default_rng(0), 8)) == []


def test_shuffled_indices_come_once_each() -> None:
    parts = list(shuffled(10, np.random.default_rng(0), 4))
    assert [len(part) for part in parts] == [4, 4, 2]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert np.concatenate(parts).tolist() != list(range(10))
