"""What is hidden: how much, where, each item in one row, and nowhere in the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from tastebench.ragged import Ragged
from tastebench.training.batches import SequenceBatch
from tastebench.training.cloze import ClozeSequences


def cut(sequences: list[list[int]], length: int = 6, **settings: float) -> ClozeSequences:
    ragged = Ragged.from_lists(sequences)
    return ClozeSequences.cut(ragged, length, **{"masked": 0.4, "last_only": 0.0, **settings})


def whole(cloze: ClozeSequences, seed: int = 0) -> SequenceBatch:
    rows = np.arange(len(cloze.rows.length))
    return cloze.batch(rows, np.random.default_rng(seed))


def test_what_is_hidden_is_the_target_and_not_in_the_inputs() -> None:
    sequences = [[1, 2, 3, 4, 5], [6, 7], [8, 9, 10, 11, 12, 13, 14]]
    batch = whole(cut(sequences))
    assert batch.lengths.tolist() == [5, 2, 7]
    filled = batch.inputs.copy()
    filled[batch.is_target] = batch.targets
    for row, sequence in zip(filled, sequences, strict=True):
        assert row.tolist() == sequence + [0] * (7 - len(sequence))
    assert (batch.inputs[batch.is_target] == 0).all()
    assert not set(batch.targets.tolist()) & set(batch.inputs.ravel().tolist())


@pytest.mark.parametrize(
    ("masked", "hidden"),
    [(0.4, [2, 1, 3]), (0.01, [1, 1, 1]), (0.99, [4, 1, 6])],  # at least one, never all
)
def test_how_much_is_hidden(masked: float, hidden: list[int]) -> None:
    cloze = cut([[1, 2, 3, 4, 5], [6, 7], [8, 9, 10, 11, 12, 13, 14]], masked=masked)
    assert whole(cloze).is_target.sum(axis=1).tolist() == hidden


def test_every_item_is_hidden_equally_often() -> None:
    cloze = cut([[1, 2, 3, 4, 5]])
    counts = np.zeros(6)
    for seed in range(2000):
        counts += np.bincount(whole(cloze, seed).targets, minlength=6)
    np.testing.assert_allclose(counts[1:], 2 / 5 * 2000, rtol=0.1)


def test_the_last_alone_where_asked_for() -> None:
    batch = whole(cut([[1, 2, 3, 4, 5], [6, 7]], last_only=1.0))
    assert batch.targets.tolist() == [5, 7]
    assert batch.is_target.nonzero()[1].tolist() == [4, 1]
    shares = [
        (whole(cut([[1, 2, 3, 4, 5]] * 400, last_only=0.3), seed).is_target.sum(axis=1) == 1).mean()
        for seed in range(5)
    ]
    assert np.mean(shares) == pytest.approx(0.3, abs=0.03)


def test_in_a_long_sequence_each_item_can_be_hidden_in_one_row() -> None:
    sequence = list(range(1, 24))
    cloze = cut([sequence], masked=0.99)
    hidden: list[int] = []
    for row in range(len(cloze.rows.length)):
        found: set[int] = set()
        for seed in range(40):
            found |= set(cloze.batch(np.array([row]), np.random.default_rng(seed)).targets.tolist())
        hidden += sorted(found)
    assert hidden == sequence
    assert (whole(cloze).lengths <= 7).all()


def test_an_epoch_is_all_rows_in_batches_of_items() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 50, size=n).tolist() for n in rng.integers(2, 12, size=60)]
    cloze = cut(sequences)
    batches = list(cloze.epoch(np.random.default_rng(1), 40))
    assert sum(len(batch.lengths) for batch in batches) == len(cloze.rows.length)
    assert all(batch.lengths.sum() <= 40 + 2 * 7 + 7 * 7 for batch in batches)
    assert len(batches) > 5
    again = list(cloze.epoch(np.random.default_rng(1), 40))
    for one, two in zip(batches, again, strict=True):
        assert (one.inputs == two.inputs).all() and (one.targets == two.targets).all()
