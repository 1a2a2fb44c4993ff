"""AlphaRec's linear form: `score(user, item) = cos(W e_user, W e_item)`."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import CfProblem, FitReport, Items, Queries, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders.vectors import adapted
from tastebench.training.batches import shuffled
from tastebench.training.losses import in_batch_cross_entropy
from tastebench.training.seeds import torch_seeded

if TYPE_CHECKING:
    from tastebench.recommenders.cf.alpharec import AlphaRecConfig


class LinearMap:
    """Text vectors and their means, mapped by one matrix without bias, compared by cosine.

    An item is its frozen vector, a user the mean of the vectors of their training items, and only
    the matrix is learned: from each training pair against the other items of its batch. A user
    without training items is the zero vector and ties on every item: nothing is known of them.
    """

    name = "alpharec"

    def __init__(self, config: AlphaRecConfig) -> None:
        self.config = config
        self._map: nn.Linear | None = None
        self._users = self._items = torch.empty(0, 0)
        self._item_points: Tensor | None = None

    def fit(self, problem: CfProblem, items: Items, trainer: Trainer) -> FitReport:
        """Learns the matrix from all training pairs.

        Raises:
            UsageError: Items have no vectors, or there are no training pairs.
        """
        began = time.perf_counter()
        vectors, note = adapted(items, self.config.adaptor, self.config.dimensions)
        self._items = torch.from_numpy(vectors)
        self._users = torch.from_numpy(user_means(problem.train, vectors))
        with torch_seeded(trainer.rng("weights")):
            self._map = nn.Linear(vectors.shape[1], self.config.hidden_size, bias=False)
            # Cosines do not see the scale of W; it sets how far one step of Adam goes.
            nn.init.xavier_normal_(self._map.weight)
        self._item_points = None
        prepared = time.perf_counter() - began
        report = trainer.fit(
            self._map,
            self.config,
            partial(shuffled, len(problem.train.values), batch_size=self.config.batch_size),
            partial(self._loss, problem.train, problem.train.rows),
        )
        self._item_points = None
        return replace(report, seconds=report.seconds + prepared, notes=(note, *report.notes))

    def scores(self, queries: Queries, items: slice) -> Tensor:
        """Cosines float32 `[len(queries), len(items)]`.

        Raises:
            UsageError: `fit` was not called, or the queries name neither users nor what they had.
        """
        with torch.no_grad():
            return self.query_vectors(queries) @ self.item_vectors()[items].T

    def item_vectors(self) -> Tensor:
        """All items mapped to unit length, float32 `[n_items, hidden_size]`."""
        if self._item_points is None:
            with torch.no_grad():
                self._item_points = self._points(self._items)
        return self._item_points

    def query_vectors(self, queries: Queries) -> Tensor:
        """Askers mapped alike: users of the training part, else the mean of what they had.

        Raises:
            UsageError: As `scores`.
        """
        if self._map is None:
            raise UsageError("alpharec is not fitted", fix="call fit first")
        if queries.user is not None:
            means = self._users[torch.from_numpy(queries.user)]
        elif queries.history is not None:
            means = torch.from_numpy(user_means(queries.history, self._items.numpy()))
        else:
            raise UsageError(
                "alpharec knows users by their row or their items, and the queries name neither"
            )
        with torch.no_grad():
            return self._points(means)

    def _loss(self, train: Ragged, user_of: np.ndarray, pairs: np.ndarray) -> Tensor:
        self._item_points = None  # belongs to the weights before this step
        users, items = user_of[pairs], train.values[pairs]
        user_points = self._points(self._users[torch.from_numpy(users)])
        item_points = self._points(self._items[torch.from_numpy(items.astype(np.int64))])
        ignore = None
        if self.config.mask_known_positives:
            known = known_positives(train, users, items, len(self._items))
            ignore = torch.from_numpy(known).to(user_points.device)
        return in_batch_cross_entropy(user_points, item_points, self.config.temperature, ignore)

    def _points(self, vectors: Tensor) -> Tensor:
        """Vectors `[n, d]` mapped to unit length `[n, hidden_size]`; zero stays zero."""
        if self._map is None:
            raise UsageError("alpharec is not fitted", fix="call fit first")
        mapped = self._map(vectors.to(self._map.weight.device))
        return functional.normalize(mapped.float(), dim=-1)


def user_means(train: Ragged, vectors: np.ndarray) -> np.ndarray:
    """The mean vector of each user's items, float32 `[n_users, d]`; zero where there is none."""
    lengths = train.lengths
    weights = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    shape = (len(train), len(vectors))
    means = csr_array((weights, train.values, train.offsets), shape=shape) @ vectors
    return np.ascontiguousarray(means, dtype=np.float32)


def known_positives(
    train: Ragged, users: np.ndarray, items: np.ndarray, n_items: int
) -> np.ndarray:
    """Which (row, column) of a batch are training pairs, bool `[n, n]`, the diagonal left out.

    Args:
        train: Training items per user.
        users: The user of each row, `[n]`.
        items: The item of each column, `[n]`; row `i`'s own is column `i`.
        n_items: Size of the catalogue.
    """
    # Columns grouped by item: those of item v are order[begin[v] : begin[v] + count[v]].
    order = np.argsort(items, kind="stable")
    count = np.bincount(items, minlength=n_items)
    begin = np.cumsum(count) - count
    theirs = train[users]
    hits = count[theirs.values]
    inside = np.arange(hits.sum()) - np.repeat(np.cumsum(hits) - hits, hits)
    columns = order[np.repeat(begin[theirs.values], hits) + inside]
    known = np.zeros((len(users), len(items)), dtype=bool)
    known[np.repeat(theirs.rows, hits), columns] = True
    np.fill_diagonal(known, False)
    return known
