"""Exact nearest vectors by inner product, for catalogues of any size that fits memory once."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal

import numpy as np

from tastebench.contracts import Ranking

Engine = Literal["faiss", "torch"]

_ITEMS_AT_ONCE = 2**16
_SCORES_AT_ONCE = 2**25


def nearest(
    queries: np.ndarray, vectors: np.ndarray, k: int, *, engine: Engine | None = None
) -> Ranking:
    """The `k` vectors with the largest inner product with each query, best first.

    Every vector is looked at: the result is exact up to float32 rounding, and the matrix is read in
    place, also from a memory map.

    Args:
        queries: `[q, d]`.
        vectors: float32 `[n, d]`, C order (anything else is converted, which copies; float16 a
            chunk at a time).
        k: At most `n` are returned.
        engine: `faiss`, or `torch` where faiss is not installed; None takes faiss if it is there.
    """
    if queries.ndim != 2 or vectors.ndim != 2 or queries.shape[1] != vectors.shape[1]:
        raise ValueError(f"queries {queries.shape} and vectors {vectors.shape} do not fit")
    k = min(k, len(vectors))
    q = np.ascontiguousarray(queries, dtype=np.float32)
    if not len(q) or not k:
        return Ranking(np.empty((len(q), k), np.int32), np.empty((len(q), k), np.float32))
    chosen = engine or ("faiss" if find_spec("faiss") else "torch")
    search = _by_faiss if chosen == "faiss" else _by_torch
    if vectors.dtype == np.float16:
        return _in_chunks(search, q, vectors, k)
    return search(q, np.ascontiguousarray(vectors, dtype=np.float32), k)


def _in_chunks(
    search: Callable[[np.ndarray, np.ndarray, int], Ranking], q: np.ndarray, x: np.ndarray, k: int
) -> Ranking:
    """The best of the best of each chunk, which is never whole in float32."""
    best = Ranking(np.empty((len(q), 0), np.int32), np.empty((len(q), 0), np.float32))
    for start in range(0, len(x), _ITEMS_AT_ONCE):
        chunk = x[start : start + _ITEMS_AT_ONCE].astype(np.float32)
        found = search(q, chunk, min(k, len(chunk)))
        items = np.concatenate([best.items, found.items + start], axis=1, dtype=np.int32)
        scores = np.concatenate([best.scores, found.scores], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best = Ranking(
            np.take_along_axis(items, order, axis=1), np.take_along_axis(scores, order, axis=1)
        )
    return best


def _by_faiss(q: np.ndarray, x: np.ndarray, k: int) -> Ranking:
    import faiss

    # knn searches the caller's array; an IndexFlatIP would first copy all of it.
    scores, items = faiss.knn(q, x, k, metric=faiss.METRIC_INNER_PRODUCT)
    return Ranking(items.astype(np.int32), scores)


def _by_torch(q: np.ndarray, x: np.ndarray, k: int) -> Ranking:
    import torch

    items = np.empty((len(q), k), np.int32)
    scores = np.empty((len(q), k), np.float32)
    batch = _SCORES_AT_ONCE // _ITEMS_AT_ONCE
    for first in range(0, len(q), batch):
        asked = torch.from_numpy(q[first : first + batch])
        best = torch.empty(len(asked), 0)
        names = torch.empty(len(asked), 0, dtype=torch.int64)
        for start in range(0, len(x), _ITEMS_AT_ONCE):
            # A memory map is read-only, which torch does not know: one chunk is copied.
            chunk = torch.from_numpy(np.array(x[start : start + _ITEMS_AT_ONCE]))
            value, place = (asked @ chunk.T).topk(min(k, len(chunk)), dim=1)
            best, order = torch.cat([best, value], dim=1).topk(
                min(k, best.shape[1] + value.shape[1]), dim=1
            )
            names = torch.cat([names, place + start], dim=1).gather(1, order)
        items[first : first + batch] = names.numpy()
        scores[first : first + batch] = best.numpy()
    return Ranking(items, scores)
