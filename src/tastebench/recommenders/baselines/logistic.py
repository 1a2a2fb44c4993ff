"""Logistic regression on counts: what showings and clicks alone say, without a network."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from tastebench.contracts import (
    Candidates,
    CtrProblem,
    FitReport,
    Items,
    Pairs,
    RecommenderCard,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.recommenders import NoParameters
from tastebench.recommenders.baselines.popularity import PRIOR


class LogisticConfig(NoParameters):
    """Hyper-parameters."""

    c: float = Field(1.0, gt=0)
    """Inverse strength of the L2 penalty, as scikit-learn's `C`."""


class Logistic:
    """Log-odds that are linear in counts of the training part.

    Features: log of one plus the item's showings, its clicks and its occurrences in the training
    histories of other users; the log-odds of its rate of clicks; log of one plus the history's
    length; whether the candidate is in the history. A training row is not counted in its own item's
    features: an item shown once would tell its label.
    """

    log_odds = True

    def __init__(self, config: LogisticConfig) -> None:
        self.config = config
        none: np.ndarray = np.empty(0)
        self._shown = self._clicked = self._taken = none
        self._own = _Pairs(np.empty(0, np.int64), np.empty(0, np.int64), 1)
        self._rate = 0.5
        self._model: Any = None

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Counts, then fits seven numbers.

        Raises:
            UsageError: Rows of one class alone.
        """
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        began = time.perf_counter()
        train = problem.train
        if train.label.min(initial=1) == train.label.max(initial=0):
            raise UsageError(
                "all or none of the training rows were clicked: there is nothing to tell apart",
                fix="check the labels, or choose another split",
            )
        self._shown = np.bincount(train.item, minlength=problem.n_items).astype(np.float64)
        clicked = np.bincount(train.item, weights=train.label, minlength=problem.n_items)
        self._clicked = clicked.astype(np.float64)
        contexts, first = np.unique(train.context, return_index=True)
        known = problem.history[contexts]
        self._taken = np.bincount(known.values, minlength=problem.n_items).astype(np.float64)
        self._own = _Pairs.of(train.user[first][known.rows], known.values, problem.n_items)
        self._rate = (float(train.label.sum()) + 1) / (len(train) + 2)
        self._model = make_pipeline(StandardScaler(), LogisticRegression(C=self.config.c))
        self._model.fit(self._training_features(problem, train), train.label)
        return FitReport(parameters=7, seconds=time.perf_counter() - began)

    def score(self, candidates: Candidates) -> np.ndarray:
        """Log-odds, float64 `[n]`."""
        asker, item = candidates.items.rows, candidates.items.values
        length = candidates.history.lengths[asker]
        n_items = len(self._shown)
        within = _Pairs.of(candidates.history.rows, candidates.history.values, n_items)
        features = np.stack(
            [
                *self._counts(candidates.user[asker], item, self._shown[item], self._clicked[item]),
                np.log1p(length),
                within.times_of(asker, item) > 0,
            ],
            axis=1,
        )
        scores: np.ndarray = self._model.decision_function(features)
        return scores

    def _training_features(self, problem: CtrProblem, train: Pairs) -> np.ndarray:
        contexts, context = np.unique(train.context, return_inverse=True)
        history = problem.history[contexts]
        within = _Pairs.of(history.rows, history.values, problem.n_items)
        shown, clicked = self._shown[train.item] - 1, self._clicked[train.item] - train.label
        return np.stack(
            [
                *self._counts(train.user, train.item, shown, clicked),
                np.log1p(history.lengths[context]),
                within.times_of(context, train.item) > 0,
            ],
            axis=1,
        )

    def _counts(
        self, user: np.ndarray, item: np.ndarray, shown: np.ndarray, clicked: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        share = (clicked + PRIOR * self._rate) / (shown + PRIOR)
        return (
            np.log1p(shown),
            np.log1p(clicked),
            np.log1p(self._taken[item] - self._own.times_of(user, item)),
            np.log(share) - np.log1p(-share),
        )


class _Pairs(NamedTuple):
    """How often pairs of a row and an item occur."""

    key: np.ndarray
    times: np.ndarray
    n_items: int

    @classmethod
    def of(cls, row: np.ndarray, item: np.ndarray, n_items: int) -> _Pairs:
        """The pairs of two arrays, `[n]` each."""
        return cls(*np.unique(row * n_items + item, return_counts=True), n_items)

    def times_of(self, row: np.ndarray, item: np.ndarray) -> np.ndarray:
        """Occurrences of each asked pair, int64 `[n]`."""
        if not len(self.key):
            return np.zeros(len(item), dtype=np.int64)
        key = row * self.n_items + item
        at = np.minimum(np.searchsorted(self.key, key), len(self.key) - 1)
        return np.where(self.key[at] == key, self.times[at], 0)


CARD = RecommenderCard(
    name="logistic",
    summary="logistic regression on counts of showings and clicks; knows no item by itself",
    tasks=("ctr",),
    representations=("id",),
    config=LogisticConfig,
    build=Logistic,
)
