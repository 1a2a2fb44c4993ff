"""Ranking metrics from ranks: one value a query, expected over all orders of equal scores.

Every function takes `Ranks` and a cut-off (None: no cut-off) and gives float64 `[q]`, NaN where a
query has no relevant item. A metric that is a sum over items of a weight of their rank needs only
the mean weight of each item's tied ranks; the others need the runs of ties (`Ranks.blocks`), in
which the places of relevant items are a draw without replacement (McSherry & Najork 2008).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tastebench.metrics.first import expected_reciprocal
from tastebench.metrics.harmonic import harmonic_between
from tastebench.metrics.ranks import UNRANKED, Ranks

Cumulative = Callable[[np.ndarray], np.ndarray]


def ndcg(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Discounted cumulative gain over the best possible, linear gain, discount 1 / log2(r + 1).

    Ties average the discounts of the tied ranks (McSherry & Najork 2008), as scikit-learn does.
    """
    single = ranks.gain is None and bool((ranks.n_relevant == 1).all())
    reached = _per_query(ranks, _gains(ranks) * _mean_discount(ranks, k))
    # The ideal of one relevant item is 1, whatever the cut-off.
    ideal = np.ones(len(ranks)) if single else _ideal_dcg(ranks, k)
    return _ratio(reached, ideal)


def ndcg_pairwise(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """The mean over the relevant items of the discount at their own rank, whatever their grade.

    What `ndcg` is on average if each of them is the only relevant one: then the ideal is 1.
    """
    return _ratio(_per_query(ranks, _mean_discount(ranks, k)), ranks.n_relevant)


def recall(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Expected relevant items in the top k, over all relevant items."""
    return _ratio(_found(ranks, k), ranks.n_relevant)


def recall_capped(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Expected relevant items in the top k, over the most that fit there: min(k, relevant)."""
    return _ratio(_found(ranks, k), np.minimum(_cut(k), ranks.n_relevant))


def precision(ranks: Ranks, k: int) -> np.ndarray:
    """Expected relevant items in the top k, over k."""
    return _ratio(_found(ranks, k), np.where(ranks.n_relevant > 0, k, 0))


def hit(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Probability that a relevant item is in the top k.

    Only the first run of ties that holds a relevant item matters: if it is cut by k, later ones are
    beyond k. Of its `t` places `c` are seen, and all `m` relevant ones are missed with probability
    C(t - m, c) / C(t, c).
    """
    query, start, size, relevant = _first_blocks(ranks)
    seen = np.clip(_cut(k) - start, 0, size)
    few, many = np.minimum(seen, relevant), np.maximum(seen, relevant)
    missed = np.ones(len(query))
    for i in range(int(few.max(initial=0))):
        missed *= np.where(i < few, np.maximum(size - many - i, 0) / np.maximum(size - i, 1), 1.0)
    return _place(ranks, query, 1.0 - missed)


def mrr(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Expected reciprocal rank of the first relevant item, 0 beyond k."""
    query, start, size, relevant = _first_blocks(ranks)
    return _place(ranks, query, expected_reciprocal(start, size, relevant, k))


def mrr_allpos(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Mean expected reciprocal rank over all relevant items, 0 beyond k."""
    low, high = _span(ranks, k)
    reciprocal = harmonic_between(low, high) / ranks.tied.values
    return _ratio(_per_query(ranks, reciprocal), ranks.n_relevant)


def map(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Expected average precision: the mean over all relevant items of the precision at their rank.

    In a run of t ties with m relevant, p relevant ones above it and ranks s + 1 .. s + t, place j
    is relevant with probability m / t, and then p + 1 + (j - 1)(m - 1) / (t - 1) relevant items are
    at or above it. Summed over the c places within k, with H = sum 1 / (s + j):
    (m / t) [(p + 1) H + (m - 1) / (t - 1) (c - (s + 1) H)].
    """
    blocks = ranks.blocks
    seen = np.clip(_cut(k) - blocks.start, 0, blocks.size)
    total = harmonic_between(blocks.start, blocks.start + seen)
    within = (blocks.relevant - 1) / np.maximum(blocks.size - 1, 1)
    value = (blocks.before + 1) * total + within * (seen - (blocks.start + 1) * total)
    value *= blocks.relevant / blocks.size
    summed = np.bincount(blocks.query, weights=value, minlength=len(ranks))
    return _ratio(summed, ranks.n_relevant)


def lrap(ranks: Ranks) -> np.ndarray:
    """Label ranking average precision: map by the number of items scored at least as high.

    Equal scores count against the item by definition, so no order of ties enters.
    """
    blocks = ranks.blocks
    precise = (blocks.before + blocks.relevant) / (blocks.start + blocks.size)
    summed = np.bincount(blocks.query, weights=blocks.relevant * precise, minlength=len(ranks))
    return _ratio(summed, ranks.n_relevant)


def _cut(k: int | None) -> int:
    return UNRANKED if k is None else k


def _span(ranks: Ranks, k: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Ranks low + 1 .. high of each item's ties that lie within k; none for an unranked item."""
    above, cut = ranks.above.values, _cut(k)
    return np.minimum(above, cut), np.minimum(above + ranks.tied.values, cut)


def _per_query(ranks: Ranks, values: np.ndarray) -> np.ndarray:
    """The sum of item values over each query's relevant items, float64 `[q]`."""
    if len(values) == len(ranks) and (ranks.n_relevant == 1).all():
        return values
    return np.bincount(ranks.query, weights=values, minlength=len(ranks))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where `whole` is 0."""
    out = np.full(len(part), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def _found(ranks: Ranks, k: int | None) -> np.ndarray:
    low, high = _span(ranks, k)
    return _per_query(ranks, (high - low) / ranks.tied.values)


def _gains(ranks: Ranks) -> np.ndarray | float:
    return 1.0 if ranks.gain is None else ranks.gain.values


def _mean_discount(ranks: Ranks, k: int | None) -> np.ndarray:
    """The mean of 1 / log2(r + 1) over each item's tied ranks, 0 beyond k, float64 `[n]`."""
    low, high = _span(ranks, k)
    tied = ranks.tied.values
    out = np.where(high > low, 1.0 / np.log2(low + 2.0), 0.0)
    several = np.flatnonzero((tied > 1) & (high > low))
    if len(several):
        table = _discounts(int(high[several].max()))
        out[several] = (table[high[several]] - table[low[several]]) / tied[several]
    return out


def _discounts(n: int) -> np.ndarray:
    """Sums of the first 0 .. n discounts, float64 `[n + 1]`."""
    return np.concatenate(([0.0], np.cumsum(1.0 / np.log2(np.arange(2.0, n + 2.0)))))


def _ideal_dcg(ranks: Ranks, k: int | None) -> np.ndarray:
    """DCG of the relevant items in falling order of gain, float64 `[q]`, 0 if there are none."""
    shown = np.minimum(ranks.n_relevant, _cut(k))
    if ranks.gain is None:
        ideal: np.ndarray = _discounts(int(shown.max(initial=0)))[shown]
        return ideal
    order = np.lexsort((-ranks.gain.values, ranks.query))
    place = np.arange(len(order)) - np.repeat(ranks.gain.offsets[:-1], ranks.n_relevant)
    value = ranks.gain.values[order] / np.log2(place + 2.0)
    return _per_query(ranks, np.where(place < _cut(k), value, 0.0))


def _first_blocks(ranks: Ranks) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Query, start, size and relevant items of each query's first run of ties."""
    blocks = ranks.blocks
    if blocks.first.all():
        return blocks.query, blocks.start, blocks.size, blocks.relevant
    first = blocks.first
    return blocks.query[first], blocks.start[first], blocks.size[first], blocks.relevant[first]


def _place(ranks: Ranks, query: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values of some queries among all: 0 for those with nothing ranked, NaN with none relevant."""
    out = np.where(ranks.n_relevant > 0, 0.0, np.nan)
    out[query] = values
    return out
