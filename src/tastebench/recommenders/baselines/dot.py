"""Dot: the nearest item vectors to the query vector, nothing learned."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.errors import DataError, UsageError

_ROWS_AT_ONCE = 2**16


class DotConfig(BaseModel):
    """How vectors are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    similarity: Literal["cosine", "dot"] = "cosine"
    """Cosine, or the plain inner product of the vectors as they were encoded."""


class Dot:
    """Cosine of query and item vector; a zero vector has cosine 0 with everything.

    The items' vectors stay where they are (a memory map): only their lengths are computed.
    """

    def __init__(self, config: DotConfig) -> None:
        self.config = config
        self.vectors = np.empty((0, 0), np.float32)
        self.scale = np.empty(0, np.float32)

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Looks at the item vectors once.

        Raises:
            UsageError: The items have no vectors.
            DataError: A vector holds NaN or infinity.
        """
        start = time.perf_counter()
        if items.vector is None:
            raise UsageError("dot needs item vectors", fix="representation: vector")
        self.vectors = items.vector
        length = np.concatenate(
            [
                np.linalg.norm(self.vectors[first : first + _ROWS_AT_ONCE], axis=1)
                for first in range(0, len(self.vectors), _ROWS_AT_ONCE)
            ]
        )
        bad = np.flatnonzero(~np.isfinite(length))
        if len(bad):
            raise DataError(
                f"the vector of item {bad[0]} is not finite ({len(bad):,} such items)",
                fix="encode again, in a wider number format",
            )
        if self.config.similarity == "dot":
            length = np.ones_like(length)
        self.scale = _inverse(length)
        return FitReport(parameters=0, seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Similarity, float32 `[n, len(items)]`."""
        if queries.vector is None:
            raise UsageError("dot needs encoded queries", fix="representation: vector")
        asked = np.asarray(queries.vector, dtype=np.float32)
        if self.config.similarity == "cosine":
            asked = asked * _inverse(np.linalg.norm(asked, axis=1))[:, None]
        scores: np.ndarray = asked @ self.vectors[items].T
        scores *= self.scale[items]
        return scores


def _inverse(length: np.ndarray) -> np.ndarray:
    """1 / length, and 0 for the zero vector, float32."""
    inverse = np.zeros_like(length, dtype=np.float32)
    np.divide(1, length, out=inverse, where=length > 0)
    return inverse


CARD = RecommenderCard(
    name="dot",
    summary="cosine of query and item vectors",
    tasks=("search",),
    representations=("vector",),
    config=DotConfig,
    build=Dot,
)
