"""Ragged: many lists of different lengths as two flat arrays.

Histories, relevance judgements and candidates all have this shape: `values` holds the lists end to
end, `offsets[i]:offsets[i + 1]` is where list `i` lies. Everything here is a whole-array operation;
nothing loops over rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from tastebench.files import load_array


@dataclass(frozen=True, eq=False)
class Ragged:
    """A list of lists as arrays.

    Attributes:
        values: The lists end to end, `[n_values]`.
        offsets: Where each list begins, and the end of the last, int64 `[n_lists + 1]`.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        offsets = self.offsets
        if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0:
            raise ValueError("offsets must be one-dimensional and begin with 0")
        if offsets[-1] != len(self.values) or (np.diff(offsets) < 0).any():
            raise ValueError("offsets must not fall and must end at len(values)")

    @classmethod
    def from_lists(cls, lists: Iterable[Sequence[Any]], dtype: Any = np.int32) -> Ragged:
        """From Python lists: for tests and examples.

        >>> Ragged.from_lists([[3, 1], [], [2]]).offsets.tolist()
        [0, 2, 2, 3]
        """
        parts = [np.asarray(part, dtype=dtype) for part in lists]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        values = np.concatenate(parts) if parts else np.empty(0, dtype=dtype)
        return cls.from_lengths(values.astype(dtype, copy=False), lengths)

    @classmethod
    def from_lengths(cls, values: np.ndarray, lengths: np.ndarray) -> Ragged:
        """From the flat values and the length of each list."""
        return cls(values, np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))))

    @classmethod
    def from_rows(cls, rows: np.ndarray, values: np.ndarray, n_rows: int) -> Ragged:
        """From pairs (row, value) in any row order; within a row the given order stays.

        Raises:
            ValueError: A row is not one of `0 .. n_rows - 1`.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < n_rows:
            raise ValueError(f"rows must lie in 0 .. {n_rows - 1}")
        order = np.argsort(rows, kind="stable")
        return cls.from_lengths(values[order], np.bincount(rows, minlength=n_rows))

    @classmethod
    def windows(cls, values: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> Ragged:
        """The lists `values[ends[i] - lengths[i] : ends[i]]`, which may overlap.

        >>> Ragged.windows(np.array([5, 6, 7]), np.array([2, 3]), np.array([1, 3])).to_lists()
        [[6], [5, 6, 7]]
        """
        return cls.from_lengths(values[spans(ends - lengths, lengths)], lengths)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, key: int | np.integer[Any]) -> np.ndarray: ...
    @overload
    def __getitem__(self, key: slice | np.ndarray) -> Ragged: ...
    def __getitem__(self, key: Any) -> np.ndarray | Ragged:
        """One list for an int; a `Ragged` for a slice, an index array or a boolean mask."""
        if isinstance(key, (int, np.integer)):
            i = range(len(self))[int(key)]
            return self.values[self.offsets[i] : self.offsets[i + 1]]
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(len(self))
            stop = max(start, stop)
            base = self.offsets[start]
            return Ragged(
                self.values[base : self.offsets[stop]], self.offsets[start : stop + 1] - base
            )
        rows = np.arange(len(self))[key]
        return Ragged.windows(self.values, self.offsets[1:][rows], self.lengths[rows])

    @property
    def lengths(self) -> np.ndarray:
        """The length of each list, int64 `[n_lists]`."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> np.ndarray:
        """The list each value is in, int64 `[n_values]`."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def tail(self, k: int) -> Ragged:
        """The last `k` values of every list; shorter lists whole."""
        if k < 0:
            raise ValueError(f"cannot take the last {k} values")
        lengths = np.minimum(self.lengths, k)
        return Ragged.windows(self.values, self.offsets[1:], lengths)

    def padded(
        self, width: int, fill: Any = -1, side: Literal["left", "right"] = "right"
    ) -> np.ndarray:
        """The last `width` values of every list as a matrix, `[n_lists, width]`.

        Args:
            width: Columns of the result.
            fill: What stands where a list is shorter.
            side: Where the fill goes.
        """
        tail = self.tail(width)
        out = np.full((len(self), width), fill, dtype=self.values.dtype)
        column = np.arange(len(tail.values)) - np.repeat(tail.offsets[:-1], tail.lengths)
        if side == "left":
            column += width - np.repeat(tail.lengths, tail.lengths)
        out[tail.rows, column] = tail.values
        return out

    def to_lists(self) -> list[list[Any]]:
        """Python lists: for tests and messages."""
        return [row.tolist() for row in self]

    def save(self, folder: Path, name: str) -> None:
        """Writes `<name>.values.npy` and `<name>.offsets.npy` into `folder`."""
        np.save(folder / f"{name}.values.npy", self.values, allow_pickle=False)
        np.save(folder / f"{name}.offsets.npy", self.offsets, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> Ragged:
        """Reads what `save` wrote, memory-mapped."""
        values = load_array(folder / f"{name}.values.npy")
        offsets = np.array(load_array(folder / f"{name}.offsets.npy"))
        return cls(values, offsets)


def spans(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The indices `starts[i] .. starts[i] + lengths[i] - 1` for all i, end to end."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    indices: np.ndarray = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
    return indices
