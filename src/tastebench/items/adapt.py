"""Vectors of any width to vectors of one width, so that a recommender sees encoders alike.

PCA whitening: with X the `[n, d]` vectors of all items, mu their mean and X - mu = U S V^T, the
result is (X - mu) V_k / sqrt(lambda_k) with lambda = S^2 / (n - 1): zero mean, identity covariance
(ddof = 1), `k` columns. It is exact, not randomised, and fails rather than returning something else
when the vectors do not have `k` directions.

Truncation: the first `k` coordinates, then unit length again. It means something only for models
trained so that a prefix of a vector is a vector (Matryoshka, arXiv 2205.13147), hence `nested`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tastebench.errors import DataError, UsageError

Adaptor = Literal["pca", "mrl", "none"]

_CHUNK = 65536


@dataclass(frozen=True, eq=False)
class Whitened:
    """Whitened vectors and the map that made them.

    Attributes:
        values: float32 `[n, k]`: zero mean, identity covariance.
        mean: float64 `[d]`.
        components: Orthonormal columns, largest variance first, the largest entry of each positive;
            float64 `[d, k]`.
        variance: Along each component, ddof = 1; float64 `[k]`.
    """

    values: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    variance: np.ndarray

    def transform(self, X: np.ndarray) -> np.ndarray:
        """The same map for other vectors `[m, d]`, float32 `[m, k]`."""
        centred = np.asarray(X, dtype=np.float64) - self.mean
        white: np.ndarray = centred @ (self.components / np.sqrt(self.variance))
        return white.astype(np.float32)


def pca_whiten(X: np.ndarray, width: int) -> Whitened:
    """Whitens vectors onto their `width` leading principal components.

    Args:
        X: Vectors of all items, `[n, d]`; read in chunks, so it may be memory-mapped.
        width: Columns of the result, at most `min(n, d)`.

    Raises:
        UsageError: `width` is not between 1 and `min(n, d)`.
        DataError: The vectors vary in fewer than `width` directions.
    """
    n, d = X.shape
    if not 1 <= width <= min(n, d):
        raise UsageError(
            f"PCA cannot make width {width} of {n} vectors of width {d}",
            fix=f"choose a width from 1 to {min(n, d)}, or no adaptor",
        )
    mean = sum((chunk.sum(axis=0) for chunk in _chunks(X)), np.zeros(d)) / n
    variance, components = _principal(X, mean)
    rank = int((variance > _noise(X, mean, variance)).sum())
    if rank < width:
        raise DataError(
            f"the vectors vary in {rank} directions, fewer than the width {width} asked for",
            where=f"{n} vectors of width {d}",
            fix=f"choose a width of at most {rank}; many equal texts are a common cause"
            if rank
            else "all vectors are equal: check the item texts",
        )
    variance, components = variance[:width], _fix_signs(components[:, :width])
    whitened = Whitened(np.empty((n, width), dtype=np.float32), mean, components, variance)
    for start, chunk in zip(range(0, n, _CHUNK), _chunks(X), strict=True):
        whitened.values[start : start + _CHUNK] = whitened.transform(chunk)
    return whitened


def _chunks(X: np.ndarray) -> Iterator[np.ndarray]:
    return (X[i : i + _CHUNK].astype(np.float64) for i in range(0, len(X), _CHUNK))


def _principal(X: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Variances (descending) and components, of which there are min(n, d)."""
    n, d = X.shape
    if n < d:
        # Fewer items than dimensions: the thin SVD is smaller than the covariance.
        _, singular, axes = np.linalg.svd(X.astype(np.float64) - mean, full_matrices=False)
        return singular**2 / max(n - 1, 1), axes.T
    scatter = np.zeros((d, d))
    for chunk in _chunks(X):
        centred = chunk - mean
        scatter += centred.T @ centred
    variance, components = np.linalg.eigh(scatter / max(n - 1, 1))
    return variance[::-1], components[:, ::-1]


def _noise(X: np.ndarray, mean: np.ndarray, variance: np.ndarray) -> float:
    """The variance that rounding alone makes: of the input's digits, and of the computation."""
    size = float(variance.clip(0).sum() + mean @ mean)
    rounding = np.finfo(X.dtype).eps if X.dtype.kind == "f" else 0.0
    return size * max(float(rounding) ** 2, float(np.finfo(np.float64).eps))


def _fix_signs(components: np.ndarray) -> np.ndarray:
    # A component's sign is arbitrary: its largest entry shall be positive.
    largest = np.take_along_axis(components, np.abs(components).argmax(axis=0)[None], axis=0)
    signed: np.ndarray = components * np.where(largest < 0, -1.0, 1.0)
    return signed


def mrl_truncate(X: np.ndarray, width: int, *, nested: bool) -> np.ndarray:
    """The first `width` coordinates at unit length, float32 `[n, width]`; zero rows stay zero.

    Args:
        X: Vectors `[n, d]`.
        width: Coordinates to keep.
        nested: What the encoder's card says; truncation is refused for other models.

    Raises:
        UsageError: The model is not nested, or `width` is not between 1 and `d`.
    """
    if not nested:
        raise UsageError(
            "truncating vectors is meaningless for this encoder: it was not trained with nested "
            "dimensions",
            fix="use the pca adaptor",
        )
    if not 1 <= width <= X.shape[1]:
        raise UsageError(
            f"cannot keep {width} of {X.shape[1]} coordinates",
            fix=f"choose a width from 1 to {X.shape[1]}",
        )
    cut = np.asarray(X[:, :width], dtype=np.float32)
    norms = np.linalg.norm(cut, axis=1, keepdims=True)
    out: np.ndarray = cut / np.where(norms > 0, norms, 1)
    return out


def adapt(X: np.ndarray, how: Adaptor, width: int, nested: bool = False) -> np.ndarray:
    """Vectors `[n, d]` to float32 `[n, width]`; `none` leaves the width as it is.

    Raises:
        UsageError: No such adaptor, or it cannot make this width of these vectors.
        DataError: The vectors vary in fewer than `width` directions.
    """
    if how == "pca":
        return pca_whiten(X, width).values
    if how == "mrl":
        return mrl_truncate(X, width, nested=nested)
    if how == "none":
        return np.asarray(X, dtype=np.float32)
    raise UsageError(f"unknown adaptor {how!r}", fix="pca, mrl or none")
