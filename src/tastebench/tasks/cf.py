"""Collaborative filtering: which items will this user still like? Sets, no order.

A user-item pair counts once and belongs to the part of its earliest event. In the valid phase a
user's training items leave the ranking, in the test phase those of valid too; the recommender knows
the training items in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import CfProblem, Part, Queries
from tastebench.data.split import TEST, TRAIN, VALID, default_split, split
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.tasks.evaluate import Asked, history_segment, limited, popularity_segment
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.task import QueryForms, Task

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

METRICS = ("ndcg@10", "recall@10", "ndcg@20", "recall@20", "recall_capped@20", "mrr")


def default_protocol(dataset: Dataset, **overrides: Any) -> TaskProtocol:
    """Split of the dataset's card; known items leave the ranking; users without any are asked."""
    defaults = {"task": "cf", "mask_seen": True, "min_history": 0, "metrics": METRICS}
    if "split" not in overrides:
        defaults["split"] = default_split(dataset, "cf")
    return TaskProtocol(**{**defaults, **overrides})


def problem(dataset: Dataset, protocol: TaskProtocol) -> CfProblem:
    """The dataset as three disjoint sets of items per user."""
    assert protocol.split is not None
    if protocol.split.kind == "user":
        raise UsageError(
            "the split user tests on people that nothing is known of, and cf has no order to show "
            "their earlier events by",
            where=dataset.name,
            fix="choose random or time for cf",
        )
    events = dataset.events()
    part = split(dataset, protocol.split)
    kept = part >= TRAIN
    pair = events.user[kept] * dataset.n_items + events.item[kept]
    # unique sorts by user, then item, and takes the first, hence earliest, event of each pair.
    pair, earliest = np.unique(pair, return_index=True)
    user, item = np.divmod(pair, dataset.n_items)
    part = part[kept][earliest]
    train, valid, test = (
        Ragged.from_lengths(
            item[part == wanted].astype(np.int32),
            np.bincount(user[part == wanted], minlength=dataset.n_users),
        )
        for wanted in (TRAIN, VALID, TEST)
    )
    return CfProblem(dataset.n_items, dataset.n_users, train, valid, test)


def ask(problem: CfProblem, protocol: TaskProtocol, part: Part, forms: QueryForms) -> Asked:
    """One question a user with held-out items."""
    held_out = problem.valid if part == "valid" else problem.test
    known = problem.train.lengths
    answerable = held_out.lengths > 0
    asked = answerable & (known >= protocol.min_history)
    users = np.flatnonzero(asked)
    train, relevant = problem.train[users], held_out[users]
    train_count = np.bincount(problem.train.values, minlength=problem.n_items)
    exclude = None
    if protocol.mask_seen:
        exclude = train if part == "valid" else _joined(train, problem.valid[users])
    return limited(
        Asked(
            unit="user",
            ids=users,
            n_items=problem.n_items,
            queries=Queries(len(users), history=train, user=users),
            relevant=relevant,
            exclude=exclude,
            segments={
                "history": history_segment(users, train.lengths),
                "popularity": popularity_segment(users, relevant, train_count),
            },
            counts={
                "excluded_no_target": int((~answerable).sum()),
                "excluded_short_history": int((answerable & ~asked).sum()),
                "cold_users": int((train.lengths == 0).sum()),
                "cold_targets": int((train_count[relevant.values] == 0).sum()),
            },
        ),
        protocol.limit,
    )


def _joined(a: Ragged, b: Ragged) -> Ragged:
    """Both lists of every row, one after the other."""
    rows = np.concatenate([a.rows, b.rows])
    return Ragged.from_rows(rows, np.concatenate([a.values, b.values]), len(a))


TASK = Task(
    name="cf",
    summary="items a user will still like, known ones left out, the whole catalogue ranked",
    unit="user",
    metrics=METRICS,
    default_recommender="alpharec",
    controls=("random", "popularity", "item-knn", "ease"),
    protocol=default_protocol,
    problem=problem,
    ask=ask,
)
