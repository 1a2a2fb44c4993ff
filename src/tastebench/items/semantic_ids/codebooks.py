"""Codebooks: what vectors are turned into codes by, and what both directions have in common.

Residual codebooks (Juang and Gray 1982): with r_1 = x, code c_j is the nearest entry of codebook j
to r_j, and r_{j+1} = r_j - e_j(c_j); x is about the sum of the entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tastebench.errors import DataError
from tastebench.items.semantic_ids.kmeans import Clusters

CHUNK = 65536
"""Rows that are worked on at once."""


@runtime_checkable
class Quantiser(Protocol):
    """Turns any item's vector into codes; learned once, from all or some of the items."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        ...

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        ...

    def assign(self, vectors: np.ndarray) -> np.ndarray:
        """The codes of vectors `[n, d]`, int64 `[n, levels]`."""
        ...

    def reconstruct(self, codes: np.ndarray, levels: int | None = None) -> np.ndarray:
        """What codes stand for, by their first `levels` alone if given; float32 `[n, d]`."""
        ...

    def last_costs(self, vectors: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """How far each code of the last level is off, given the codes before it.

        Smaller is nearer; comparable within a row. float32 `[n, sizes[-1]]`.
        """
        ...

    def target(self, vectors: np.ndarray) -> np.ndarray:
        """What `reconstruct` tries to restore: the vectors, at unit length if it says so."""
        ...

    def tensors(self) -> dict[str, np.ndarray]:
        """All that is learned."""
        ...


def checked(vectors: np.ndarray, *, dim: int | None = None, some: bool = False) -> np.ndarray:
    """The vectors, if codes can be made of them.

    Raises:
        DataError: They are no matrix, have another width than `dim`, hold what is no number, or
            there are none where `some` are needed.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise DataError(
            f"item vectors have the shape {vectors.shape}, not [n, d]",
            fix="give a matrix with a row an item",
        )
    if some and len(vectors) == 0:
        raise DataError(
            "there are no item vectors to learn codebooks from",
            fix="check the items that codes are learned from: none of them has a vector",
        )
    if dim is not None and vectors.shape[1] != dim:
        raise DataError(
            f"the vectors have width {vectors.shape[1]}, the codebooks {dim}",
            fix="make the vectors by the encoder that the codes were made with",
        )
    for begin in range(0, len(vectors), CHUNK):
        wrong = ~np.isfinite(vectors[begin : begin + CHUNK]).all(axis=1)
        if wrong.any():
            row = begin + int(wrong.argmax())
            kind = "NaN" if np.isnan(vectors[row]).any() else "infinite values"
            raise DataError(
                f"the vector of an item holds {kind}: it has no codes",
                where=f"row {row} of {len(vectors)}",
                fix="look at that item's text and at the encoder's precision",
            )
    return vectors


def scaled(vectors: np.ndarray, unit: bool) -> np.ndarray:
    """Float32 vectors, at unit length if asked; zero vectors stay zero.

    Raises:
        DataError: They keep their length, and distances between them are no float32.
    """
    if not unit:
        _refuse_long(vectors)
        return np.array(vectors, dtype=np.float32)
    out = np.empty(vectors.shape, dtype=np.float32)
    for begin in range(0, len(vectors), CHUNK):
        X: npt.NDArray[np.float64] = vectors[begin : begin + CHUNK].astype(np.float64)
        # First by the largest entry, so that no square over- or underflows.
        X /= _or_one(np.abs(X).max(axis=1, keepdims=True))
        X /= _or_one(np.linalg.norm(X, axis=1, keepdims=True))
        out[begin : begin + CHUNK] = X
    return out


def _refuse_long(vectors: np.ndarray) -> None:
    """Distances are sums of squares of differences: entries must leave room for them."""
    longest = float(np.sqrt(np.finfo(np.float32).max / (4 * vectors.shape[1])))
    largest = max(float(vectors.max(initial=0)), -float(vectors.min(initial=0)))
    if largest > longest:
        raise DataError(
            f"the vectors hold {largest:.3g}: squared distances between them overflow",
            fix="leave unit at true, which brings vectors to unit length, or scale them down",
        )


def _or_one(sizes: np.ndarray) -> np.ndarray:
    return np.where(sizes > 0, sizes, 1)


@dataclass(frozen=True, eq=False)
class ResidualCodebooks:
    """Codebooks one after the other, each for what those before it left over.

    Attributes:
        centres: float32 `[levels, size, d]`.
        bias: Added to the squared distance, `[levels, size]`; see `kmeans.Clusters`.
    """

    centres: np.ndarray
    bias: np.ndarray

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each level."""
        return (int(self.centres.shape[1]),) * len(self.centres)

    def level(self, level: int) -> Clusters:
        """One of the codebooks."""
        return Clusters(self.centres[level], self.bias[level])

    def assign(self, X: np.ndarray) -> np.ndarray:
        """Codes of float32 rows, int64 `[n, levels]`."""
        codes = np.empty((len(X), len(self.centres)), dtype=np.int64)
        left = X.copy()
        for level in range(len(self.centres)):
            codes[:, level] = self.level(level).nearest(left)
            left -= self.centres[level][codes[:, level]]
        return codes

    def decode(self, codes: np.ndarray, levels: int | None = None) -> np.ndarray:
        """Sums of the entries of the first `levels` codes, float32 `[n, d]`."""
        out = np.zeros((len(codes), self.centres.shape[2]), dtype=np.float32)
        for level in range(len(self.centres) if levels is None else levels):
            out += self.centres[level][codes[:, level]]
        return out

    def last_costs(self, X: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Squared distances to the last level's entries, plus bias; float32 `[n, size]`."""
        left = X - self.decode(codes, len(self.centres) - 1)
        squares = np.einsum("nd,nd->n", left, left)
        out: np.ndarray = self.level(-1).distances(left) + squares[:, None]
        return out

    def tensors(self) -> dict[str, np.ndarray]:
        """All that is learned."""
        return {"centres": self.centres, "bias": self.bias}
