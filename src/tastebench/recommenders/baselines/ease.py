"""EASE: a linear item-to-item model with a closed form."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.errors import UsageError
from tastebench.recommenders.baselines.history import (
    asked_histories,
    incidence,
    training_lists,
)

_ROWS_AT_ONCE = 1024


class EASEConfig(BaseModel):
    """Hyper-parameters of EASE."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    l2: float = Field(250.0, gt=0)
    """Weight of the squared norm."""

    precision: Literal["double", "single"] = "double"
    """Of the inversion; `single` halves its time and memory."""


class EASE:
    r"""Item weights $B$ that minimise $\|X - XB\|^2 + \lambda \|B\|^2$ with a zero diagonal.

    With $P = (X^T X + \lambda I)^{-1}$ it is $B_{ij} = -P_{ij} / P_{jj}$ off the diagonal (Steck
    2019, eq. 8). $X$ is binary: repeats count once.
    """

    def __init__(self, config: EASEConfig) -> None:
        self.config = config
        self.weights = np.empty((0, 0), np.float32)

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Inverts the regularised Gram matrix in its own memory.

        Raises:
            UsageError: The item-item matrix does not fit into memory.
        """
        start = time.perf_counter()
        dtype = np.dtype(np.float64 if self.config.precision == "double" else np.float32)
        _refuse_too_large(problem.n_items, dtype)
        users = incidence(training_lists(problem), problem.n_items)
        gram = np.zeros((problem.n_items, problem.n_items), dtype)
        (users.T @ users).astype(dtype).toarray(out=gram)
        gram[np.diag_indices_from(gram)] += self.config.l2
        self.weights = _weights(_invert(gram))
        return FitReport(parameters=self.weights.size, seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Sum of the weights from the history's items, float32 `[n, len(items)]`."""
        result: np.ndarray = asked_histories(queries, len(self.weights)) @ self.weights[:, items]
        return result


def _invert(gram: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix, in place; only the lower triangle is valid."""
    from scipy.linalg import get_lapack_funcs

    factorise, invert = get_lapack_funcs(("potrf", "potri"), (gram,))
    # LAPACK counts columns first: the transpose is the same symmetric matrix without a copy, and
    # its upper triangle is our lower one.
    factor, info = factorise(gram.T, lower=False, overwrite_a=True)
    if info == 0:
        inverse, info = invert(factor, lower=False, overwrite_c=True)
    if info != 0:
        raise UsageError("EASE: the Gram matrix cannot be inverted", fix="raise l2")
    result: np.ndarray = inverse.T
    return result


def _weights(inverse: np.ndarray) -> np.ndarray:
    """B from the lower triangle of P, float32; a band of rows at a time."""
    n = len(inverse)
    scale = -1 / np.diagonal(inverse)
    weights = np.empty((n, n), np.float32)
    for first in range(0, n, _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        band = np.tril(inverse[rows, : first + _ROWS_AT_ONCE], k=first)
        weights[rows, : band.shape[1]] = band * scale[: band.shape[1]]
        # The same entries mirrored: row j of P above the diagonal is column j below it.
        below = band[:, :first]
        weights[:first, rows] = below.T * scale[rows]
        corner = band[:, first:]
        upper = np.triu(corner.T, k=1) * scale[rows]
        weights[rows, rows] += upper.astype(np.float32)
    weights[np.diag_indices(n)] = 0
    return weights


def _refuse_too_large(n_items: int, dtype: np.dtype[Any]) -> None:
    import psutil

    needed = n_items**2 * (dtype.itemsize + 4)
    available = psutil.virtual_memory().available
    if needed > 0.9 * available:
        raise UsageError(
            f"EASE needs {needed / 2**30:.1f} GiB for {n_items:,} x {n_items:,} item weights, "
            f"and {available / 2**30:.1f} GiB are free",
            fix="set precision: single, use item-knn, or a catalogue with fewer items",
        )


CARD = RecommenderCard(
    name="ease",
    summary="linear item-to-item weights in closed form",
    tasks=("seqrec", "cf"),
    representations=("id",),
    config=EASEConfig,
    build=EASE,
    citation="Steck 2019, arXiv:1905.03375",
)
