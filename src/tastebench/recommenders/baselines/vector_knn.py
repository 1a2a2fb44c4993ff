"""Item-kNN over vectors: a candidate is as good as it is near to what was clicked."""

from __future__ import annotations

import time

import numpy as np

from tastebench.contracts import (
    Candidates,
    CtrProblem,
    FitReport,
    Items,
    RecommenderCard,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.recommenders import NoParameters


class VectorKnn:
    """Cosine of a candidate's vector and the mean direction of the history; nothing is trained.

    An empty history scores 0, as does an item whose vector is zero.
    """

    log_odds = False

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self._unit = np.empty((0, 0), dtype=np.float32)

    def fit(self, problem: CtrProblem, items: Items, trainer: Trainer) -> FitReport:
        """Takes the vectors at unit length.

        Raises:
            UsageError: The items have none.
        """
        began = time.perf_counter()
        if items.vector is None:
            raise UsageError(
                "vector-knn compares vectors, and the items have none",
                fix="representations: [vector], and an encoder",
            )
        length = np.linalg.norm(items.vector, axis=1, keepdims=True)
        self._unit = np.divide(
            items.vector, length, out=np.zeros_like(items.vector), where=length > 0
        )
        return FitReport(parameters=0, seconds=time.perf_counter() - began)

    def score(self, candidates: Candidates) -> np.ndarray:
        """Cosines, float32 `[n]`."""
        from scipy.sparse import csr_matrix

        history = candidates.history
        ones = np.ones(len(history.values), dtype=np.float32)
        # A product of sparse and dense holds one vector an asker, never one an item of a history.
        known = csr_matrix(
            (ones, history.values, history.offsets), shape=(len(history), len(self._unit))
        )
        total = np.asarray(known @ self._unit)
        length = np.linalg.norm(total, axis=1, keepdims=True)
        direction = np.divide(total, length, out=np.zeros_like(total), where=length > 0)
        asker, item = candidates.items.rows, candidates.items.values
        scores: np.ndarray = np.einsum("nd,nd->n", direction[asker], self._unit[item])
        return scores


CARD = RecommenderCard(
    name="vector-knn",
    summary="candidates near what was clicked, by their vectors; nothing is trained",
    tasks=("ctr",),
    representations=("vector",),
    config=NoParameters,
    build=VectorKnn,
)
