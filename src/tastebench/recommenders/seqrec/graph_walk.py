"""Graph walk: what followed the last items in training, and what their texts are like.

Nothing is trained. Where a sequence model does not beat it, the data did not ask for one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, SeqProblem, Trainer
from tastebench.data.item_graph import (
    columns,
    damped,
    standing,
    takes_again,
    transitions,
)
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class GraphWalkConfig(BaseModel):
    """Hyper-parameters; the defaults were chosen on the validation part of Amazon 2014 Beauty."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    distance: int = Field(3, ge=1)
    """Events that two items of a training sequence may lie apart to be joined by an edge."""

    decay: float = Field(0.7, gt=0, le=1)
    """What an edge's weight is multiplied by for each event further apart."""

    backward: float = Field(0.3, ge=0)
    """What a transition counts in the opposite direction; 0 walks forwards only."""

    damping: float = Field(0.5, ge=0, le=1)
    """Power of the sum of an item's edges that divides them: 0 counts, 1 makes probabilities."""

    last_items: int = Field(5, ge=1)
    """Items at the end of a history that the walk starts from."""

    recency: float = Field(0.5, gt=0, le=1)
    """What a start counts for each item after it."""

    similarity: float = Field(0.5, ge=0)
    """Weight of the cosine of item vectors; without vectors it counts nothing."""

    popularity: float = Field(0.01, ge=0)
    """Weight of an item's share of the most popular one's training events: orders the unreached."""

    repeats: Literal["auto", "yes", "no"] = "auto"
    """Whether an item of the history can come next; `no` puts these last.

    `auto` is no where no training sequence holds an item twice.
    """


class GraphWalk:
    r"""Transitions out of the last items, the cosine to them, and a little popularity.

    $s(j) = \sum_l a_l \left( \frac{w_{lj}}{(\sum_k w_{lk})^p} + \lambda \cos(l, j) \right) + \pi
    \frac{c_j}{\max_k c_k}$ over the last items $l$ of a history with weights $a_l$ that fall by the
    factor `recency` and add up to 1; $w$ as in `item_graph.transitions`, $c$ training counts. An
    item's cosine to itself is left out. Items that no edge leads to are ranked by the other terms,
    and an empty history by popularity alone.

    The published heuristic takes candidates from a few hops around the last one or two items and
    ranks them by features. Here hops are events apart within a sequence, edges have weights that
    count for the ranking, and every item has a score.
    """

    def __init__(self, config: GraphWalkConfig) -> None:
        self.config = config
        self._edges: csr_matrix | None = None
        self._unit: np.ndarray | None = None
        self._popular = np.empty(0, np.float32)
        self._repeats = True

    @property
    def edges(self) -> csr_matrix:
        """Damped transitions, float32 `[n_items, n_items]`."""
        assert self._edges is not None, "fit first"
        return self._edges

    @property
    def unit(self) -> np.ndarray:
        """Item vectors at unit length, float32 `[n_items, d]`."""
        assert self._unit is not None, "fit on items with vectors first"
        return self._unit

    def fit(self, problem: SeqProblem, items: Items, trainer: Trainer) -> FitReport:
        """Counts transitions.

        Raises:
            UsageError: The representation asks for vectors and there are none.
            DataError: A vector holds NaN or infinity.
        """
        start = time.perf_counter()
        config, n = self.config, problem.n_items
        edges = transitions(
            problem.train,
            n,
            distance=config.distance,
            decay=config.decay,
            backward=config.backward,
        )
        self._edges = damped(edges, config.damping)
        self._unit = unit_vectors(items)
        count = np.bincount(problem.train.values, minlength=n).astype(np.float32)
        self._popular = config.popularity * count / max(count.max(initial=0.0), 1.0)
        again = takes_again(problem.train, n)
        self._repeats = again if config.repeats == "auto" else config.repeats == "yes"
        sizes = edges.nnz / max(n, 1)
        notes = [f"{edges.nnz:,} edges, {sizes:.1f} an item"]
        if not self._repeats:
            notes.append("items of the history are put last")
        seconds = time.perf_counter() - start
        return FitReport(parameters=int(edges.nnz), seconds=seconds, notes=tuple(notes))

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Scores float32 `[n, len(items)]`.

        Raises:
            UsageError: The queries hold no histories.
        """
        history = self.history(queries)
        scores = self.added_up(history, items, self.config.similarity)
        return self.repeats_last(scores, history, items, self.range(self.config.similarity))

    def history(self, queries: Queries) -> Ragged:
        """What is asked from.

        Raises:
            UsageError: The queries hold no histories.
        """
        if queries.history is None:
            raise UsageError("a walk needs histories to say what comes next")
        return queries.history

    def standing(self, history: Ragged) -> csr_matrix:
        """What each of the last items of a history counts, float32 `[n, n_items]`."""
        last, recency = self.config.last_items, self.config.recency
        return standing(history, self.edges.shape[0], last=last, recency=recency)

    def added_up(self, history: Ragged, items: slice, similarity: float) -> np.ndarray:
        """The formula, whatever was taken before, float32 `[n, len(items)]`."""
        start = self.standing(history)
        result: np.ndarray = (start @ columns(self.edges, items)).toarray()
        if self._unit is not None and similarity:
            result += similarity * likeness(start, self._unit, items)
        result += self._popular[items]
        return result

    def range(self, similarity: float) -> float:
        """No two results of the formula lie further apart."""
        heaviest = float(self.edges.data.max(initial=0.0))
        return heaviest + 2 * similarity + self.config.popularity

    def repeats_last(
        self, scores: np.ndarray, history: Ragged, items: slice, apart: float
    ) -> np.ndarray:
        """The scores, with items that cannot come again below all others.

        Args:
            scores: Float32 `[n, len(items)]`, changed in place.
            history: What was taken before.
            items: Which items.
            apart: No two scores lie further apart.
        """
        if self._repeats:
            return scores
        inside = (history.values >= items.start) & (history.values < items.stop)
        at = history.rows[inside], history.values[inside] - items.start
        scores[at] = scores[at] - (apart + 1)  # once, however often it is there
        return scores


def unit_vectors(items: Items) -> np.ndarray | None:
    """The vectors at unit length, float32 `[n, d]`, zero ones as they are; None without vectors.

    Raises:
        UsageError: The representation asks for vectors and there are none.
        DataError: A vector holds NaN or infinity.
    """
    if items.vector is None:
        if "vector" in items.forms:
            raise UsageError("the items have no vectors", fix="name an encoder")
        return None
    length = np.linalg.norm(items.vector, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(length[:, 0]))
    if len(bad):
        raise DataError(
            f"the vector of item {bad[0]} is not finite ({len(bad):,} such items)",
            fix="encode again, in a wider number format",
        )
    unit = np.zeros(items.vector.shape, dtype=np.float32)
    np.divide(items.vector, length, out=unit, where=length > 0)
    return unit


def likeness(start: csr_matrix, unit: np.ndarray, items: slice) -> np.ndarray:
    """The mean cosine to where an asker stands, float32 `[n, len(items)]`.

    An item is not compared with itself: that it is like itself says nothing of what comes next.

    Args:
        start: As `standing` makes it.
        unit: Vectors at unit length.
        items: Which items.
    """
    near: np.ndarray = np.asarray(start @ unit) @ unit[items].T
    itself = columns(start, items).tocoo()
    own = np.einsum("id,id->i", unit, unit)[itself.col + items.start]
    near[itself.row, itself.col] -= itself.data * own
    return near


CARD = RecommenderCard(
    name="graph-walk",
    summary="what followed the last items in training, and cosine to them; nothing is trained",
    tasks=("seqrec",),
    representations=("vector", "id"),
    config=GraphWalkConfig,
    build=GraphWalk,
    citation="after An Embarrassingly Simple Graph Heuristic Reveals Shortcut-Solvable Benchmarks "
    "for Sequential Recommendation",
)
