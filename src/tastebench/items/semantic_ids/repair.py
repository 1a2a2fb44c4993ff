"""Moves items that share a path to other codes of the last level, near and not taken.

After LC-Rec (Zheng et al. 2024), which deals colliding items out over the last level by optimal
transport: distances scaled to -1 .. 1, Q = exp(-D / epsilon), and rows and columns scaled in turn
(Sinkhorn 1967; Cuturi 2013). There every code gets an equal share, so that two items are dealt all
256 codes, and where an item goes has little to do with what is near it. Here a code has room for
one item, or for none where an item without a collision has it: columns are scaled down to 1 and
never up (transport with inequalities), which for small epsilon is the cheapest assignment. Epsilon
falls to what it shall be over the iterations, or 50 of them would not come near it.

Where several still choose one code, the one that wants it most keeps it and the next round deals
out the others; so it ends, and fails only where more items share all codes but the last than that
level has codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.items.semantic_ids.paths import order_within, prefix_groups

if TYPE_CHECKING:
    from tastebench.items.semantic_ids.codebooks import Quantiser

_ITERATIONS = 50
_NEVER = 1e3
"""A cost that nothing pays, where others are 0 .. 2."""

_CELLS = 1 << 20
"""Entries of transport plans that are worked on at once: 8 MB each."""


def repaired(
    codes: np.ndarray,
    vectors: np.ndarray,
    quantiser: Quantiser,
    *,
    rounds: int,
    epsilon: float,
    others: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Codes of which fewer items share a path, and what was done as JSON values.

    Args:
        codes: int64 `[n, levels]`.
        vectors: Of the same items, `[n, d]`.
        quantiser: What gave the codes.
        rounds: At most.
        epsilon: Entropy of the transport.
        others: Codes of items that stay where they are, int64 `[m, levels]`.
    """
    size, n = quantiser.sizes[-1], len(codes)
    both = codes if others is None else np.concatenate([codes, others])
    # A family shares all codes but the last.
    none = np.zeros(len(both), dtype=np.int64)
    family = prefix_groups(both)[:, -2] if both.shape[1] > 1 else none
    last = both[:, -1].copy()
    open_ = np.flatnonzero(_shared(family * size + last)[:n])
    asked, done = len(open_), 0
    while len(open_) and done < rounds:
        settled = np.ones(len(both), dtype=bool)
        settled[open_] = False
        taken = np.unique((family * size + last)[settled])
        rows, to = _dealt(open_, family, taken, vectors, codes, quantiser, epsilon)
        if len(rows) == 0:
            break
        last[rows] = to
        open_, done = np.setdiff1d(open_, rows, assume_unique=True), done + 1
    last = last[:n]
    moved = int((last != codes[:, -1]).sum())
    notes = {"rounds": done, "shared": asked, "moved": moved, "left": len(open_)}
    return np.column_stack([codes[:, :-1], last]), notes


def _shared(place: np.ndarray) -> np.ndarray:
    """Whether another row is at the same place."""
    _, at, count = np.unique(place, return_inverse=True, return_counts=True)
    shared: np.ndarray = count[at] > 1
    return shared


def _dealt(
    rows: np.ndarray,
    family: np.ndarray,
    taken: np.ndarray,
    vectors: np.ndarray,
    codes: np.ndarray,
    quantiser: Quantiser,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One round: the items that get a code of the last level to themselves, and that code.

    Families of as many open items are dealt out together, as one array.
    """
    size = quantiser.sizes[-1]
    # More of a family than there are codes could not get one anyway.
    rows = rows[order_within(family[rows]) < size]
    rows = rows[np.argsort(family[rows], kind="stable")]
    _, begin, count = np.unique(family[rows], return_index=True, return_counts=True)
    found = [(rows[:0], rows[:0])]
    for many in np.unique(count):
        begins = begin[count == many]
        step = max(1, _CELLS // int(many * size))
        for first in range(0, len(begins), step):
            batch = rows[begins[first : first + step, None] + np.arange(many)]
            flat = batch.ravel()
            costs = quantiser.last_costs(vectors[flat], codes[flat]).astype(np.float64)
            places = family[batch[:, 0], None] * size + np.arange(size)
            room = ~np.isin(places, taken)
            plan = transport(costs.reshape(*batch.shape, size), room, epsilon)
            found.append(_chosen(batch, plan))
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])


def transport(costs: np.ndarray, room: np.ndarray, epsilon: float) -> np.ndarray:
    """Plans by which each item goes to codes that have room, each of them for one item.

    Args:
        costs: Squared distances, float64 `[g, m, size]`; infinite where a code is never chosen.
        room: Whether a code can take one of the m items, `[g, size]`.
        epsilon: Entropy, where costs lie in -1 .. 1.

    Returns:
        float64 `[g, m, size]`: rows sum to about 1, or to 0 where no code has room; columns to at
        most about 1.
    """
    usable = room[:, None, :] & np.isfinite(costs)
    low = costs.min(axis=(1, 2), where=usable, initial=np.inf, keepdims=True)
    high = costs.max(axis=(1, 2), where=usable, initial=-np.inf, keepdims=True)
    span = np.where(high > low, high - low, 1)
    scaled = np.full(costs.shape, _NEVER)
    np.divide(
        2 * (costs - np.where(usable.any(axis=(1, 2), keepdims=True), low, 0)),
        span,
        out=scaled,
        where=usable,
    )
    price = np.zeros((len(costs), 1, costs.shape[2]))
    for entropy in np.geomspace(max(1.0, epsilon), epsilon, _ITERATIONS):
        gain = -entropy * _log_sum((price - scaled) / entropy, 2)
        price = np.minimum(-entropy * _log_sum((gain - scaled) / entropy, 1), 0)
    plan: np.ndarray = np.exp((gain + price - scaled) / epsilon) * usable
    return plan


def _log_sum(x: np.ndarray, axis: int) -> np.ndarray:
    """log(sum(exp(x))) along an axis, which stays."""
    top = x.max(axis=axis, keepdims=True)
    out: np.ndarray = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
    return out


def _chosen(batch: np.ndarray, plan: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each item's largest entry; of several at one code only the one with the largest stays."""
    to = plan.argmax(axis=2)
    weight = np.take_along_axis(plan, to[..., None], axis=2)[..., 0]
    place = (np.arange(len(batch))[:, None] * plan.shape[2] + to).ravel()
    order = np.argsort(-weight.ravel(), kind="stable")
    first = np.empty(len(order), dtype=bool)
    first[order] = order_within(place[order]) == 0
    keep = first & (weight.ravel() > 0)
    return batch.ravel()[keep], to.ravel()[keep]
