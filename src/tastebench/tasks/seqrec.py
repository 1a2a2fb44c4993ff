"""Sequential recommendation: what does this user take next?

Every event of the valid or test part is a target; its history is all that the user did before it,
whatever part those events belong to: they lie in its past. Training sequences hold training events
only. What was dropped by the split is in neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import Part, Queries, SeqProblem, Targets
from tastebench.data.split import TEST, TRAIN, VALID, default_split, split
from tastebench.errors import ProtocolError
from tastebench.ragged import Ragged
from tastebench.tasks.evaluate import (
    Asked,
    history_segment,
    limited,
    popularity_segment,
    take,
)
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.task import QueryForms, Task

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

METRICS = ("ndcg@10", "recall@10", "ndcg@50", "recall@50", "mrr")


def default_protocol(dataset: Dataset, **overrides: Any) -> TaskProtocol:
    """Split and history length of the dataset's card; all items ranked, repeats allowed."""
    defaults = {
        "task": "seqrec",
        "history_length": dataset.card.history_length,
        "metrics": METRICS,
    }
    if "split" not in overrides:
        defaults["split"] = default_split(dataset, "seqrec")
    return TaskProtocol(**{**defaults, **overrides})


def problem(dataset: Dataset, protocol: TaskProtocol) -> SeqProblem:
    """The dataset as sequences and targets.

    Targets without history are part of it; the protocol's `min_history` decides whether they are
    asked.
    """
    assert protocol.split is not None and protocol.history_length is not None
    events = dataset.events()
    part = split(dataset, protocol.split)
    kept = part >= TRAIN
    user, item, row, part = events.user[kept], events.item[kept], events.row[kept], part[kept]
    train = part == TRAIN
    first = np.searchsorted(user, user)  # where each event's user begins: events go by user
    before = np.arange(len(user)) - first
    cut = np.minimum(before, protocol.history_length)

    def targets(wanted: int) -> Targets:
        at = np.flatnonzero(part == wanted)
        history = Ragged.windows(item, at, cut[at])
        seen = Ragged.windows(item, at, before[at]) if protocol.mask_seen else None
        return Targets(user[at], history, item[at], row[at], seen)

    return SeqProblem(
        n_items=dataset.n_items,
        n_users=dataset.n_users,
        history_length=protocol.history_length,
        train=Ragged.from_lengths(item[train], np.bincount(user[train], minlength=dataset.n_users)),
        valid=targets(VALID),
        test=targets(TEST),
    )


def ask(problem: SeqProblem, protocol: TaskProtocol, part: Part, forms: QueryForms) -> Asked:
    """One question a target. With `mask_seen` all items before it are no candidates.

    Raises:
        ProtocolError: Seen items are to leave the ranking and the problem was made without them.
    """
    targets = problem.valid if part == "valid" else problem.test
    queries = Queries(
        len(targets.item), history=targets.history, user=targets.user, row=targets.row
    )
    asked = targets.history.lengths >= protocol.min_history
    counts = {"excluded_short_history": int((~asked).sum())}
    seen = None
    if protocol.mask_seen:
        seen = targets.seen
        if seen is None:
            raise ProtocolError(
                "this problem does not hold what was seen",
                fix="make the problem by the protocol that it is asked by",
            )
        repeat = np.zeros(len(targets.item), dtype=bool)
        again = seen.values == np.repeat(targets.item, seen.lengths)
        repeat[seen.rows[again]] = True
        counts["excluded_seen_target"] = int((repeat & asked).sum())
        asked &= ~repeat
    queries, item = take(queries, asked), targets.item[asked]
    assert queries.user is not None and queries.history is not None
    relevant = Ragged(item, np.arange(len(item) + 1))
    train_count = np.bincount(problem.train.values, minlength=problem.n_items)
    counts["cold_targets"] = int((train_count[item] == 0).sum())
    return limited(
        Asked(
            unit="user",
            ids=queries.user,
            n_items=problem.n_items,
            queries=queries,
            relevant=relevant,
            exclude=None if seen is None else seen[asked],
            segments={
                "history": history_segment(queries.user, queries.history.lengths),
                "popularity": popularity_segment(queries.user, relevant, train_count),
            },
            counts=counts,
        ),
        protocol.limit,
    )


TASK = Task(
    name="seqrec",
    summary="next item of a user's sequence, the whole catalogue ranked",
    unit="user",
    metrics=METRICS,
    default_recommender="unisrec",
    controls=("random", "popularity", "item-knn", "graph-walk"),
    protocol=default_protocol,
    problem=problem,
    ask=ask,
)
