"""K-means for codebooks: codes that are used alike, a low error, and the same codes for a seed.

Lloyd's iterations from k-means++ starts leave far-off rows with centres of their own and the bulk
with a few, the more so the later the residual. Here the first iterations put prices on centres, by
Sinkhorn's rounds of optimal transport with falling entropy: what is asked for more than its share
becomes dearer. Then the prices are dropped and Lloyd's iterations go on to the end, unless they had
come to a lower error without prices, as they do where clusters are few, clear and of any size.

On 12,101 MiniLM vectors and four levels of 256 that leaves 26.3 % of the squared length unexplained
where scikit-learn's k-means leaves 27.8 % and faiss 29.7 %, and every level's perplexity is above
230 where theirs falls below 100. Nothing but matrix products is threaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

_CELLS = 1 << 22
"""Distances held at once: 16 MB."""

_STARTS = 16
"""Rows a centre that k-means++ draws from."""

_PRICED = 64
"""Rows a centre that prices are found on."""

_ENTROPY = (1.0, 0.1)
"""Of the first and last iteration with prices, in units of the mean squared distance."""

_MORE = 3
"""Iterations without prices before both starts are compared."""

_TURNS, _ROUNDS = 3, 20
"""In which clusters are balanced."""


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
        parts = [to.argmin(axis=1) for _, to in self.blocks(X)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def blocks(self, X: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """The distances of some rows after the other."""
        step = max(1, _CELLS // len(self.centres))
        for begin in range(0, len(X), step):
            rows = slice(begin, begin + step)
            yield rows, self.distances(X[rows])


def kmeans(
    X: np.ndarray,
    size: int,
    rng: np.random.Generator,
    *,
    priced: int = 10,
    iterations: int = 50,
    tolerance: float = 1e-4,
    balance: bool = False,
) -> Clusters:
    """Clusters rows by squared distance.

    Args:
        X: float32 `[n, d]`, n at least 1.
        size: Clusters; where there are fewer distinct rows, the rest stays empty.
        rng: For the start.
        priced: Iterations with prices; 0 begins without.
        iterations: At most so many after them.
        tolerance: Ends when an iteration changes the error by no more than this share of it.
        balance: Puts prices on the centres in the end, by which clusters are about equally large.
    """
    squares = _squares(X)
    some = _some(len(X), _PRICED * size, rng)
    X_some, squares_some = X[some], squares[some]
    clusters = _started(X_some, squares_some, size, rng, priced)
    clusters = _lloyd(X, squares, clusters, iterations, tolerance)
    if balance:
        entropy = _ENTROPY[1] * clusters.errors[-1]
        even = _balanced(X_some, squares_some, clusters, entropy)
        clusters = Clusters(even.centres, even.bias, clusters.errors)
    return Clusters(clusters.centres, clusters.bias.astype(np.float32), clusters.errors)


def _started(
    X: np.ndarray, squares: np.ndarray, size: int, rng: np.random.Generator, priced: int
) -> Clusters:
    """Centres to begin with: the better ones of those with prices for a while, and without."""
    seeds = _seeded(X, squares, size, rng)
    if priced == 0:
        return seeds
    even = _annealed(X, squares, seeds, np.geomspace(*_ENTROPY, priced))
    even = Clusters(even.centres, np.where(np.isinf(even.bias), np.inf, 0))
    even = _lloyd(X, squares, even, _MORE, 0)
    plain = _lloyd(X, squares, seeds, priced + _MORE, 0)
    return even if even.errors[-1] <= plain.errors[-1] else plain


def _lloyd(
    X: np.ndarray, squares: np.ndarray, clusters: Clusters, iterations: int, tolerance: float
) -> Clusters:
    """Lloyd's iterations until one changes the error by no more than a share of it."""
    errors: list[float] = []
    for _ in range(iterations):
        owner, distance = _assign(X, squares, clusters)
        errors.append(float(distance.mean(dtype=np.float64)))
        clusters = _recentred(X, owner, distance, clusters)
        if len(errors) > 1 and abs(errors[-2] - errors[-1]) <= tolerance * errors[-2]:
            break
    return Clusters(clusters.centres, clusters.bias, tuple(errors))


def _squares(X: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("nd,nd->n", X, X)
    return squares


def _some(n: int, most: int, rng: np.random.Generator) -> slice | np.ndarray:
    """All rows, or at most so many."""
    return slice(None) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _seeded(X: np.ndarray, squares: np.ndarray, size: int, rng: np.random.Generator) -> Clusters:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): the best of a few draws every time.

    Each next centre is drawn with probability proportional to the squared distance to the nearest
    so far; it ends early when no row has a distance left.
    """
    some = _some(len(X), _STARTS * size, rng)
    X, squares = X[some], squares[some]
    draws = 2 + int(np.log(size))
    chosen = [int(rng.integers(len(X)))]
    left = _distance_to(X, squares, np.array(chosen))[:, 0]
    while len(chosen) < size:
        total = np.cumsum(left, dtype=np.float64)
        if not total[-1] > 0:
            break
        points = np.searchsorted(total, rng.random(draws) * total[-1], side="right")
        drawn = np.minimum(points, len(X) - 1)
        closer = np.minimum(_distance_to(X, squares, drawn), left[:, None])
        best = int(closer.sum(axis=0, dtype=np.float64).argmin())
        chosen.append(int(drawn[best]))
        left = closer[:, best]
    centres = np.zeros((size, X.shape[1]), dtype=np.float32)
    centres[: len(chosen)] = X[chosen]
    return Clusters(centres, np.where(np.arange(size) < len(chosen), 0, np.inf))


def _distance_to(X: np.ndarray, squares: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Squared distances of all rows to some of them, `[n, len(rows)]`."""
    out: np.ndarray = X @ (-2 * X[rows].T)
    out += squares[:, None]
    out += squares[rows]
    # What rounding leaves of no distance at all is none: equal rows would be drawn for ever.
    out[out <= _rounding(squares)] = 0
    return out


def _rounding(squares: np.ndarray) -> float:
    return float(squares.max(initial=0.0)) * 16 * float(np.finfo(np.float32).eps)


def _annealed(
    X: np.ndarray, squares: np.ndarray, clusters: Clusters, entropies: np.ndarray
) -> Clusters:
    """Lloyd's iterations with prices, at each of some entropies in turn."""
    spread = float(_assign(X, squares, clusters)[1].mean(dtype=np.float64))
    for entropy in entropies:
        clusters = _repriced(X, clusters, float(entropy) * spread)
        owner, distance = _assign(X, squares, clusters)
        spread = float(distance.mean(dtype=np.float64))
        clusters = _recentred(X, owner, distance, clusters)
    return clusters


def _repriced(X: np.ndarray, clusters: Clusters, entropy: float) -> Clusters:
    """Prices after one of Sinkhorn's rounds: more for what more than its share is asked for."""
    if not entropy > 0:  # every row is at its centre: there is nothing to deal out
        return clusters
    alive = np.isfinite(clusters.bias)
    asked = np.zeros(len(alive))
    for _, to in clusters.blocks(X):
        share = np.exp((to - to.min(axis=1, keepdims=True)) / -entropy)
        asked += (1 / share.sum(axis=1)) @ share
    fair = len(X) / alive.sum()
    bias = clusters.bias.astype(np.float64)
    bias[alive] += entropy * np.log(np.maximum(asked[alive] / fair, 1e-9))
    return Clusters(clusters.centres, bias - bias.min())


def _balanced(X: np.ndarray, squares: np.ndarray, clusters: Clusters, entropy: float) -> Clusters:
    """Prices to the end of Sinkhorn's rounds, then centres by them, in turns."""
    for turn in range(_TURNS):
        if turn:
            clusters = _recentred(X, *_assign(X, squares, clusters), clusters)
        for _ in range(_ROUNDS):
            clusters = _repriced(X, clusters, entropy)
    return clusters


def _assign(
    X: np.ndarray, squares: np.ndarray, clusters: Clusters
) -> tuple[np.ndarray, np.ndarray]:
    """The centre of each row, and the squared distance to it."""
    owner = np.empty(len(X), dtype=np.int64)
    distance = np.empty(len(X), dtype=np.float64)
    for rows, to in clusters.blocks(X):
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
        _, first = np.unique(X[worst], axis=0, return_index=True)
        far = distance[worst[first]] > _rounding(_squares(X[worst]))
        worst = worst[np.sort(first[far])]
        taken, unused = empty[: len(worst)], empty[len(worst) :]
        centres[taken], bias[taken] = X[worst], 0
        centres[unused], bias[unused] = 0, np.inf
    return Clusters(centres, bias)
