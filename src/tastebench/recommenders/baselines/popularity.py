"""Popularity: the same order for everyone, by training interactions or the rate of clicks."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from tastebench.contracts import (
    Candidates,
    CtrProblem,
    FitReport,
    Items,
    Queries,
    RecommenderCard,
    Trainer,
)
from tastebench.recommenders import NoParameters
from tastebench.recommenders.baselines.history import training_lists

PRIOR = 10.0
"""Rows of the overall click rate that are added to those of an item: few rows say little."""


class Popularity:
    """Scores an item by how often it occurs in training, or by its rate of clicks where rows are.

    The rate is that of its training rows and of `PRIOR` rows of the overall rate.
    """

    log_odds = True

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self.count = np.empty(0)

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Counts; of repeats every one counts."""
        start = time.perf_counter()
        if isinstance(problem, CtrProblem):
            self.count = _click_log_odds(problem)
        else:
            count = np.bincount(training_lists(problem).values, minlength=problem.n_items)
            self.count = count.astype(np.float64)
        return FitReport(parameters=problem.n_items, seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Training count of each item, a read-only view `[n, len(items)]`."""
        count = self.count[items]
        return np.broadcast_to(count, (len(queries), len(count)))

    def score(self, candidates: Candidates) -> np.ndarray:
        """Log-odds of each candidate's rate of clicks, float64 `[n]`."""
        odds: np.ndarray = self.count[candidates.items.values]
        return odds


def _click_log_odds(problem: CtrProblem) -> np.ndarray:
    train = problem.train
    shown = np.bincount(train.item, minlength=problem.n_items)
    clicked = np.bincount(train.item, weights=train.label, minlength=problem.n_items)
    # A row of each kind keeps the overall rate away from 0 and 1.
    rate = (train.label.sum() + 1) / (len(train) + 2)
    share = (clicked + PRIOR * rate) / (shown + PRIOR)
    odds: np.ndarray = np.log(share) - np.log1p(-share)
    return odds


CARD = RecommenderCard(
    name="popularity",
    summary="most interactions (or clicks per showing) in training first, the same for everyone",
    tasks=("seqrec", "cf", "ctr"),
    representations=("id",),
    config=NoParameters,
    build=Popularity,
    kind="control",
)
