"""From tastes to weights: the one definition that both the generator and the truth use.

A shopper's affinity for an item is the sum of their taste for its traits. A weight is exponential
in the affinity, doubling every three points; it is computed from a table of three mantissas, so it
is an exact integer on every machine.
"""

from __future__ import annotations

import numpy as np

from tastebench.data.storefront.catalogue import SLOTS

NOISE = 10
"""One pick in this many has nothing to do with taste: any item on sale, all equally likely."""

ERRAND = 4
"""Within a visit, items that share a scene with the last pick weigh this much more."""

_MANTISSAS = np.array([16, 20, 25], dtype=np.int64)
_LOWEST, _HIGHEST = -15, 60
_SCENES = [slot for slot, facet in enumerate(SLOTS) if facet == "scene"]

# Chance in 256 that a shopper looks at a place on the page at all, by position.
EXAMINED = np.array([240, 204, 173, 147, 125, 106, 90, 77, 65, 55], dtype=np.int64)
_TEMPTING = 36


def affinity(taste: np.ndarray, traits: np.ndarray) -> np.ndarray:
    """Sum of the tastes for an item's traits, int16 `[n, items]`.

    Args:
        taste: Taste for every trait and, in the last column, 0; int8 `[n, traits + 1]`.
        traits: Trait numbers per item, -1 (the last column) for none; int16 `[items, slots]`.
    """
    by_trait = np.ascontiguousarray(taste.T)
    total = np.zeros((len(traits), len(taste)), dtype=np.int16)
    for slot in traits.T:
        total += by_trait[slot]
    return np.ascontiguousarray(total.T)


def weight(points: np.ndarray) -> np.ndarray:
    """About 16 * 2 ** (steps above the lowest affinity / 3), an integer; int64, same shape."""
    steps = np.arange(_HIGHEST - _LOWEST + 1)
    table = _MANTISSAS[steps % 3] << (steps // 3)
    out: np.ndarray = table[np.clip(points, _LOWEST, _HIGHEST) - _LOWEST]
    return out


def attraction(points: np.ndarray) -> np.ndarray:
    """Chance in 256 that a shopper who looks at an item clicks it, int64, same shape."""
    own = weight(points)
    other = weight(np.array(_TEMPTING))
    out: np.ndarray = (own << 8) // (own + other)
    return out


def same_scene(traits: np.ndarray, last: np.ndarray, items: np.ndarray | slice) -> np.ndarray:
    """Whether an item shares a scene with the last pick.

    Args:
        traits: int16 `[items, slots]`.
        last: Item of the last pick, `[n]`.
        items: `[n]` items, one for each last pick, or a slice: then all of these for each.

    Returns:
        bool, `[n]` or `[n, len(items)]`.
    """
    before = traits[last][:, _SCENES]
    after = traits[items][:, _SCENES]
    if isinstance(items, slice):
        before, after = before[:, None, :], after[None, :, :]
    shared = (before[..., :, None] == after[..., None, :]) & (before[..., :, None] >= 0)
    out: np.ndarray = shared.any(axis=(-1, -2))
    return out
