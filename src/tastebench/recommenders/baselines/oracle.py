"""Oracle: the true preferences of generated data.

Where the truth is exact (next item, search) nothing does better on average; for sets (cf) it is an
approximation that the dataset's own page describes.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tastebench.contracts import (
    CfProblem,
    FitReport,
    Items,
    Queries,
    RecommenderCard,
    SearchProblem,
    SeqProblem,
    Trainer,
    Truth,
)
from tastebench.errors import UsageError
from tastebench.recommenders import NoParameters

_TASKS = {SeqProblem: "seqrec", CfProblem: "cf", SearchProblem: "search"}


class Oracle:
    """The truth as a recommender: its score is the ceiling of the dataset."""

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self.truth: Truth | None = None
        self.task = ""

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Takes the truth.

        Raises:
            UsageError: The dataset's truth is not known.
        """
        start = time.perf_counter()
        if items.truth is None:
            raise UsageError(
                "the oracle needs the true preferences, which only generated data have",
                fix="leave it out, or use the dataset storefront",
            )
        self.truth = items.truth
        self.task = next(name for kind, name in _TASKS.items() if isinstance(problem, kind))
        return FitReport(parameters=0, seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """True preferences, float64 `[n, len(items)]`."""
        assert self.truth is not None, "fit first"
        return self.truth.scores(self.task, queries, items)


CARD = RecommenderCard(
    name="oracle",
    summary="the true preferences of a generated dataset",
    tasks=("seqrec", "cf", "search"),
    representations=("truth",),
    config=NoParameters,
    build=Oracle,
    kind="ceiling",
)
