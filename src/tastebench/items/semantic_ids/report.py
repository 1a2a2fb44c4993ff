"""How good semantic ids are, in numbers: collisions, usage, error, what a shared prefix says."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from tastebench.items.semantic_ids.codebooks import CHUNK, Quantiser, checked, scaled
from tastebench.items.semantic_ids.ids import SemanticIds, in_chunks
from tastebench.items.semantic_ids.paths import prefix_groups

_COLUMNS = 32
"""Coordinates that are summed at once: with nearly as many prefixes as items, all are too many."""


def quality(ids: SemanticIds, vectors: np.ndarray | None) -> dict[str, Any]:
    """Measures codes, the one that tells equal paths apart left out.

    Args:
        ids: The codes.
        vectors: Of all their items, `[n, d]`; None where codes are drawn, and then nothing that
            needs vectors is told.

    Returns:
        JSON values; what is undefined is None:

        - `items`; `paths`, how many are distinct; `collision_rate` = 1 - paths / items;
          `colliding_items`, the share of items whose path another has; `largest_group` with one
          path; `nearest_collision_rate`, of every item's nearest codes, before any was moved.
        - `levels`, one a level: `level` from 1; `size`; `usage`, the share of codes that an item
          has; `perplexity` = exp(entropy of the codes), `size` where all are used alike;
          `prefixes`, distinct ones of this length; `error`, the share of the vectors' variance
          that the codes up to here leave; `cosine` of two items that share a prefix of this length,
          the mean over all `pairs` of them.
        - `error` of all levels; `random_cosine`, the mean over all pairs of items.
    """
    codes = ids.values[:, : ids.levels]
    n = len(codes)
    groups = prefix_groups(codes)
    count = np.bincount(groups[:, -1]) if n else np.zeros(0, dtype=np.int64)
    rows = [_level(codes[:, j], groups[:, j], ids.sizes[j], j + 1) for j in range(ids.levels)]
    out: dict[str, Any] = {
        "items": n,
        "paths": len(count),
        "collision_rate": 1 - len(count) / n if n else None,
        "colliding_items": int(count[count > 1].sum()) / n if n else None,
        "largest_group": int(count.max(initial=0)),
    }
    return {**out, **_by_vectors(ids, groups, rows, vectors), "levels": rows}


def _level(codes: np.ndarray, group: np.ndarray, size: int, level: int) -> dict[str, Any]:
    used = np.bincount(codes, minlength=size)
    share = used[used > 0] / max(len(codes), 1)
    return {
        "level": level,
        "size": size,
        "usage": float((used > 0).mean()),
        "perplexity": float(np.exp(-(share * np.log(share)).sum())),
        "prefixes": int(group.max(initial=-1)) + 1,
    }


def _by_vectors(
    ids: SemanticIds, groups: np.ndarray, rows: list[dict[str, Any]], vectors: np.ndarray | None
) -> dict[str, Any]:
    """What needs vectors; adds its part to the rows of the levels."""
    nearest = errors = random_cosine = None
    if vectors is not None and len(vectors):
        vectors = checked(vectors)
        X = scaled(vectors, unit=True)
        random_cosine = _pair_cosine(X, np.zeros(len(X), dtype=np.int64))[0]
        for level, row in enumerate(rows):
            row["cosine"], row["pairs"] = _pair_cosine(X, groups[:, level])
        if ids.quantiser is not None:
            paths = int(prefix_groups(in_chunks(ids.quantiser, vectors))[:, -1].max()) + 1
            nearest = 1 - paths / len(X)
            errors = _errors(ids.quantiser, vectors, ids.values[:, : ids.levels])
            for row, error in zip(rows, errors, strict=True):
                row["error"] = error
    return {
        "nearest_collision_rate": nearest,
        "error": None if errors is None else errors[-1],
        "random_cosine": random_cosine,
    }


def _pair_cosine(X: np.ndarray, group: np.ndarray) -> tuple[float | None, int]:
    """Mean cosine of all pairs within groups, and how many there are.

    The cosines of a group's pairs sum to (|sum of x|^2 - sum of |x|^2) / 2: no pair is formed. A
    zero vector has cosine 0 to any other.

    Args:
        X: At unit length, float32 `[n, d]`.
        group: From 0, int64 `[n]`.
    """
    count = np.bincount(group)
    pairs = int((count * (count - 1) // 2).sum())
    if pairs == 0:
        return None, 0
    members = sparse.csr_array(
        (np.ones(len(X)), group, np.arange(len(X) + 1)), shape=(len(X), len(count))
    ).T
    shared = count > 1
    total = 0.0
    for begin in range(0, X.shape[1], _COLUMNS):
        part = X[:, begin : begin + _COLUMNS].astype(np.float64)
        sums = (members @ part)[shared]
        total += float((sums**2).sum() - (part[shared[group]] ** 2).sum())
    return total / 2 / pairs, pairs


def _errors(quantiser: Quantiser, vectors: np.ndarray, codes: np.ndarray) -> list[float | None]:
    """The share of the variance that the first 1, 2, ... levels leave unexplained."""
    levels = codes.shape[1]
    left, total = np.zeros(levels), 0.0
    mean = np.zeros(vectors.shape[1])
    for begin in range(0, len(vectors), CHUNK):
        mean += quantiser.target(vectors[begin : begin + CHUNK]).sum(axis=0, dtype=np.float64)
    mean /= len(vectors)
    size = 0.0
    for begin in range(0, len(vectors), CHUNK):
        target = quantiser.target(vectors[begin : begin + CHUNK]).astype(np.float64)
        total += float(((target - mean) ** 2).sum())
        size += float((target**2).sum())
        for level in range(levels):
            rebuilt = quantiser.reconstruct(codes[begin : begin + CHUNK], level + 1)
            left[level] += float(((target - rebuilt) ** 2).sum())
    if total <= 1e-12 * size:  # equal vectors vary in nothing but their last digits
        return [None] * levels
    return [float(one) / total for one in left]
