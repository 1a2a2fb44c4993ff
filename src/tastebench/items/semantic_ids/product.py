"""Product codes: a vector is cut into as many parts as there are levels, and each has a codebook.

The parts are of a rotation of the vectors in which every part has about as much to say: principal
axes dealt out so that the products of their variances are alike (Ge et al. 2013, the parametric
form of optimised product quantisation). Levels are independent: there is no coarse and fine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.errors import UsageError
from tastebench.items.semantic_ids.codebooks import scaled
from tastebench.items.semantic_ids.kmeans import Clusters, kmeans
from tastebench.items.semantic_ids.rk_means import Progress, sampled
from tastebench.items.semantic_ids.settings import ProductSettings


@dataclass(frozen=True, eq=False)
class ProductCodes:
    """A codebook for each part of a rotated vector; a `Quantiser`.

    Attributes:
        mean: Taken off first, float32 `[d]`.
        rotation: Columns are the axes, part after part; float32 `[d, d]`.
        starts: Where each part begins, and the end of the last; int64 `[levels + 1]`.
        centres: float32 `[size, d]`: each part's entries in that part's columns.
        bias: `[levels, size]`; see `kmeans.Clusters`.
        unit: Whether vectors are brought to unit length first.
    """

    mean: np.ndarray
    rotation: np.ndarray
    starts: np.ndarray
    centres: np.ndarray
    bias: np.ndarray
    unit: bool

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return (int(self.bias.shape[1]),) * len(self.bias)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return len(self.mean)

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """The codes of vectors `[n, d]`, int64 `[n, levels]`."""
        Z = self._rotated(vectors)
        levels = range(len(self.bias))
        return np.stack([self._part(j).nearest(Z[:, self._columns(j)]) for j in levels], axis=1)

    def reconstruct(self, codes: np.ndarray, levels: int | None = None) -> np.ndarray:
        """What codes stand for, by their first `levels` alone if given; float32 `[n, d]`."""
        Z = np.zeros((len(codes), self.dim), dtype=np.float32)
        for level in range(len(self.bias) if levels is None else levels):
            columns = self._columns(level)
            Z[:, columns] = self.centres[codes[:, level], columns]
        out: np.ndarray = Z @ self.rotation.T + self.mean
        return out

    def last_costs(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How far each code of the last level is off; float32 `[n, sizes[-1]]`."""
        part = self._rotated(vectors)[:, self._columns(len(self.bias) - 1)]
        out: np.ndarray = self._part(len(self.bias) - 1).distances(part)
        out += np.einsum("nd,nd->n", part, part)[:, None]
        return out

    def target(self, vectors: np.ndarray) -> np.ndarray:
        """What `reconstruct` tries to restore."""
        return scaled(vectors, self.unit)

    def tensors(self) -> dict[str, np.ndarray]:
        """All that is learned."""
        names = ("mean", "rotation", "starts", "centres", "bias")
        return {name: getattr(self, name) for name in names}

    def _rotated(self, vectors: np.ndarray) -> np.ndarray:
        out: np.ndarray = (self.target(vectors) - self.mean) @ self.rotation
        return out

    def _columns(self, level: int) -> slice:
        return slice(int(self.starts[level]), int(self.starts[level + 1]))

    def _part(self, level: int) -> Clusters:
        return Clusters(self.centres[:, self._columns(level)], self.bias[level])


def learn(
    settings: ProductSettings,
    levels: int,
    size: int,
    vectors: np.ndarray,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> tuple[ProductCodes, dict[str, Any]]:
    """Learns the codebooks from vectors `[m, d]`, and what is to be said about it.

    Raises:
        UsageError: The vectors have fewer coordinates than there are levels.
    """
    X = scaled(sampled(vectors, settings.sample, rng), settings.unit)
    d = X.shape[1]
    if d < levels:
        raise UsageError(
            f"vectors of width {d} cannot be cut into {levels} parts",
            fix=f"set levels to at most {d}, or take rk-means",
        )
    starts = np.linspace(0, d, levels + 1).astype(np.int64)
    mean = X.mean(axis=0, dtype=np.float64).astype(np.float32)
    rotation = _rotation(X - mean, np.diff(starts)) if settings.rotate else np.eye(d)
    rotation = rotation.astype(np.float32)
    Z = (X - mean) @ rotation
    centres, bias = np.zeros((size, d), dtype=np.float32), []
    curve = []
    for level in range(levels):
        columns = slice(int(starts[level]), int(starts[level + 1]))
        clusters = kmeans(
            np.ascontiguousarray(Z[:, columns]),
            size,
            rng,
            priced=settings.priced,
            iterations=settings.iterations,
            tolerance=settings.tolerance,
            balance=settings.balance,
        )
        centres[:, columns] = clusters.centres
        bias.append(clusters.bias)
        row = {"level": level + 1, "error": clusters.errors[-1]}
        curve.append({**row, "iterations": len(clusters.errors)})
        if progress is not None:
            progress(row)
    codes = ProductCodes(mean, rotation, starts, centres, np.stack(bias), settings.unit)
    return codes, {"learned_from": len(X), "curve": curve}


def restore(settings: ProductSettings, tensors: dict[str, np.ndarray]) -> ProductCodes:
    """The same codebooks from what `tensors` gave."""
    return ProductCodes(**tensors, unit=settings.unit)


def _rotation(centred: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Principal axes, dealt to the parts: the next largest to the part with the smallest product.

    Args:
        centred: `[n, d]`, mean 0.
        widths: Axes that each part takes.
    """
    X = centred.astype(np.float64)
    variance, axes = np.linalg.eigh(X.T @ X / max(len(X), 1))
    variance, axes = variance[::-1], axes[:, ::-1]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0)
    axes = axes * np.where(largest < 0, -1.0, 1.0)  # an axis has no sign of its own
    floor = max(float(variance[0]) * 1e-12, np.finfo(np.float64).tiny)
    logs = np.log(np.maximum(variance, floor)) - np.log(floor)  # above 0: more axes, more to say
    parts: list[list[int]] = [[] for _ in widths]
    said = np.zeros(len(widths))
    for axis in range(len(logs)):
        full = np.array([len(part) for part in parts]) >= widths
        part = int(np.where(full, np.inf, said).argmin())
        parts[part].append(axis)
        said[part] += logs[axis]
    return np.asarray(axes[:, [axis for part in parts for axis in part]])
