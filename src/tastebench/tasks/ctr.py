"""Click prediction: is what is shown clicked?

Where labelled rows come from, how they are cut and what a user had before each of them is decided
in `tastebench.data.labelled`. Scores are compared within a user or an impression; rows of users or
lists with one class alone have no AUC and are left out of it and counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.contracts import Candidates, CtrProblem, Pairs, Part
from tastebench.data.card import RowsSpec
from tastebench.data.labelled import Labelled, default_rows, default_split, label_rows
from tastebench.data.split import TEST, TRAIN, VALID
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged
from tastebench.tasks.evaluate import history_segment, popularity_segment
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.shown import Shown, limited
from tastebench.tasks.task import QueryForms, Task

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

METRICS = (
    "gauc",
    "auc",
    "ndcg@1",
    "ndcg@5",
    "ndcg@10",
    "mrr",
    "lrap",
    "recall@5",
    "hit@5",
    "logloss",
    "f1",
    "ece",
)


def default_protocol(dataset: Dataset, **overrides: Any) -> TaskProtocol:
    """Rows as the dataset has them, cut as its card says, compared within users."""
    given = overrides.pop("rows", None)
    if isinstance(given, str):
        given = {"source": given}
    rows = default_rows(dataset) if given is None else RowsSpec.model_validate(given)
    defaults = {
        "task": "ctr",
        "rows": rows,
        "group": "user",
        "candidates": "shown",
        "min_history": 0,
        "history_length": dataset.card.history_length,
        "average": "row",
        "metrics": METRICS,
    }
    if "split" not in overrides:
        defaults["split"] = default_split(dataset, rows)
    return TaskProtocol(**{**defaults, **overrides})


def problem(dataset: Dataset, protocol: TaskProtocol) -> CtrProblem:
    """The dataset as labelled rows and the histories they share."""
    assert protocol.split is not None and protocol.rows is not None
    assert protocol.history_length is not None
    rows, history = label_rows(dataset, protocol.rows, protocol.split, protocol.history_length)
    if protocol.group == "impression" and (rows.impression < 0).any():
        raise UsageError(
            f"{dataset.name} knows of no impressions to compare within",
            fix="group: user",
        )
    if protocol.rows.source == "impressions":
        _refuse_shared(rows, dataset)
    group = rows.user if protocol.group == "user" else rows.impression
    return CtrProblem(
        n_items=dataset.n_items,
        n_users=len(dataset.everyone),
        history_length=protocol.history_length,
        history=history,
        train=_pairs(rows, group, TRAIN),
        valid=_pairs(rows, group, VALID),
        test=_pairs(rows, group, TEST),
    )


def _refuse_shared(rows: Labelled, dataset: Dataset) -> None:
    """A list is of one user: what is compared within it would else be compared between two."""
    _, first, of_row = np.unique(rows.impression, return_index=True, return_inverse=True)
    shared = np.flatnonzero(rows.user != rows.user[first][of_row])
    if len(shared):
        assert dataset.tables.impressions is not None
        at = int(rows.impression[shared[0]])
        name = dataset.tables.impressions["impression_id"].unique().sort()[at]
        users = [dataset.everyone[int(rows.user[row])] for row in (first[at], shared[0])]
        raise DataError(
            f"impression {name!r} is of two users, {users[0]!r} and {users[1]!r}",
            where=f"{dataset.name}, table impressions",
            fix="give every list an impression_id of its own, e.g. the user's with the list's",
        )


def _pairs(rows: Labelled, group: np.ndarray, part: int) -> Pairs:
    at = np.flatnonzero(rows.part == part)
    return Pairs(rows.context[at], rows.user[at], rows.item[at], rows.label[at], group[at])


def ask(problem: CtrProblem, protocol: TaskProtocol, part: Part, forms: QueryForms) -> Shown:
    """One question a labelled row, those of one context together."""
    pairs = problem.valid if part == "valid" else problem.test
    lengths = problem.history.lengths[pairs.context]
    asked = lengths >= protocol.min_history
    counts = {"excluded_short_history": int((~asked).sum())}
    pairs = pairs[asked]
    order = np.lexsort((pairs.context, pairs.user))
    pairs = pairs[order]
    new = np.ones(len(pairs), dtype=bool)
    new[1:] = (pairs.context[1:] != pairs.context[:-1]) | (pairs.user[1:] != pairs.user[:-1])
    first = np.flatnonzero(new)
    candidates = Candidates(
        history=problem.history[pairs.context[first]],
        user=pairs.user[first],
        items=Ragged(pairs.item, np.append(first, len(pairs))),
    )
    clicks = problem.train.item[problem.train.label == 1]
    train_count = np.bincount(clicks, minlength=problem.n_items)
    shown = np.bincount(problem.train.item, minlength=problem.n_items)
    counts["cold_candidates"] = int((shown[pairs.item] == 0).sum())
    counts["catalogue"] = problem.n_items
    counts["empty_histories"] = int((problem.history.lengths[pairs.context] == 0).sum())
    segments = {}
    if len(pairs):
        each = Ragged(pairs.item, np.arange(len(pairs) + 1))
        segments = {
            "history": history_segment(pairs.user, problem.history.lengths[pairs.context]),
            "popularity": popularity_segment(pairs.user, each, train_count),
        }
    return limited(
        Shown(
            n_items=problem.n_items,
            candidates=candidates,
            user=pairs.user,
            label=pairs.label,
            group=pairs.group,
            segments=segments,
            counts=counts,
        ),
        protocol.limit,
    )


def able(dataset: Dataset) -> bool:
    """Whether labelled rows can be had: any interactions will do, negatives can be drawn."""
    return dataset.tables.impressions is not None or dataset.tables.interactions is not None


TASK = Task(
    name="ctr",
    summary="is what is shown clicked: scores compared within a user or an impression",
    unit="user",
    metrics=METRICS,
    default_recommender="dnn",
    controls=("random", "popularity"),
    protocol=default_protocol,
    problem=problem,
    ask=ask,
    able=able,
)
