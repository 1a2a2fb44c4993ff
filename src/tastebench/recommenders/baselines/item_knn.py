"""Item-kNN: items that the same users took, by the cosine of their columns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.ragged import Ragged
from tastebench.recommenders.baselines.history import (
    asked_histories,
    incidence,
    training_lists,
)
from tastebench.recommenders.best import best_columns

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_AT_ONCE = 2**23  # co-occurrences held at once


class ItemKNNConfig(BaseModel):
    """Hyper-parameters of item-kNN."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    neighbours: int = Field(100, ge=1)
    """Most similar items kept for each item."""

    shrinkage: float = Field(10.0, ge=0)
    """Added to the denominator of the cosine."""


class ItemKNN:
    r"""Sum of the similarities between an item and the items of a history.

    $s_{ij} = c_{ij} / (\sqrt{c_i c_j} + h)$ with $c_{ij}$ the users who took both, $c_i$ those who
    took $i$ and $h$ the shrinkage, which keeps two items of one user from being the closest pair.
    Every history item speaks for its `neighbours` most similar items (equal ones by index), as in
    Deshpande & Karypis 2004.
    """

    def __init__(self, config: ItemKNNConfig) -> None:
        self.config = config
        self.similarity: csr_matrix | None = None

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Keeps the nearest neighbours of every item, `[n_items, n_items]` sparse."""
        start = time.perf_counter()
        users = incidence(training_lists(problem), problem.n_items)
        self.similarity = neighbours(users, self.config.neighbours, self.config.shrinkage)
        return FitReport(parameters=int(self.similarity.nnz), seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Summed similarity to the history, float32 `[n, len(items)]`."""
        assert self.similarity is not None, "fit first"
        n_items = self.similarity.shape[1]
        similarity = self.similarity
        if (items.start, items.stop) != (0, n_items):
            similarity = similarity[:, items]
        result: np.ndarray = (asked_histories(queries, n_items) @ similarity).toarray()
        return result


def neighbours(users: csr_matrix, k: int, shrinkage: float) -> csr_matrix:
    """The `k` most similar other items of every item, float32 `[n_items, n_items]`."""
    from scipy.sparse import csr_matrix

    items = users.T.tocsr()
    count = np.diff(items.indptr).astype(np.float64)
    values, columns, lengths = [], [], np.zeros(len(count), np.int64)
    order = np.argsort(-count, kind="stable")  # rows of like length side by side waste no padding
    for block in _blocks(items, np.diff(users.indptr), order):
        both = (items[block] @ users).tocsr()
        both.sort_indices()
        near = _similar(both, block, count, shrinkage)
        best = best_columns(near, k)
        value = np.take_along_axis(near, best, axis=1)
        column = np.take_along_axis(_padded(both.indices, both.indptr), best, axis=1)
        real = value > 0
        lengths[block] = np.count_nonzero(real, axis=1)
        values.append(value[real].astype(np.float32))
        columns.append(column[real])
    rows = Ragged.from_lengths(np.concatenate(columns), lengths[order])
    weights = Ragged(np.concatenate(values), rows.offsets)
    back = np.argsort(order, kind="stable")
    rows, weights = rows[back], weights[back]
    return csr_matrix((weights.values, rows.values, rows.offsets), shape=(len(count), len(count)))


def _similar(
    both: csr_matrix, block: np.ndarray, count: np.ndarray, shrinkage: float
) -> np.ndarray:
    """Shrunk cosine of every pair with a common user, float64 `[len(block), widest]`, else 0."""
    row = np.repeat(block, np.diff(both.indptr))
    cosine = both.data / (np.sqrt(count[row] * count[both.indices]) + shrinkage)
    cosine[row == both.indices] = 0  # an item is no neighbour of its own
    return _padded(cosine, both.indptr)


def _padded(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    ragged = Ragged(values, offsets.astype(np.int64))
    return ragged.padded(int(ragged.lengths.max(initial=1)), fill=0)


def _blocks(items: csr_matrix, taken: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Cuts the items into blocks of about `_AT_ONCE` co-occurrences each."""
    pairs = (items @ taken.astype(np.float64))[order]  # at most so many items share a user with it
    block = np.cumsum(np.minimum(pairs, len(order))) // _AT_ONCE
    return iter(np.split(order, np.flatnonzero(np.diff(block)) + 1))


CARD = RecommenderCard(
    name="item-knn",
    summary="cosine of co-occurrence with the items of the history",
    tasks=("seqrec", "cf"),
    representations=("id",),
    config=ItemKNNConfig,
    build=ItemKNN,
    citation="Deshpande & Karypis 2004, doi:10.1145/963770.963776",
)
