"""Metrics of the lists themselves, beyond accuracy."""

from __future__ import annotations

import numpy as np

from tastebench.contracts import Ranking


def coverage(ranking: Ranking, k: int, n_items: int) -> float:
    """Share of the catalogue that is in anyone's top k (Ge et al. 2010); NaN without items.

    Args:
        ranking: The lists; -1 marks an empty slot.
        k: How many slots of each list count.
        n_items: Size of the catalogue.

    Raises:
        ValueError: Lists shorter than k, or an item outside the catalogue.
    """
    items = ranking.items
    if items.shape[1] < min(k, n_items):
        raise ValueError(f"coverage@{k} needs lists of {k} items, these hold {items.shape[1]}")
    shown = items[:, :k]
    if shown.max(initial=-1) >= n_items:
        raise ValueError(f"item {shown.max()} is outside a catalogue of {n_items}")
    seen = np.zeros(n_items, dtype=bool)
    seen[shown[shown >= 0]] = True
    return float(seen.mean()) if n_items else float("nan")
