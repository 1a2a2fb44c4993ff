"""The truth behind the storefront: what a recommender that knew everything would answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import Queries
from tastebench.data.storefront.calendar import VISIT, period_of
from tastebench.data.storefront.preference import ERRAND, NOISE, same_scene
from tastebench.data.storefront.visits import World
from tastebench.errors import DataError, UsageError, did_you_mean

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

TASKS = ("seqrec", "cf", "search")


class StorefrontTruth:
    """True preferences of a generated dataset; satisfies `tastebench.contracts.Truth`.

    - `seqrec`: the probability that the generator's next draw is the item, given everything that it
      knew: the shopper's taste in that period, what was on sale, what they owned, and the pick
      before. No other ranking has a higher expected value of a metric that rewards higher ranks.
    - `cf`: how many of the shopper's other purchases (those whose items are not in `history`) are
      expected to be this item: the sum of their chances, given when they were made and `history`;
      an errand counts where the pick before it is in `history`. That purchases exclude each other
      is left out of account, so this is close to the best ranking, not proved to be it.
    - `search`: 1 for relevant items, else 0.

    Raises:
        DataError: The dataset is not a storefront of this version.
    """

    def __init__(self, dataset: Dataset) -> None:
        arrays = dataset.tables.arrays
        self._world = World(
            traits=np.asarray(arrays["item_traits"]),
            taste=arrays["user_taste"],
            popularity=np.asarray(arrays["item_popularity"]),
            launch=np.asarray(arrays["item_launch"]),
        )
        events = dataset.events()
        if events.time is None or dataset.tables.users is None:
            raise DataError("a storefront needs times and its users table", where=dataset.name)
        self._item, self._time = events.item.astype(np.int64), events.time
        self._begin = np.searchsorted(events.user, np.arange(dataset.n_users + 1))
        self._at = np.empty(len(events.row), dtype=np.int64)
        self._at[events.row] = np.arange(len(events.row))
        self._event_user = events.user
        shopper = {name: row for row, name in enumerate(dataset.tables.users["user_id"])}
        self._shopper = np.array([shopper[name] for name in dataset.user_ids], dtype=np.int64)
        self._visit = np.zeros(len(events.user), dtype=bool)
        self._visit[1:] = (events.user[1:] == events.user[:-1]) & (np.diff(self._time) <= VISIT)
        self._relevance = _relevance(dataset)
        self._query_rows = _query_rows(dataset)

    def scores(self, task: str, queries: Queries, items: slice) -> np.ndarray:
        """True preference of each query's asker for each item, float64 `[n, len(items)]`.

        Args:
            task: `seqrec` (needs `queries.row`), `cf` (needs `queries.user` and `queries.history`)
                or `search` (needs `queries.row`, here of the queries table, or `queries.text`).
            queries: Who asks what.
            items: Which items to score.

        Raises:
            UsageError: Another task, or queries that lack what the task needs.
        """
        if task == "seqrec":
            return self._next_item(_given(queries.row, task, "row"))[:, items]
        if task == "cf":
            return self._remaining(queries)[:, items]
        if task == "search":
            return self._relevant(queries)[:, items]
        raise UsageError(f"no truth for task {task!r}: {did_you_mean(task, TASKS)}")

    def _next_item(self, rows: np.ndarray) -> np.ndarray:
        event = self._at[rows]
        owned = np.zeros((len(event), len(self._world.traits)), dtype=bool)
        before = event - self._begin[self._event_user[event]]
        query = np.repeat(np.arange(len(event)), before)
        place = np.arange(len(query)) - np.repeat(np.cumsum(before) - before, before)
        owned[query, self._item[self._begin[self._event_user[event[query]]] + place]] = True
        last = np.where(self._visit[event], self._item[event - 1], -1)
        return self._chances(event, owned, last)

    def _remaining(self, queries: Queries) -> np.ndarray:
        users = _given(queries.user, "cf", "user")
        if queries.history is None:
            raise UsageError("the truth for cf needs queries with a history")
        n_items = len(self._world.traits)
        known = np.zeros((len(users), n_items), dtype=bool)
        known[queries.history.rows, queries.history.values] = True
        counts = self._begin[users + 1] - self._begin[users]
        query = np.repeat(np.arange(len(users)), counts)
        event = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        event += self._begin[users[query]]
        left = ~known[query, self._item[event]]
        query, event = query[left], event[left]
        before = self._item[event - 1]
        last = np.where(self._visit[event] & known[query, before], before, -1)
        out = np.zeros((len(users), n_items))
        np.add.at(out, query, self._chances(event, known[query], last))
        return out

    def _chances(self, event: np.ndarray, owned: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Chance of each item at each event, float64 `[n, items]`; rows sum to 1."""
        world = self._world
        shopper = self._shopper[self._event_user[event]]
        free = ~owned & (world.launch <= self._time[event, None])
        weights = (world.weights(shopper, period_of(self._time[event])) * free).astype(np.float64)
        errand = last >= 0
        weights[errand] *= np.where(same_scene(world.traits, last[errand], slice(None)), ERRAND, 1)
        taste = weights / weights.sum(axis=1, keepdims=True)
        anything = free / free.sum(axis=1, keepdims=True)
        chances: np.ndarray = taste * ((NOISE - 1) / NOISE) + anything / NOISE
        return chances

    def _relevant(self, queries: Queries) -> np.ndarray:
        rows: np.ndarray | list[int] | None = queries.row
        if rows is None:
            if queries.text is None:
                raise UsageError("the truth for search needs queries with a row or a text")
            unknown = [text for text in queries.text if text not in self._query_rows]
            if unknown:
                raise UsageError(f"not a query of this storefront: {unknown[0]!r}")
            rows = [self._query_rows[text] for text in queries.text]
        graded: np.ndarray = self._relevance[rows].astype(np.float64)
        return graded


def _given(array: np.ndarray | None, task: str, field: str) -> np.ndarray:
    if array is None:
        raise UsageError(f"the truth for {task} needs queries with a {field}")
    return array


def _query_rows(dataset: Dataset) -> dict[str, int]:
    table = dataset.tables.queries
    return {} if table is None else {text: row for row, text in enumerate(table["text"])}


def _relevance(dataset: Dataset) -> np.ndarray:
    """Grades, float32 `[queries, items]`."""
    queries, relevance = dataset.tables.queries, dataset.tables.relevance
    if queries is None or relevance is None:
        return np.zeros((0, dataset.n_items), dtype=np.float32)
    grades = np.zeros((len(queries), dataset.n_items), dtype=np.float32)
    row = {name: at for at, name in enumerate(queries["query_id"])}
    column = {name: at for at, name in enumerate(dataset.item_ids)}
    grades[
        [row[name] for name in relevance["query_id"]],
        [column[name] for name in relevance["item_id"]],
    ] = relevance["grade"].to_numpy()
    return grades
