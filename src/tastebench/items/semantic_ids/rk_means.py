"""Residual k-means: k-means on the vectors, then on what it left over, and so on.

Training-free in the sense that there is no network: the codebooks of an RQ-VAE whose encoder and
decoder are the identity. Each level is clustered to the end before the next is begun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.items.semantic_ids.codebooks import ResidualCodebooks, scaled
from tastebench.items.semantic_ids.kmeans import kmeans
from tastebench.items.semantic_ids.settings import KMeansSettings

Progress = Callable[[dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class ResidualKMeans:
    """Residual codebooks over the vectors themselves; a `Quantiser`.

    Attributes:
        books: The codebooks.
        unit: Whether vectors are brought to unit length first.
    """

    books: ResidualCodebooks
    unit: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return self.books.sizes

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.books.centres.shape[2])

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """The codes of vectors `[n, d]`, int64 `[n, levels]`."""
        return self.books.assign(self.target(vectors))

    def reconstruct(self, codes: np.ndarray, levels: int | None = None) -> np.ndarray:
        """What codes stand for, by their first `levels` alone if given; float32 `[n, d]`."""
        return self.books.decode(codes, levels)

    def last_costs(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How far each code of the last level is off; float32 `[n, sizes[-1]]`."""
        return self.books.last_costs(self.target(vectors), codes)

    def target(self, vectors: np.ndarray) -> np.ndarray:
        """What `reconstruct` tries to restore."""
        return scaled(vectors, self.unit)

    def tensors(self) -> dict[str, np.ndarray]:
        """All that is learned."""
        return self.books.tensors()


def learn(
    settings: KMeansSettings,
    levels: int,
    size: int,
    vectors: np.ndarray,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[ResidualKMeans, dict[str, Any]]:
    """Learns the codebooks from vectors `[m, d]`, and what is to be said about it."""
    left = scaled(sampled(vectors, settings.sample, rng), settings.unit)
    n = len(left)
    found = []
    for level in range(levels):
        clusters = kmeans(
            left,
            size,
            rng,
            priced=settings.priced,
            iterations=settings.iterations,
            tolerance=settings.tolerance,
            balance=settings.balance,
        )
        found.append(clusters)
        if progress is not None:
            progress({"level": level + 1, "error": clusters.errors[-1]})
        left -= clusters.centres[clusters.nearest(left)]
    books = ResidualCodebooks(
        np.stack([one.centres for one in found]), np.stack([one.bias for one in found])
    )
    curve = [
        {"level": level + 1, "iterations": len(one.errors), "error": one.errors[-1]}
        for level, one in enumerate(found)
    ]
    return ResidualKMeans(books, settings.unit), {"learned_from": n, "curve": curve}


def sampled(vectors: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most that many of the rows, in their order."""
    if len(vectors) <= most:
        return vectors
    return vectors[np.sort(rng.choice(len(vectors), most, replace=False))]


def restore(settings: KMeansSettings, tensors: dict[str, np.ndarray]) -> ResidualKMeans:
    """The same codebooks from what `tensors` gave."""
    return ResidualKMeans(ResidualCodebooks(tensors["centres"], tensors["bias"]), settings.unit)
