"""Ranks: where the relevant items stand, with their ties; all that a ranking metric needs.

An item with `above` candidates scored strictly higher and `tied` candidates of its own score
(itself included) has a rank from `above + 1` to `above + tied`, each equally likely. Two integers
an item replace the score matrix, so nothing of size users x items is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from tastebench.contracts import Ranking
from tastebench.metrics.order import sort_keys
from tastebench.ragged import Ragged

UNRANKED = 2**62
"""`above` of a relevant item that a generator did not list: its rank is beyond every cut-off."""

_CHUNK = 2**17  # scores looked at together: they and the comparison stay in the second-level cache


class Blocks(NamedTuple):
    """Runs of equal scores that hold relevant items; ascending by query, then by rank.

    Attributes:
        query: Query of each block, int64 `[b]`.
        start: Candidates above the block, int64 `[b]`.
        size: Candidates in the block, int64 `[b]`.
        relevant: Relevant ones among them, int64 `[b]`.
        before: Relevant items of the query above the block, int64 `[b]`.
        first: The block is the query's first, bool `[b]`.
    """

    query: np.ndarray
    start: np.ndarray
    size: np.ndarray
    relevant: np.ndarray
    before: np.ndarray
    first: np.ndarray


@dataclass(frozen=True, eq=False)
class Ranks:
    """The sufficient statistic of every ranking metric.

    Attributes:
        above: Per query and relevant item the candidates scored strictly higher, int64; `UNRANKED`
            where the item is in no list.
        tied: Per query and relevant item the candidates with exactly its score, itself included,
            int64, at least 1.
        n_relevant: All relevant items of each query, also the unranked ones, int64 `[q]`.
        gain: Grade of each relevant item, float64, above 0; None means 1 each.

    Raises:
        ValueError: The parts do not fit each other.
    """

    above: Ragged
    tied: Ragged
    n_relevant: np.ndarray
    gain: Ragged | None = None

    def __post_init__(self) -> None:
        for name, part in (("tied", self.tied), ("gain", self.gain)):
            if part is not None and not np.array_equal(part.offsets, self.above.offsets):
                raise ValueError(f"{name} and above must have lists of the same lengths")
        if not np.array_equal(self.n_relevant, self.above.lengths):
            raise ValueError("n_relevant must be the lengths of above")
        if (self.above.values < 0).any() or (self.tied.values < 1).any():
            raise ValueError("above must be 0 or more and tied 1 or more")
        if self.gain is not None:
            _refuse_bad_gains(self.gain)

    def __len__(self) -> int:
        return len(self.n_relevant)

    @cached_property
    def query(self) -> np.ndarray:
        """Query of each relevant item, int64 `[n]`."""
        return self.above.rows

    @cached_property
    def ranked(self) -> np.ndarray:
        """Whether each relevant item is in its query's list, bool `[n]`."""
        listed: np.ndarray = self.above.values < UNRANKED
        return listed

    @cached_property
    def blocks(self) -> Blocks:
        """The ranked relevant items by runs of equal score."""
        query, start = self.query[self.ranked], self.above.values[self.ranked]
        size = self.tied.values[self.ranked]
        if (self.n_relevant > 1).any():
            order = np.lexsort((start, query))
            query, start, size = query[order], start[order], size[order]
        heads = np.flatnonzero(_changes(query, start))
        relevant = np.diff(np.append(heads, len(query)))
        first = _changes(query[heads])
        # Relevant items above a block: those before it in all queries, less those before its query.
        before = heads - heads[first][np.cumsum(first) - 1] if len(heads) else heads
        return Blocks(query[heads], start[heads], size[heads], relevant, before, first)

    @classmethod
    def from_scores(cls, scores: np.ndarray, target: np.ndarray) -> Ranks:
        """One relevant item a query, all candidates in a matrix.

        Args:
            scores: Score of every candidate, `[q, c]`, higher is better.
            target: Column of the relevant candidate, integers `[q]`.

        Raises:
            ValueError: A NaN score (its row and column are named) or a target outside the columns.
        """
        if scores.ndim != 2 or target.shape != scores.shape[:1]:
            raise ValueError(f"scores {scores.shape} and target {target.shape} do not fit")
        n, width = scores.shape
        if ((target < 0) | (target >= width)).any():
            row = int(np.flatnonzero((target < 0) | (target >= width))[0])
            raise ValueError(f"target[{row}] is {target[row]}, but there are {width} candidates")
        above, tied = np.empty(n, np.int64), np.empty(n, np.int64)
        step = max(1, _CHUNK // max(width, 1))
        for start in range(0, n, step):
            part = slice(start, start + step)
            chunk = scores[part]
            _refuse_nan(chunk, "scores", start)
            own = np.take_along_axis(chunk, target[part, None], axis=1)
            above[part] = np.count_nonzero(chunk > own, axis=1)
            tied[part] = np.count_nonzero(chunk == own, axis=1)
        offsets = np.arange(n + 1)
        return cls(Ragged(above, offsets), Ragged(tied, offsets), np.ones(n, np.int64))

    @classmethod
    def from_candidates(cls, scores: Ragged, labels: Ragged) -> Ranks:
        """Candidates of each query with labels; above 0 is relevant, and is the grade.

        Args:
            scores: Score of every candidate, one list a query, higher is better.
            labels: Grade of every candidate, same shape; 0 is not relevant.

        Raises:
            ValueError: A NaN score (its query and position are named), a negative or NaN label, or
                shapes that differ.
        """
        if not np.array_equal(scores.offsets, labels.offsets):
            raise ValueError("scores and labels must have lists of the same lengths")
        _refuse_nan_in_lists(scores)
        if not (labels.values >= 0).all():
            raise ValueError("labels must be 0 or more")
        relevant = labels.values > 0
        n_relevant = np.bincount(scores.rows[relevant], minlength=len(scores)).astype(np.int64)
        keys = sort_keys(scores.rows, scores.values)
        own, ordered = keys[relevant], np.sort(keys)
        end = np.searchsorted(ordered, own, side="right")
        above = scores.offsets[1:][scores.rows[relevant]] - end
        tied = end - np.searchsorted(ordered, own, side="left")
        grades = labels.values[relevant].astype(np.float64)
        return cls(
            Ragged.from_lengths(above, n_relevant),
            Ragged.from_lengths(tied, n_relevant),
            n_relevant,
            None if (grades == 1).all() else Ragged.from_lengths(grades, n_relevant),
        )

    @classmethod
    def from_ranking(cls, ranking: Ranking, relevance: Ragged, gain: Ragged | None = None) -> Ranks:
        """Relevant items in lists of a recommender that knows no score for the rest.

        The list is the order, whatever its scores, unless it says that equal ones mean none
        (`Ranking.ties`): a run of them then shares its ranks. An empty or invalid slot (-1) takes a
        place, an item listed twice counts where it stands first.

        Args:
            ranking: The lists.
            relevance: Relevant items of each query, each once.
            gain: Their grades, same shape.

        Raises:
            ValueError: Another number of queries, or an item that is relevant twice.
        """
        items = ranking.items
        if items.ndim != 2 or len(items) != len(relevance):
            raise ValueError(f"{items.shape} slots do not fit {len(relevance)} queries")
        wanted = _pair(relevance.rows, relevance.values)
        if len(np.unique(wanted)) < len(wanted):
            raise ValueError("an item is relevant twice to one query")
        query, slot = np.nonzero(items >= 0)
        listed = _pair(query, items[query, slot])
        order = np.argsort(listed, kind="stable")  # a stable sort leaves first slots first
        listed, slot = listed[order], slot[order]
        place = np.searchsorted(listed, wanted)
        found = place < len(listed)
        found[found] = listed[place[found]] == wanted[found]
        start, size = _runs(ranking)
        above, tied = np.full(len(wanted), UNRANKED, np.int64), np.ones(len(wanted), np.int64)
        at = relevance.rows[found], slot[place[found]]
        above[found], tied[found] = start[at], size[at]
        return cls(
            Ragged(above, relevance.offsets),
            Ragged(tied, relevance.offsets),
            relevance.lengths,
            gain,
        )


def _runs(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """First slot and length of the run of equals that each slot lies in, int64 `[q, k]` each."""
    slots = np.arange(ranking.items.shape[1])
    begins = np.ones(ranking.items.shape, dtype=bool)
    if ranking.ties:
        begins[:, 1:] = ranking.scores[:, 1:] != ranking.scores[:, :-1]
    start = np.maximum.accumulate(np.where(begins, slots, 0), axis=1)
    ends = np.ones_like(begins)
    ends[:, :-1] = begins[:, 1:]
    last = np.where(ends, slots, len(slots))[:, ::-1]
    end = np.minimum.accumulate(last, axis=1)[:, ::-1]
    return start, end - start + 1


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Where a row differs from the row before it; the first always does."""
    changed = np.ones(len(columns[0]), dtype=bool)
    if len(changed):
        changed[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return changed


def _pair(query: np.ndarray, item: np.ndarray) -> np.ndarray:
    """Query and item as one int64."""
    joined: np.ndarray = (query.astype(np.int64) << 32) | item.astype(np.int64)
    return joined


def _refuse_nan(scores: np.ndarray, name: str, first_row: int) -> None:
    missing = np.isnan(scores)
    if missing.any():
        row, column = np.argwhere(missing)[0]
        raise ValueError(f"{name}[{first_row + row}, {column}] is NaN: a score must be a number")


def _refuse_nan_in_lists(scores: Ragged) -> None:
    missing = np.flatnonzero(np.isnan(scores.values))
    if len(missing):
        query = int(np.searchsorted(scores.offsets, missing[0], side="right")) - 1
        place = missing[0] - scores.offsets[query]
        raise ValueError(f"scores[{query}][{place}] is NaN: a score must be a number")


def _refuse_bad_gains(gain: Ragged) -> None:
    bad = np.flatnonzero(~((gain.values > 0) & np.isfinite(gain.values)))
    if len(bad):
        raise ValueError(
            f"gain {gain.values[bad[0]]} of query {gain.rows[bad[0]]}: a relevant item has a grade "
            "above 0; leave others out of the relevance"
        )
