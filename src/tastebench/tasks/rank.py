"""Exact ranking of a whole catalogue, chunk by chunk.

For every relevant item it is counted how many candidates score above it and how many score exactly
the same; metrics need no more. A matrix of users x items never exists: queries come in batches
small enough for the whole catalogue to fit the budget, and only a catalogue that is too large even
for a few queries is itself cut into chunks.

The score an item is compared by is read out of the very matrix the others stand in. Computed a
second time, say as the dot product of one query and one item, it would be summed in another order
and differ in the last bits: the item would then beat or lose to itself, and no longer tie with
items that score exactly the same. What the recommender returned is compared bit by bit; whether two
equal items get equal numbers is its own arithmetic (a matrix product may round the last columns of
a block differently from the rest).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tastebench.contracts import GeneratesItems, GeneratesOthers, Queries, Ranking, ScoresItems
from tastebench.errors import ProtocolError
from tastebench.metrics.ranks import Ranks
from tastebench.ragged import Ragged
from tastebench.recommenders.best import best_columns

RANK_BUDGET = 2**24
"""Scores held at once while ranking: 64 MB in float32; a sort needs the same again."""
TOP_BUDGET = 2**22
"""Scores held at once while picking the best; smaller, for selection needs copies."""
MIN_QUERIES, MAX_QUERIES = 16, 1024
"""Batch limits. Fewer queries leave matrix products idle; more make a recommender that holds whole
histories (queries x length x width numbers) outgrow the scores themselves."""


def rank_targets(
    recommender: Any,
    queries: Queries,
    relevant: Ragged,
    n_items: int,
    *,
    exclude: Ragged | None = None,
    gain: Ragged | None = None,
    budget: int = RANK_BUDGET,
) -> Ranks:
    """Where each query's relevant items stand among all `n_items`, with their ties.

    Args:
        recommender: Something that `ScoresItems`.
        queries: What is asked.
        relevant: Relevant items, one list a query.
        n_items: Size of the catalogue.
        exclude: Items that are no candidates, one list a query; none of them relevant.
        gain: Grades of the relevant items.
        budget: Scores held at once.

    Raises:
        ProtocolError: The recommender cannot score, or returned another shape or a score that is
            not finite; an excluded item is relevant.
    """
    return rank_and_list(
        recommender, queries, relevant, 0, n_items, exclude=exclude, gain=gain, budget=budget
    )[0]


def rank_and_list(
    recommender: Any,
    queries: Queries,
    relevant: Ragged,
    k: int,
    n_items: int,
    *,
    exclude: Ragged | None = None,
    gain: Ragged | None = None,
    budget: int = RANK_BUDGET,
) -> tuple[Ranks, Ranking]:
    """`rank_targets`, and the `k` best items of every query out of the same scores.

    Raises:
        ProtocolError: As `rank_targets`.
    """
    if not isinstance(recommender, ScoresItems):
        raise ProtocolError(
            f"{_name(recommender)} has no scores(queries, items)",
            fix="give it that method, or generate(queries, k)",
        )
    above = np.empty(len(relevant.values), np.int64)
    tied = np.empty(len(relevant.values), np.int64)
    lists = _no_lists(len(queries), k)
    batch, width = batch_shape(len(queries), n_items, budget)
    for rows in _slices(len(queries), batch):
        span = slice(relevant.offsets[rows.start], relevant.offsets[rows.stop])
        chunks = _Chunks(recommender, queries, rows, n_items, width, exclude)
        best = _Best(rows.stop - rows.start, k)
        above[span], tied[span] = _rank_batch(chunks, relevant[rows], best)
        best.write(lists, rows)
    ranks = Ranks(
        Ragged(above, relevant.offsets), Ragged(tied, relevant.offsets), relevant.lengths, gain
    )
    return ranks, lists


def top_k(
    recommender: Any,
    queries: Queries,
    k: int,
    n_items: int,
    *,
    exclude: Ragged | None = None,
    budget: int = TOP_BUDGET,
) -> Ranking:
    """The `k` best items of every query; among equal scores the lower item index comes first.

    Excluded items are left out; slots for which there is no item hold -1. How a recommender that
    generates comes by as many others: see `generated`.

    Raises:
        ProtocolError: As `rank_targets`.
    """
    if not isinstance(recommender, ScoresItems) and isinstance(recommender, GeneratesItems):
        ranking = generated(recommender, queries, k, n_items, exclude=exclude)
        return Ranking(ranking.items[:, :k], ranking.scores[:, :k])
    lists = _no_lists(len(queries), k)
    batch, width = batch_shape(len(queries), n_items, budget)
    for rows in _slices(len(queries), batch):
        best = _Best(rows.stop - rows.start, k)
        for items, scores in _Chunks(recommender, queries, rows, n_items, width, exclude):
            best.add(items, scores)
        best.write(lists, rows)
    return lists


def generated(
    recommender: GeneratesItems,
    queries: Queries,
    k: int,
    n_items: int,
    *,
    exclude: Ragged | None = None,
) -> Ranking:
    """At least `k` generated items of every query, if there are, excluded ones left out.

    The lists are not cut: what is tied with the last of the `k` still follows it. A recommender
    need not know what is excluded: then it is asked for as many items more as anyone has excluded
    ones, and what follows an excluded item moves up. One that can is told (`GeneratesOthers`): a
    search that keeps a few paths would spend them on what nobody is to get.
    """
    if exclude is None or not len(exclude.values):
        return recommender.generate(queries, min(k, n_items))
    if isinstance(recommender, GeneratesOthers):
        return _without(recommender.generate_without(queries, min(k, n_items), exclude), exclude)
    spare = int(exclude.lengths.max())
    return _without(recommender.generate(queries, min(k + spare, n_items)), exclude)


def batch_shape(n_queries: int, n_items: int, budget: int) -> tuple[int, int]:
    """Queries and items at once: all items if `MIN_QUERIES` rows of them fit the budget.

    >>> batch_shape(10_000, 2_000, 2**24), batch_shape(10_000, 50_000_000, 2**24)
    ((1024, 2000), (16, 1048576))
    """
    fitting = budget // max(n_items, 1)
    batch = max(1, min(max(fitting, min(MIN_QUERIES, budget)), MAX_QUERIES, n_queries))
    return batch, max(1, min(n_items, budget // batch))


class _Chunks:
    """The scores of one batch of queries, a chunk of the catalogue at a time."""

    def __init__(
        self,
        recommender: Any,
        queries: Queries,
        rows: slice,
        n_items: int,
        width: int,
        exclude: Ragged | None,
    ) -> None:
        self.recommender = recommender
        self.queries = queries[rows]
        self.first = rows.start
        self.slices = list(_slices(n_items, width))
        self.exclude = None if exclude is None or not len(exclude.values) else exclude[rows]

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Item slice and its scores `[b, len(slice)]`, excluded items at -inf."""
        for items in self.slices:
            yield items, self._scores(items)

    def _scores(self, items: slice) -> np.ndarray:
        shape = (len(self.queries), items.stop - items.start)
        scores = _as_array(self.recommender.scores(self.queries, items))
        if scores.shape != shape:
            raise ProtocolError(
                f"{_name(self.recommender)} returned scores of shape {scores.shape} "
                f"for {shape[0]} queries and {shape[1]} items",
                fix="scores(queries, items) returns one row a query and one column an item",
            )
        self._refuse_unscored(scores, items)
        if self.exclude is None:
            return scores
        scores = scores.copy()  # a recommender may hand out a view of its own state
        inside = (self.exclude.values >= items.start) & (self.exclude.values < items.stop)
        columns = self.exclude.values[inside] - items.start
        scores[self.exclude.rows[inside], columns] = -np.inf
        return scores

    def _refuse_unscored(self, scores: np.ndarray, items: slice) -> None:
        # One number that is not finite makes the sum not finite: cheaper than looking at each.
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(scores.sum()):
                return
        bad = np.argwhere(~np.isfinite(scores))
        if not len(bad):
            return
        row, column = bad[0]
        user = "" if self.queries.user is None else f" (user {self.queries.user[row]})"
        raise ProtocolError(
            f"{_name(self.recommender)} scored item {items.start + column} as "
            f"{scores[row, column]} for query {self.first + row}{user}",
            fix="every score must be a finite number; check for a division by zero",
        )


def _rank_batch(chunks: _Chunks, relevant: Ragged, best: _Best) -> tuple[np.ndarray, np.ndarray]:
    """Above and tied, int64 `[n_relevant]` each; `best` is shown every score."""
    rows, targets = relevant.rows, relevant.values
    if len(chunks.slices) == 1:
        [(items, scores)] = chunks
        best.add(items, scores)
        return _count(scores, _own(scores[rows, targets], targets), relevant)
    own = np.empty(len(targets))
    for items, scores in chunks:
        best.add(items, scores)
        inside = (targets >= items.start) & (targets < items.stop)
        own[inside] = scores[rows[inside], targets[inside] - items.start]
    own = _own(own, targets)
    above, tied = np.zeros((2, len(targets)), np.int64)
    for items, scores in chunks:
        inside = (targets >= items.start) & (targets < items.stop)
        scores = scores.copy()  # noqa: PLW2901 - a view of the recommender's state, as above
        # The second pass may differ in the last bits on parallel hardware: an item never beats
        # itself and always ties with itself.
        scores[rows[inside], targets[inside] - items.start] = own[inside]
        more, same = _count(scores, own.astype(scores.dtype), relevant)
        above += more
        tied += same
    return above, tied


def _own(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The relevant items' scores, none of which may have been masked."""
    masked = np.flatnonzero(np.isneginf(scores))
    if len(masked):
        raise ProtocolError(f"item {targets[masked[0]]} is relevant and excluded for one query")
    return scores


def _count(scores: np.ndarray, own: np.ndarray, relevant: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """How many of a row's scores are above, and how many equal to, each of the row's own."""
    if len(own) == len(scores) and (relevant.lengths == 1).all():
        column = own[:, None]
        return (
            np.count_nonzero(scores > column, axis=1),
            np.count_nonzero(scores == column, axis=1),
        )
    # Sorting a row once costs about as much as comparing it with five relevant items.
    ordered = np.sort(scores, axis=1)
    end = _bisect(ordered, relevant.rows, own, right=True)
    return ordered.shape[1] - end, end - _bisect(ordered, relevant.rows, own, right=False)


def _bisect(ordered: np.ndarray, rows: np.ndarray, own: np.ndarray, right: bool) -> np.ndarray:
    """`np.searchsorted(ordered[row], own)` for every (row, own), all pairs in step."""
    low = np.zeros(len(own), np.int64)
    high = np.full(len(own), ordered.shape[1], np.int64)
    for _ in range(int(ordered.shape[1]).bit_length()):
        middle = (low + high) // 2
        probe = ordered[rows, np.minimum(middle, ordered.shape[1] - 1)]
        after = (probe <= own if right else probe < own) & (low < high)
        low = np.where(after, middle + 1, low)
        high = np.where(after, high, middle)
    return low


class _Best:
    """The `k` best items of a batch of queries, of the chunks that were shown so far."""

    def __init__(self, n: int, k: int) -> None:
        self.k = k
        self.items, self.scores = np.empty((n, 0), np.int64), np.empty((n, 0), np.float32)

    def add(self, part: slice, chunk: np.ndarray) -> None:
        """Shows the next items of the catalogue with their scores."""
        if not self.k:
            return
        # Selection makes copies of what it looks at, so it looks at a few rows at a time.
        rows = _slices(len(chunk), max(1, TOP_BUDGET // chunk.shape[1]))
        column = np.concatenate([best_columns(chunk[some], self.k) for some in rows])
        own = np.take_along_axis(chunk, column, axis=1)
        items = np.concatenate([self.items, column + part.start], axis=1)
        scores = np.concatenate([self.scores, own], axis=1)
        # What stood before has lower indices, so the order among equals is that of the columns.
        keep = best_columns(scores, self.k)
        self.items = np.take_along_axis(items, keep, axis=1)
        self.scores = np.take_along_axis(scores, keep, axis=1)

    def write(self, lists: Ranking, rows: slice) -> None:
        """Puts what was found where it belongs; slots for which there is no item stay empty."""
        width = self.items.shape[1]
        lists.items[rows, :width] = np.where(np.isneginf(self.scores), -1, self.items)
        lists.scores[rows, :width] = self.scores


def _no_lists(n: int, k: int) -> Ranking:
    """Lists of empty slots."""
    return Ranking(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf, np.float32))


def _without(ranking: Ranking, exclude: Ragged | None) -> Ranking:
    """The lists without excluded items; later slots move up, the end is empty."""
    if exclude is None or not len(exclude.values):
        return ranking
    pairs = np.arange(len(exclude))[:, None] << 32 | np.maximum(ranking.items, 0).astype(np.int64)
    gone = np.isin(pairs, exclude.rows << 32 | exclude.values) & (ranking.items >= 0)
    order = np.argsort(gone, axis=1, kind="stable")
    gone = np.take_along_axis(gone, order, axis=1)
    items = np.take_along_axis(ranking.items, order, axis=1)
    scores = np.take_along_axis(ranking.scores, order, axis=1)
    return Ranking(
        np.where(gone, -1, items).astype(np.int32),
        np.where(gone, -np.inf, scores).astype(np.float32),
        ranking.ties,
    )


def _as_array(scores: Any) -> np.ndarray:
    """A torch tensor or array as a NumPy array of float32 or float64, the values unchanged."""
    if hasattr(scores, "detach"):
        scores = scores.detach()
        scores = (scores if scores.element_size() >= 4 else scores.float()).cpu().numpy()
    array = np.asarray(scores)
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def _name(recommender: Any) -> str:
    return str(getattr(recommender, "name", type(recommender).__name__))


def _slices(n: int, width: int) -> Iterator[slice]:
    return (slice(start, min(start + width, n)) for start in range(0, n, width))
