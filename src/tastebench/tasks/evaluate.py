"""From questions to an `Evaluation`: rank, measure, average, label; the same for every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from tastebench.contracts import (
    Evaluation,
    GeneratesItems,
    Queries,
    Ranking,
    Role,
    ScoresItems,
)
from tastebench.errors import ProtocolError
from tastebench.metrics.grammar import parse_all
from tastebench.metrics.groups import mean_by
from tastebench.metrics.measure import measure, weigh
from tastebench.metrics.ranks import Ranks
from tastebench.ragged import Ragged
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.rank import generated, rank_and_list, top_k

GENERATED = 100
"""Items a generating recommender is asked for where no metric has a cut-off."""

LIST_LENGTH = 10
"""Items that one request asks for."""

HISTORY_EDGES = (1, 5, 10, 20, 50)
HISTORY_LABELS = ("0", "1-4", "5-9", "10-19", "20-49", "50+")
POPULARITY_LABELS = ("cold", "tail", "middle", "head")


@dataclass(frozen=True, eq=False)
class Asked:
    """What one part of a problem asks, one row a question, ascending by unit.

    Attributes:
        unit: What `ids` are.
        ids: User or query of each row, int64 `[n]`, ascending; a user may have several rows.
        relevant: The right answers.
        gain: Their grades; None means 1 each.
        exclude: Items that are no candidates; None means none.
        segments: Labels of each *unit*, in ascending order of its id.
        counts: What was left out before asking, and why.
    """

    unit: Literal["user", "query"]
    ids: np.ndarray
    n_items: int
    queries: Queries
    relevant: Ragged
    gain: Ragged | None = None
    exclude: Ragged | None = None
    segments: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def length(self) -> int:
        """Items in the answer to a request."""
        return min(LIST_LENGTH, self.n_items)

    def brings(self, row: int, items: Sequence[str]) -> tuple[list[str], Role]:
        """The texts that one question brings along: a query, or the items of a history."""
        if self.queries.text is not None:
            return [self.queries.text[row]], "query"
        assert self.queries.history is not None
        return [items[item] for item in self.queries.history[row].tolist()], "item"

    def request(self, recommender: Any, row: int) -> Ranking:
        """Asks one question alone: the best items of the whole catalogue."""
        one = slice(row, row + 1)
        exclude = None if self.exclude is None else self.exclude[one]
        return top_k(recommender, self.queries[one], self.length, self.n_items, exclude=exclude)


def measure_answers(
    recommender: Any, asked: Asked, protocol: TaskProtocol, *, top_k: int = 0
) -> Evaluation:
    """Ranks the catalogue for every question and measures where the right answers stand.

    A row of the result is a unit with its mean over its rows for which a metric is defined. With
    `average: row` its weight is the number of these rows, so that the weighted mean over units is
    the mean over rows, and what is resampled for an interval are still units. A metric that does
    not count rows alike (`MetricInfo.weight`) adds up their weights, whatever the average.

    Raises:
        ProtocolError: Nothing to ask, or answers that cannot be used.
    """
    if not len(asked.queries):
        left_out = ", ".join(f"{name} {count:,}" for name, count in asked.counts.items())
        raise ProtocolError(
            f"there is nothing to ask in this part ({left_out or 'it is empty'})",
            fix="choose another split, or a dataset with more interactions",
        )
    ranks, top, counts = _ranks(recommender, asked, protocol, top_k)
    units, row_unit = np.unique(asked.ids, return_inverse=True)
    row_weights = weigh(protocol.metrics, ranks)
    values, weights = {}, {}
    for name, column in measure(protocol.metrics, ranks).items():
        row_weight = row_weights.get(name)
        values[name], weight = mean_by(row_unit, column, len(units), row_weight)
        counted = protocol.average == "row" or row_weight is not None
        if counted and (weight[weight > 0] != 1).any():
            weights[name] = weight
    plural = "users" if asked.unit == "user" else "queries"
    counts = {"asked": len(asked.queries), plural: len(units), **asked.counts, **counts}
    return Evaluation(asked.unit, units, values, weights, asked.segments, counts, top)


def _ranks(
    recommender: Any, asked: Asked, protocol: TaskProtocol, k: int
) -> tuple[Ranks, Ranking | None, dict[str, int]]:
    """Ranks of the right answers, the best items if asked for, and what is worth counting."""
    if not isinstance(recommender, ScoresItems) and isinstance(recommender, GeneratesItems):
        return _generated(recommender, asked, protocol, k)
    ranks, top = rank_and_list(
        recommender,
        asked.queries,
        asked.relevant,
        k,
        asked.n_items,
        exclude=asked.exclude,
        gain=asked.gain,
    )
    counts = {"targets": len(ranks.tied.values), "tied": int((ranks.tied.values > 1).sum())}
    return ranks, top if k else None, counts


def _generated(
    recommender: GeneratesItems, asked: Asked, protocol: TaskProtocol, k: int
) -> tuple[Ranks, Ranking | None, dict[str, int]]:
    cuts = [metric.k or GENERATED for metric in parse_all(protocol.metrics)]
    depth = min(max(*cuts, k), asked.n_items)
    whole = generated(recommender, asked.queries, depth, asked.n_items, exclude=asked.exclude)
    ranks = Ranks.from_ranking(whole, asked.relevant, asked.gain)
    ranking = Ranking(whole.items[:, :depth], whole.scores[:, :depth])
    counts = {
        "targets": len(ranks.above.values),
        "tied": int((ranks.tied.values > 1).sum()),
        "not_generated": int((~ranks.ranked).sum()),
        **_unnamed(ranking),
        "duplicate": _repeats(ranking.items),
    }
    top = Ranking(ranking.items[:, :k], ranking.scores[:, :k]) if k else None
    return ranks, top, counts


def _unnamed(ranking: Ranking) -> dict[str, int]:
    """Slots without an item: what was generated is none, or there was nothing more to generate."""
    unnamed, empty = ranking.items < 0, np.isneginf(ranking.scores)
    return {"invalid": int((unnamed & ~empty).sum()), "empty": int((unnamed & empty).sum())}


def _repeats(items: np.ndarray) -> int:
    """Slots that name an item an earlier slot of the same list names."""
    ordered = np.sort(items, axis=1)
    return int(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).sum())


def median_by(ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The lower median of each id's values; ids ascending.

    >>> median_by(np.array([3, 3, 3, 3, 7]), np.array([9, 1, 2, 5, 4])).tolist()
    [2, 4]
    """
    starts = np.flatnonzero(np.diff(ids, prepend=-1))
    sizes = np.diff(np.append(starts, len(ids)))
    result: np.ndarray = values[np.lexsort((values, ids))][starts + (sizes - 1) // 2]
    return result


def history_segment(ids: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Label of each unit by how many items its (median) question knows."""
    bucket = np.searchsorted(HISTORY_EDGES, median_by(ids, lengths), side="right")
    return np.array(HISTORY_LABELS)[bucket]


def popularity_segment(ids: np.ndarray, relevant: Ragged, train_count: np.ndarray) -> np.ndarray:
    """Label of each unit by how often its (median) right answer occurs in training.

    `cold` items never do. With the others lined up by count, `tail`, `middle` and `head` are the
    thirds of the training interactions in which items of a count have their centre: the head is few
    items, the tail is many.
    """
    counts, n_items = np.unique(train_count[train_count > 0], return_counts=True)
    interactions = counts * n_items
    centre = np.cumsum(interactions) - interactions / 2
    bucket = np.concatenate([[0], 1 + (3 * centre / max(interactions.sum(), 1)).astype(np.int64)])
    median = median_by(ids[relevant.rows], train_count[relevant.values])
    labels: np.ndarray = np.array(POPULARITY_LABELS)[
        bucket[np.searchsorted(counts, median, side="right")]
    ]
    return labels


def limited(asked: Asked, limit: int | None) -> Asked:
    """The questions of at most `limit` units, spread evenly over all of them."""
    units, row_unit = np.unique(asked.ids, return_inverse=True)
    if limit is None or limit >= len(units):
        return asked
    chosen = np.arange(limit) * len(units) // limit
    rows = np.isin(row_unit, chosen)
    return replace(
        asked,
        ids=asked.ids[rows],
        queries=take(asked.queries, rows),
        relevant=asked.relevant[rows],
        gain=None if asked.gain is None else asked.gain[rows],
        exclude=None if asked.exclude is None else asked.exclude[rows],
        segments={name: labels[chosen] for name, labels in asked.segments.items()},
        counts={**asked.counts, "excluded_by_limit": len(units) - limit},
    )


def take(queries: Queries, rows: np.ndarray) -> Queries:
    """The queries of a boolean mask."""
    at = np.flatnonzero(rows)
    return Queries(
        n=len(at),
        history=None if queries.history is None else queries.history[at],
        user=None if queries.user is None else queries.user[at],
        row=None if queries.row is None else queries.row[at],
        text=None if queries.text is None else [queries.text[i] for i in at.tolist()],
        vector=None if queries.vector is None else queries.vector[at],
    )
