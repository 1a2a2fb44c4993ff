"""Ragged against plain lists of lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.ragged import Ragged

LISTS = st.lists(st.lists(st.integers(-5, 99), max_size=5), max_size=7)


def ragged(lists: list[list[int]]) -> Ragged:
    return Ragged.from_lists(lists, dtype=np.int64)


def test_from_lists_by_hand() -> None:
    made = Ragged.from_lists([[3, 1], [], [2]])
    assert made.values.tolist() == [3, 1, 2]
    assert made.offsets.tolist() == [0, 2, 2, 3]
    assert made.values.dtype == np.int32
    assert made.offsets.dtype == np.int64


def test_no_lists_and_empty_lists() -> None:
    assert Ragged.from_lists([]).to_lists() == []
    assert Ragged.from_lists([]).values.dtype == np.int32
    empty = Ragged.from_lists([[], []], dtype=np.float64)
    assert empty.to_lists() == [[], []]
    assert empty.values.dtype == np.float64
    assert empty.padded(2).tolist() == [[-1.0, -1.0], [-1.0, -1.0]]


@settings(max_examples=100, deadline=None)
@given(LISTS)
def test_it_is_the_lists(lists: list[list[int]]) -> None:
    made = ragged(lists)
    assert made.to_lists() == lists
    assert len(made) == len(lists)
    assert [row.tolist() for row in made] == lists
    assert made.lengths.tolist() == [len(row) for row in lists]
    assert made.rows.tolist() == [i for i, row in enumerate(lists) for _ in row]


@settings(max_examples=200, deadline=None)
@given(LISTS, st.slices(7))
def test_slices(lists: list[list[int]], cut: slice) -> None:
    assert ragged(lists)[cut].to_lists() == lists[cut]


@settings(max_examples=100, deadline=None)
@given(LISTS.filter(bool), st.data())
def test_one_list_index_arrays_and_masks(lists: list[list[int]], data: st.DataObject) -> None:
    made = ragged(lists)
    index = st.integers(-len(lists), len(lists) - 1)
    one = data.draw(index)
    assert made[one].tolist() == lists[one]
    assert made[np.int32(one)].tolist() == lists[one]
    many = data.draw(st.lists(index, max_size=9))
    assert made[np.array(many, dtype=np.int64)].to_lists() == [lists[i] for i in many]
    mask = data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists)))
    kept = [row for row, keep in zip(lists, mask, strict=True) if keep]
    assert made[np.array(mask, dtype=bool)].to_lists() == kept


@settings(max_examples=100, deadline=None)
@given(LISTS, LISTS, st.slices(5))
def test_a_slice_can_be_cut_again(
    lists: list[list[int]], more: list[list[int]], cut: slice
) -> None:
    both = lists + more
    inner = ragged(both)[1:]
    assert inner[cut].to_lists() == both[1:][cut]
    assert inner.tail(2).to_lists() == [row[-2:] for row in both[1:]]


@settings(max_examples=100, deadline=None)
@given(LISTS, st.integers(0, 6))
def test_tail(lists: list[list[int]], k: int) -> None:
    assert ragged(lists).tail(k).to_lists() == [row[-k:] if k else [] for row in lists]


@settings(max_examples=100, deadline=None)
@given(LISTS, st.integers(0, 6), st.sampled_from(["left", "right"]), st.integers(-9, 0))
def test_padded(
    lists: list[list[int]], width: int, side: Literal["left", "right"], fill: int
) -> None:
    expected = []
    for row in lists:
        tail = row[-width:] if width else []
        padding = [fill] * (width - len(tail))
        expected.append(padding + tail if side == "left" else tail + padding)
    matrix = ragged(lists).padded(width, fill, side)
    assert matrix.shape == (len(lists), width)
    assert matrix.tolist() == expected


@settings(max_examples=100, deadline=None)
@given(LISTS, st.randoms())
def test_from_rows_keeps_the_order_within_a_row(lists: list[list[int]], random: Any) -> None:
    heads = [list(row) for row in lists]
    turns = [i for i, row in enumerate(lists) for _ in row]
    random.shuffle(turns)
    values = [heads[i].pop(0) for i in turns]
    made = Ragged.from_rows(np.array(turns, dtype=np.int64), np.array(values), len(lists))
    assert made.to_lists() == lists


@pytest.mark.parametrize("rows", [[0, 3], [-1, 0]])
def test_from_rows_refuses_rows_that_are_not_there(rows: list[int]) -> None:
    with pytest.raises(ValueError, match=r"rows must lie in 0 \.\. 2"):
        Ragged.from_rows(np.array(rows), np.array([7, 8]), 3)


@settings(max_examples=25, deadline=None)
@given(lists=LISTS)
def test_saved_and_loaded(tmp_path_factory: pytest.TempPathFactory, lists: list[list[int]]) -> None:
    folder: Path = tmp_path_factory.mktemp("ragged")
    ragged(lists).save(folder, "x")
    loaded = Ragged.load(folder, "x")
    assert loaded.to_lists() == lists
    assert loaded.values.dtype == np.int64
    assert loaded.tail(1).to_lists() == [row[-1:] for row in lists]


def test_loaded_values_are_memory_mapped(tmp_path: Path) -> None:
    ragged([[1, 2], [3]]).save(tmp_path, "x")
    assert isinstance(Ragged.load(tmp_path, "x").values, np.memmap)


def test_slices_are_views() -> None:
    made = ragged([[1], [2, 3], [4]])
    assert np.shares_memory(made[1:].values, made.values)
    assert np.shares_memory(made[1], made.values)


@pytest.mark.parametrize(
    ("values", "offsets", "says"),
    [
        ([1, 2], [], "begin with 0"),
        ([1, 2], [1, 2], "begin with 0"),
        ([1, 2], [[0, 2]], "one-dimensional"),
        ([1, 2], [0, 1], "end at len"),
        ([1, 2], [0, 3], "end at len"),
        ([1, 2], [0, 2, 1, 2], "must not fall"),
    ],
)
def test_offsets_that_cannot_be_are_refused(
    values: list[int], offsets: list[Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Ragged(np.array(values), np.array(offsets, dtype=np.int64))


def test_what_is_out_of_range_is_refused() -> None:
    made = ragged([[1], [2]])
    with pytest.raises(IndexError):
        made[2]
    with pytest.raises(IndexError):
        made[np.array([0, 5])]
    with pytest.raises(IndexError):
        made[np.array([True])]
    with pytest.raises(ValueError, match="cannot take the last -1"):
        made.tail(-1)
    with pytest.raises(ValueError, match="offsets"):
        Ragged.from_lengths(np.array([1, 2]), np.array([3, -1]))
