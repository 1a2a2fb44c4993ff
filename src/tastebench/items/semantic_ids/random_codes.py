"""Random codes: the control. Any worth of semantic ids lies in what these do not have."""

from __future__ import annotations

import numpy as np

from tastebench.items.semantic_ids.paths import prefix_groups

_LARGEST = 2**62
"""Paths that are numbered; with more of them, no two of any catalogue meet."""


def random_codes(n: int, levels: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """A path drawn uniformly for each of `n` items, int64 `[n, levels]`.

    Paths differ as long as there are enough of them; of more items, each path gets as many as any
    other, or one more.
    """
    paths = size**levels
    if paths > _LARGEST:
        return rng.integers(size, size=(n, levels), dtype=np.int64)
    even = np.repeat(np.arange(paths), n // paths) if n >= paths else np.empty(0, dtype=np.int64)
    rest = rng.choice(paths, n - len(even), replace=False)
    return _digits(rng.permutation(np.concatenate([even, rest])), levels, size)


def more_random_codes(n: int, size: int, taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paths for `n` more items, int64 `[n, levels]`: such as none has, as long as there are any.

    Args:
        n: How many.
        size: Codes of a level.
        taken: Paths there are, int64 `[m, levels]`.
        rng: What they are drawn from.
    """
    levels = taken.shape[1]
    new = random_codes(n, levels, size, rng)
    free = size**levels - int(prefix_groups(taken)[:, -1].max(initial=-1)) - 1
    wanted = min(n, free)
    if wanted == 0:
        return new
    if 2 * free < size**levels:
        # Few are left: they are listed (they are fewer than the items there are).
        every = _digits(np.arange(size**levels), levels, size)
        left = every[~_among(every, taken)]
        new[:wanted] = rng.permutation(left)[:wanted]
        return new
    found = np.empty((0, levels), dtype=np.int64)
    while len(found) < wanted:
        drawn = rng.integers(size, size=(2 * wanted, levels), dtype=np.int64)
        drawn = np.concatenate([found, drawn[~_among(drawn, taken)]])
        _, first = np.unique(prefix_groups(drawn)[:, -1], return_index=True)
        found = drawn[np.sort(first)][:wanted]
    new[:wanted] = found
    return new


def _among(paths: np.ndarray, taken: np.ndarray) -> np.ndarray:
    group = prefix_groups(np.concatenate([taken, paths]))[:, -1]
    return np.isin(group[len(taken) :], group[: len(taken)])


def _digits(number: np.ndarray, levels: int, size: int) -> np.ndarray:
    place = size ** np.arange(levels - 1, -1, -1, dtype=np.int64)
    out: np.ndarray = number[:, None].astype(np.int64) // place % size
    return out
