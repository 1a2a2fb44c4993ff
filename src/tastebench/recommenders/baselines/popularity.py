"""Popularity: the same order for everyone, by training interactions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.recommenders import NoParameters
from tastebench.recommenders.baselines.history import training_lists


class Popularity:
    """Scores an item by how often it occurs in training."""

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self.count = np.empty(0)

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Counts; of repeats every one counts."""
        start = time.perf_counter()
        count = np.bincount(training_lists(problem).values, minlength=problem.n_items)
        self.count = count.astype(np.float64)
        return FitReport(parameters=problem.n_items, seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Training count of each item, a read-only view `[n, len(items)]`."""
        count = self.count[items]
        return np.broadcast_to(count, (len(queries), len(count)))


CARD = RecommenderCard(
    name="popularity",
    summary="most interactions in training first, the same for everyone",
    tasks=("seqrec", "cf"),
    representations=("id",),
    config=NoParameters,
    build=Popularity,
    kind="control",
)
