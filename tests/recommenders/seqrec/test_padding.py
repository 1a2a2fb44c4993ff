"""Rows of different lengths are read apart, and nothing is lost or doubled by it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.ragged import Ragged
from tastebench.recommenders.seqrec import padding
from tastebench.recommenders.seqrec.code_batches import ItemBatch, Pairs, Windows
from tastebench.recommenders.seqrec.next_item import little_padded
from tastebench.recommenders.seqrec.padding import alike, asked_together
from tastebench.training.batches import ShiftedSequences

LENGTHS = st.lists(st.integers(1, 300), min_size=1, max_size=60).map(np.array)


@pytest.mark.parametrize(
    ("lengths", "places", "groups"),
    [
        ([3, 90, 2, 60, 4], 20, [[1, 3], [0, 2, 4]]),
        ([3, 90, 2, 60, 4], 450, [[0, 1, 2, 3, 4]]),  # 5 rows of 90
        ([3, 90, 2, 60, 4], 449, [[1, 3], [0, 2, 4]]),
        ([5, 6, 5, 6], 1, [[0, 1, 2, 3]]),  # hardly padded, however large
        ([1, 1, 1, 100, 1, 1, 10, 1], 8, [[3], [6], [0, 1, 2, 4, 5, 7]]),
        ([7], 1, [[0]]),
    ],
)
def test_long_rows_are_cut_off_by_hand(
    lengths: list[int], places: int, groups: list[list[int]]
) -> None:
    assert [group.tolist() for group in alike(np.array(lengths), places)] == groups


@given(LENGTHS, st.integers(1, 2000))
def test_no_group_holds_more_padding_than_items(lengths: np.ndarray, places: int) -> None:
    groups = alike(lengths, places)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    for group in groups:
        padded = len(group) * lengths[group].max()
        assert padded <= max(places, 2 * lengths[group].sum())


@given(LENGTHS, st.integers(1, 9), st.integers(1, 2000))
def test_who_is_asked_together_fits(lengths: np.ndarray, rows: int, places: int) -> None:
    groups = list(asked_together(lengths, rows, places))
    order = np.concatenate(groups)
    assert (order == np.argsort(lengths, kind="stable")).all()
    for n, group in enumerate(groups):
        assert len(group) <= rows
        assert len(group) == 1 or len(group) * lengths[group].max() <= places
        if n + 1 < len(groups):  # as many as fit
            more = len(group) + 1
            assert more > rows or more * lengths[groups[n + 1][0]] > places


def lists() -> Ragged:
    """Many short ones and one of 90; every item occurs once, so that a row can be told by it."""
    lengths = np.array([4, 2, 90, 3, 5, 2, 7, 3, 4])
    return Ragged.from_lengths(np.arange(lengths.sum(), dtype=np.int32), lengths)


def test_parts_of_a_batch_teach_what_it_teaches() -> None:
    sequences = ShiftedSequences.cut(lists(), 100)
    [whole] = sequences.epoch(np.random.default_rng(0), 10_000)
    assert [part is whole for part in little_padded(whole)] == [True]  # small as it is
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(padding.alike, "__defaults__", (48,))
        parts = list(little_padded(whole))
    assert len(parts) == 2 and parts[0].inputs.shape == (1, 89) and parts[1].inputs.shape == (8, 6)
    taught = {}
    for part in parts:
        assert (part.lengths >= part.is_target.sum(axis=1)).all()
        rows, columns = np.nonzero(part.is_target)
        taught.update(zip(part.inputs[rows, columns].tolist(), part.targets.tolist(), strict=True))
    rows, columns = np.nonzero(whole.is_target)
    want = dict(zip(whole.inputs[rows, columns].tolist(), whole.targets.tolist(), strict=True))
    assert taught == want


@pytest.mark.parametrize("kind", ["windows", "pairs"])
def test_spelt_batches_are_cut_likewise(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def rows() -> tuple[list[ItemBatch], dict[tuple[int, ...], list[int]]]:
        made = Windows(lists(), 100) if kind == "windows" else Pairs(lists(), 100, None)
        batches, found = list(made.epoch(np.random.default_rng(0), 10_000)), {}
        for batch in batches:
            counts = np.ones(len(batch.items)) if batch.is_target is None else 0
            each = counts if batch.is_target is None else batch.is_target.sum(axis=1)
            targets = np.split(batch.targets, np.cumsum(each).astype(int)[:-1])
            for items, length, user, some in zip(
                batch.items, batch.length, batch.user, targets, strict=True
            ):
                found[(int(user), *items[:length].tolist())] = some.tolist()
        return batches, found

    [whole], want = rows()
    monkeypatch.setattr(padding.alike, "__defaults__", (20,))
    parts, got = rows()
    assert got == want
    assert len(parts) > 1
    assert sum(part.items.size for part in parts) < whole.items.size
