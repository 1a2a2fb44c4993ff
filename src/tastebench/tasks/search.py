"""Item search: which items answer this query? Zero-shot, so there is nothing to train or select on.

An item with a grade above 0, or of at least the protocol's `min_grade`, is relevant, and its grade
is its gain; items graded lower and unjudged ones are not relevant. Every query ranks the whole
catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tastebench.contracts import Part, Queries, SearchProblem
from tastebench.data.dataset import positions
from tastebench.data.schema import is_relevant
from tastebench.errors import DataError, ProtocolError
from tastebench.ragged import Ragged
from tastebench.tasks.evaluate import Asked, limited, take
from tastebench.tasks.protocol import TaskProtocol
from tastebench.tasks.task import QueryForms, Task

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

METRICS = ("ndcg@10", "recall@10", "ndcg@100", "recall@100", "mrr", "ndcg_pairwise@100")

CATEGORIES = 10
"""Categories that queries are told apart by; the rest are `other`."""

OTHER_CATEGORY, NO_CATEGORY = "other", "none"


def default_protocol(dataset: Dataset, **overrides: Any) -> TaskProtocol:
    """All items ranked; mean over queries; relevant is what the dataset's card says."""
    defaults = {
        "task": "search",
        "average": "row",
        "min_history": 0,
        "min_grade": dataset.card.min_grade,
        "metrics": METRICS,
    }
    return TaskProtocol(**{**defaults, **overrides})


def problem(dataset: Dataset, protocol: TaskProtocol) -> SearchProblem:
    """The dataset's queries and judgements as index arrays.

    Raises:
        DataError: The dataset has no queries.
    """
    queries, relevance = dataset.tables.queries, dataset.tables.relevance
    if queries is None or relevance is None:
        raise DataError(
            f"{dataset.name} has no queries to search with",
            fix="choose a dataset with queries, or import yours with --queries and --relevance",
        )
    relevant = relevance.filter(is_relevant(protocol.min_grade))
    row = positions(relevant["query_id"], queries["query_id"])
    item = positions(relevant["item_id"], dataset.item_ids).astype(np.int32)
    groups = queries["group"].unique(maintain_order=True)
    answers = Ragged.from_rows(row, item, len(queries))
    return SearchProblem(
        n_items=dataset.n_items,
        n_queries=len(queries),
        relevance=answers,
        gain=Ragged.from_rows(row, relevant["grade"].to_numpy(), len(queries)),
        group=positions(queries["group"], groups).astype(np.int32),
        groups=tuple(groups),
        segments=_categories(dataset.tables.items, answers),
    )


def _categories(items: pl.DataFrame, answers: Ragged) -> dict[str, np.ndarray]:
    """The category of each query's first right answer, the frequent ones by name.

    Nothing where the items have no column `category` (or `categories`, whose first counts).
    """
    name = next((name for name in ("category", "categories") if name in items.columns), None)
    if name is None:
        return {}
    column = items[name].list.first() if isinstance(items[name].dtype, pl.List) else items[name]
    of_item = column.cast(pl.String).fill_null(NO_CATEGORY).to_numpy()
    labels = np.full(len(answers), NO_CATEGORY, dtype=object)
    answered = answers.lengths > 0
    labels[answered] = of_item[answers.values[answers.offsets[:-1][answered]]]
    names, place, count = np.unique(labels[answered], return_inverse=True, return_counts=True)
    frequent = np.argsort(-count, kind="stable")[:CATEGORIES]
    labels[answered] = np.where(np.isin(place, frequent), names[place], OTHER_CATEGORY)
    return {"category": labels.astype(str)}


def ask(problem: SearchProblem, protocol: TaskProtocol, part: Part, forms: QueryForms) -> Asked:
    """One question a query that has a relevant item; `row` is its row in the queries table."""
    for name, form in (("text", forms.text), ("vector", forms.vector)):
        if form is not None and len(form) != problem.n_queries:
            raise ProtocolError(f"{len(form)} query {name}s for {problem.n_queries} queries")
    everyone = np.arange(problem.n_queries)
    queries = Queries(problem.n_queries, row=everyone, text=forms.text, vector=forms.vector)
    answerable = problem.relevance.lengths > 0
    return limited(
        Asked(
            unit="query",
            ids=everyone[answerable],
            n_items=problem.n_items,
            queries=take(queries, answerable),
            relevant=problem.relevance[answerable],
            gain=problem.gain[answerable],
            segments={
                "group": np.array(problem.groups)[problem.group[answerable]],
                **{name: labels[answerable] for name, labels in problem.segments.items()},
            },
            counts={"excluded_no_target": int((~answerable).sum())},
        ),
        protocol.limit,
    )


TASK = Task(
    name="search",
    summary="items that answer a query in words, zero-shot, the whole catalogue ranked",
    unit="query",
    metrics=METRICS,
    default_recommender="dot",
    controls=("random", "bm25"),
    protocol=default_protocol,
    problem=problem,
    ask=ask,
    parts=("test",),
)
