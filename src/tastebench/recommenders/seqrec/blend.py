"""Walk blend: a walk over transitions and texts, and a trained sequence model, added up.

The walk knows what followed the last items and what is like them; a sequence model knows what goes
with a history as a whole. Where the one is sure the other seldom is, so their sum finds more than
either, and how much each counts is chosen on the validation part.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, SeqProblem, Trainer
from tastebench.data.item_graph import columns
from tastebench.errors import UsageError
from tastebench.recommenders.best import best_columns
from tastebench.recommenders.seqrec.graph_walk import GraphWalk, GraphWalkConfig
from tastebench.recommenders.seqrec.sasrec import SASRecConfig, build

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WARMTH = 0.1
"""What cosines are divided by before the exponential that weighs like items."""

_AT_ONCE = 1024
_STEPS = (2.0, 1.4)  # what a weight is multiplied and divided by, first widely, then finely


class WalkBlendConfig(SASRecConfig):
    """Hyper-parameters: those of SASRec, of the walk, and how much each part counts.

    The defaults of the weights are where the search begins, and what holds where there is no
    validation part. They are relative to the walk's transitions, which count 1.
    """

    walk: GraphWalkConfig = GraphWalkConfig()
    """The walk, its weights of likeness and popularity included."""

    sequence: float = Field(0.02, ge=0)
    """Weight of the sequence model, in standard deviations of its scores for one history."""

    borrowed: float = Field(1.0, ge=0)
    """Weight of the transitions out of items that are like the last ones."""

    like_items: int = Field(20, ge=1)
    """Items that an item borrows transitions from."""

    search: int = Field(30, ge=0)
    """Validations that the search for weights may take; 0 leaves the weights as they are."""


class WalkBlend:
    r"""Three parts: a graph walk, borrowed transitions, and SASRec over ids.

    $s(j) = s_{walk}(j) + \beta \sum_l a_l \sum_i k_{li} \tilde w_{ij} + \gamma \, (m(j) - \mu) /
    \sigma$ over the last items $l$ with the walk's weights $a_l$ and its damped transitions $\tilde
    w$. $k_{li}$ is a softmax over the `like_items` items most like $l$, of their cosines divided by
    0.1: what followed an item that is like this one may follow it too. $m$ are SASRec's scores,
    with mean $\mu$ and deviation $\sigma$ over all items for one history.

    SASRec is fitted first, stopped by its own validation. Then the weights of likeness, borrowing
    and SASRec are searched one after the other on the validation part: multiplied or divided by 2,
    then by 1.4, as long as the metric rises, and left out where that is no worse. The search is the
    same at every call; finding like items grows with the square of the catalogue.
    """

    def __init__(self, config: WalkBlendConfig) -> None:
        self.config = config
        self.weights = {
            "likeness": config.walk.similarity,
            "borrowed": config.borrowed,
            "sequence": config.sequence,
        }
        self._sequence: Any = build(config)
        self._walk = GraphWalk(config.walk)
        self._like: csr_matrix | None = None
        self._alone = False

    def fit(self, problem: SeqProblem, items: Items, trainer: Trainer) -> FitReport:
        """Counts transitions, trains SASRec, searches the weights.

        Raises:
            UsageError: The items have no vectors, or no sequence has two items.
            DataError: A vector holds NaN or infinity.
        """
        began = time.perf_counter()
        if items.vector is None:
            raise UsageError(
                "walk-blend needs item vectors, and the items have none",
                fix="representations: [id+vector], and an encoder",
            )
        walked = self._walk.fit(problem, items, trainer)
        self._like = like_items(self._walk.unit, self.config.like_items)
        prepared = time.perf_counter() - began
        self._alone = True
        report: FitReport = self._sequence.fit(problem, items, trainer)
        self._alone = False
        began = time.perf_counter()
        notes = self._search(trainer.validate)
        return replace(
            report,
            parameters=report.parameters + walked.parameters + self._like.nnz,
            seconds=report.seconds + prepared + time.perf_counter() - began,
            notes=(*report.notes, *walked.notes, *notes),
        )

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Scores float32 `[n, len(items)]`; while SASRec is trained, its own.

        Raises:
            UsageError: The queries hold no histories.
        """
        if self._alone:
            return _array(self._sequence.scores(queries, items))
        history, weights = self._walk.history(queries), self.weights
        result = self._walk.added_up(history, items, weights["likeness"])
        apart = self._walk.range(weights["likeness"])
        if weights["borrowed"]:
            edges = columns(self._walk.edges, items)
            borrowed = self._walk.standing(history) @ self._like @ edges
            result += weights["borrowed"] * borrowed.toarray()
            apart += weights["borrowed"] * float(self._walk.edges.data.max(initial=0.0))
        if weights["sequence"]:
            result += weights["sequence"] * self._standardised(queries, items)
            # No number lies further from the mean of n than sqrt(n) deviations.
            apart += weights["sequence"] * 2 * math.sqrt(self._walk.edges.shape[0])
        return self._walk.repeats_last(result, history, items, apart)

    def _standardised(self, queries: Queries, items: slice) -> np.ndarray:
        """SASRec's scores in deviations from their mean over all items; 0 where all are equal."""
        scores = _array(self._sequence.scores(queries, items))
        mean, deviation = self._moments(queries, scores, items)
        centred: np.ndarray = scores - mean[:, None]
        scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
        centred *= scale[:, None]
        return centred

    def _moments(
        self, queries: Queries, scores: np.ndarray, items: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each query's scores over all items, float32 `[n]` each."""
        n, width = self._walk.edges.shape[0], max(items.stop - items.start, 1)
        total = np.zeros((2, len(queries)))
        for begin in range(0, n, width):
            part = slice(begin, min(begin + width, n))
            one = scores if part == items else _array(self._sequence.scores(queries, part))
            total[0] += one.sum(axis=1, dtype=np.float64)
            total[1] += np.einsum("nj,nj->n", one, one, dtype=np.float64)
        mean = total[0] / n
        # What rounding leaves of equal scores is no deviation.
        square = np.maximum(total[1] / n, 1e-30)
        variance = square - mean**2
        variance[variance < 1e-9 * square] = 0
        return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)

    def _search(self, validate: Callable[[], float] | None) -> tuple[str, ...]:
        """Sets the weights; what the record should say of it."""
        if validate is None or not self.config.search:
            return (f"weights as they were given: {self._told()}",)
        search = _Search(self.weights, validate, self.config.search)
        first = search.value
        for step in _STEPS:
            for name in self.weights:
                search.climb(name, step)
        for name in self.weights:
            search.keeps(name, 0.0, enough=search.value)
        return (
            f"weights: {self._told()}; validation {first:.4f} before and {search.value:.4f} after "
            f"{self.config.search - search.left} tries",
        )

    def _told(self) -> str:
        return ", ".join(f"{name} {weight:.3g}" for name, weight in self.weights.items())


class _Search:
    """Weights, one after the other, by what they do to a number; higher is better.

    Attributes:
        weights: What is changed in place; the best found so far.
        value: The number with them.
        left: Tries that are left.
    """

    def __init__(self, weights: dict[str, float], validate: Callable[[], float], tries: int):
        self.weights = weights
        self.left = tries - 1
        self._validate = validate
        self.value = validate()

    def climb(self, name: str, step: float) -> None:
        """Multiplies a weight as long as the number rises; divides it where that does not help."""
        for factor in (step, 1 / step):
            moved = False
            while self.weights[name] and self.keeps(name, self.weights[name] * factor):
                moved = True
            if moved:
                return

    def keeps(self, name: str, weight: float, enough: float | None = None) -> bool:
        """Tries a weight and keeps it if the number rises, or reaches `enough`."""
        if self.left <= 0 or weight == self.weights[name]:
            return False
        self.left -= 1
        before, self.weights[name] = self.weights[name], weight
        value = self._validate()
        if value > self.value or (enough is not None and value >= enough):
            self.value = value
            return True
        self.weights[name] = before
        return False


def like_items(unit: np.ndarray, k: int) -> csr_matrix:
    """How much an item borrows from those most like it, float32 `[n, n]`; rows add up to 1.

    Args:
        unit: Vectors at unit length, `[n, d]`.
        k: Items that an item borrows from, never itself; equally like ones by index.
    """
    from scipy.sparse import csr_matrix

    n = len(unit)
    k = min(k, n - 1)
    if k == 0:
        return csr_matrix((n, n), dtype=np.float32)
    nearest = np.empty((n, k), np.int64)
    weight = np.empty((n, k), np.float32)
    for begin in range(0, n, _AT_ONCE):
        part = slice(begin, min(begin + _AT_ONCE, n))
        cosine = unit[part] @ unit.T
        row = np.arange(len(cosine))
        cosine[row, row + begin] = -2  # below any cosine
        nearest[part] = best_columns(cosine, k)
        near = np.take_along_axis(cosine, nearest[part], axis=1)
        near = np.exp((near - near[:, :1]) / WARMTH)
        weight[part] = near / near.sum(axis=1, keepdims=True)
    offsets = np.arange(0, n * k + 1, k)
    return csr_matrix((weight.ravel(), nearest.ravel(), offsets), shape=(n, n))


def _array(scores: Any) -> np.ndarray:
    """Scores of a network as an array."""
    array: np.ndarray = scores.detach().float().cpu().numpy()
    return array


CARD = RecommenderCard(
    name="walk-blend",
    summary="graph-walk and SASRec added up, with weights chosen on the validation part",
    tasks=("seqrec",),
    representations=("id+vector",),
    config=WalkBlendConfig,
    build=WalkBlend,
)
