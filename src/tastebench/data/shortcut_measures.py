"""What gives a next item away, measured: few successors, like texts, a short memory.

Everything here is of arrays: training sequences, and what was asked (a history and the item that
came next). No model is fitted, nothing loops over users or items, and what would cost too much is
measured on a draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.data.item_graph import damped, standing, takes_again, transitions
from tastebench.data.shortcut_facts import Branching, Hits, Likeness, Reach
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WINDOWS: dict[str, int] = {"1": 1, "2": 2, "5": 5, "all": 50}
"""How many of the last items a walk may start from; all that a model sees are the latest 50."""

RECENCIES = (0.5, 0.8, 1.0)
"""What an older start counts; each window takes the best, so that none loses by its weights."""

_K = 10
_DRAWN = 1_000  # askers whose two-hop candidates are counted
_WALKED = 2**29  # edges that a walk may touch
_ASKED = 10_000  # askers of a walk
_PAIRS = 50_000  # pairs of items whose likeness is compared
_COMPARED = 2**25  # items that the true next one is compared with, over all askers
_AT_ONCE, _ROWS = 512, 2**13  # rows held at once, of the catalogue's width and of few numbers


@dataclass(frozen=True, eq=False)
class Walked:
    """Training sequences and what was asked.

    Attributes:
        n_items: Size of the catalogue.
        train: Training items of each user, oldest first.
        history: All items before each asked event, oldest first; none is empty.
        item: The asked items, `[n]`.
    """

    n_items: int
    train: Ragged
    history: Ragged
    item: np.ndarray

    @cached_property
    def last(self) -> np.ndarray:
        """The last item of each history, `[n]`."""
        last: np.ndarray = self.history.values[self.history.offsets[1:] - 1]
        return last

    @cached_property
    def share(self) -> np.ndarray:
        """The share of training events that each item has, float64 `[n_items]`."""
        count = np.bincount(self.train.values, minlength=self.n_items)
        return count / max(len(self.train.values), 1)

    @cached_property
    def following(self) -> csr_matrix:
        """How often one item came right after another, float32 `[n_items, n_items]`."""
        return transitions(self.train, self.n_items)

    @cached_property
    def neighbours(self) -> csr_matrix:
        """1 where two items were next to each other in either order, float32, symmetric."""
        both = (self.following + self.following.T).tocsr()
        both.data[:] = 1
        return both

    def some(self, rows: np.ndarray | slice) -> Walked:
        """The same with some of what was asked."""
        return Walked(self.n_items, self.train, self.history[rows], self.item[rows])


def branching(walked: Walked) -> Branching:
    r"""The effective number of successors: $\exp H$ of the transitions out of the last item.

    $H_i = -\sum_j p_{ij} \ln p_{ij}$ with $p_{ij}$ the share of training transitions out of $i$
    that led to $j$. The mean is over askers, so that an item counts as often as it is asked from.
    An item whose $m$ transitions led to $m$ different items has $m$: compare with `observed`.
    """
    edges = walked.following
    total = np.asarray(edges.sum(axis=1), dtype=np.float64).ravel()
    share = edges.data / np.repeat(np.where(total > 0, total, 1), np.diff(edges.indptr))
    row = np.repeat(np.arange(walked.n_items), np.diff(edges.indptr))
    entropy = np.bincount(row, weights=-share * np.log(share), minlength=walked.n_items)
    known = total[walked.last] > 0
    last = walked.last[known]
    return Branching(
        successors=_mean(np.exp(entropy[last])),
        observed=_mean(total[last]),
        without=float(1 - known.mean()),
    )


def reach(walked: Walked, hops: int, rng: np.random.Generator) -> Reach:
    """Asked items within one or two hops of the last item.

    A hop leads to an item that was next to this one in a training sequence, in either order. The
    last item itself is a candidate only where it followed itself. With two hops, candidates and
    chance are averages over at most 1,000 askers that are drawn.
    """
    near, last = walked.neighbours, walked.last
    found = _joined(near, last, walked.item)
    if hops == 1:
        candidates, chance = np.diff(near.indptr)[last], (near @ walked.share)[last]
    else:
        found |= _share_neighbour(near, last, walked.item)
        candidates, chance = _two_hops(walked, _draw(last, _DRAWN, rng))
    return Reach(
        share=float(found.mean()), candidates=float(candidates.mean()), chance=float(chance.mean())
    )


def _share_neighbour(near: csr_matrix, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether two different items have a neighbour in common, bool `[n]`."""
    found = []
    for part in _blocks(len(one), _ROWS):
        common = near[one[part]].multiply(near[other[part]]).sum(axis=1)
        found.append((np.asarray(common).ravel() > 0) & (one[part] != other[part]))
    return np.concatenate(found)


def _two_hops(walked: Walked, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many items one or two hops lead to, and their share of training events, `[n]` each."""
    near, sizes, shares = walked.neighbours, [], []
    for part in _blocks(len(start), _AT_ONCE):
        item = start[part]
        both = (near[item] @ near + near[item]).tocsr()
        both.data[:] = 1
        # Going there and back is no way on, unless the item followed itself.
        back = _joined(both, np.arange(len(item)), item) & ~_joined(near, item, item)
        sizes.append(np.diff(both.indptr) - back)
        shares.append(both @ walked.share - back * walked.share[item])
    return np.concatenate(sizes), np.concatenate(shares)


def reach_from(walked: Walked, last: int) -> float:
    """Share of asked items that are one hop from any of the last items."""
    tail = walked.history.tail(last)
    found = _joined(walked.neighbours, tail.values, walked.item[tail.rows])
    return float(np.bincount(tail.rows[found], minlength=len(tail)).astype(bool).mean())


def walk_hits(walked: Walked, rng: np.random.Generator) -> Hits:
    """`hit@10` of a walk over transitions alone, by how far back it looks, and of popularity.

    Edges join items up to three events apart, as `graph-walk` has them by default. Items of the
    history are no candidates where no training sequence holds an item twice. Each window takes the
    best of `RECENCIES`. On as many drawn askers as can be had at a bounded cost, 10,000 at most;
    expected value over ties.
    """
    edges = damped(
        transitions(walked.train, walked.n_items, distance=3, decay=0.7, backward=0.3), 0.5
    )
    tail = walked.history.tail(WINDOWS["all"])
    cost = np.bincount(
        tail.rows, weights=np.diff(edges.indptr)[tail.values], minlength=len(tail)
    ).mean()
    most = min(_ASKED, max(200, int(_WALKED / (len(RECENCIES) * max(float(cost), 1.0)))))
    drawn = walked.some(np.sort(_draw(np.arange(len(walked.item)), most, rng)))
    masks = not takes_again(walked.train, walked.n_items)
    windows = {}
    for name, last in WINDOWS.items():
        ages = RECENCIES[:1] if last == 1 else RECENCIES
        windows[name] = max(_hit(drawn, edges, last, recency, masks) for recency in ages)
    return Hits(windows=windows, popularity=_popular_hit(drawn, masks), n=len(drawn.item))


def _hit(walked: Walked, edges: csr_matrix, last: int, recency: float, masks: bool) -> float:
    hits = []
    for rows in _blocks(len(walked.item), _AT_ONCE):
        part = walked.some(rows)
        n = len(part.item)
        start = standing(part.history, part.n_items, last=last, recency=recency)
        scores = (start @ edges).tocsr()
        own = np.asarray(scores[np.arange(n), part.item]).ravel()
        row = np.repeat(np.arange(n), np.diff(scores.indptr))
        more = np.bincount(row[scores.data > own[row]], minlength=n)
        same = np.bincount(row[scores.data == own[row]], minlength=n)
        # What the walk does not reach has 0, and so have all that tie with it there.
        same = np.where(own > 0, same, part.n_items - np.diff(scores.indptr))
        if masks:
            row, item = _seen(part)
            score = np.asarray(scores[row, item]).ravel()
            more -= np.bincount(row[score > own[row]], minlength=n)
            same -= np.bincount(row[score == own[row]], minlength=n)
        hits.append(_among_best(more, same))
    return float(np.concatenate(hits).mean())


def _popular_hit(walked: Walked, masks: bool) -> float:
    """Of the most popular items, the history left out where nothing comes again."""
    n, order = len(walked.item), np.sort(walked.share)
    own = walked.share[walked.item]
    up_to = np.searchsorted(order, own, side="right")
    more, same = len(order) - up_to, up_to - np.searchsorted(order, own, side="left")
    if masks:
        row, item = _seen(walked)
        more -= np.bincount(row[walked.share[item] > own[row]], minlength=n)
        same -= np.bincount(row[walked.share[item] == own[row]], minlength=n)
    return float(_among_best(more, same).mean())


def _seen(walked: Walked) -> tuple[np.ndarray, np.ndarray]:
    """Asker and item wherever a history holds an item, once each, but for the asked one."""
    history = walked.history
    other = history.values != walked.item[history.rows]
    keys = np.unique(history.rows[other] * walked.n_items + history.values[other])
    row, item = np.divmod(keys, walked.n_items)
    return row, item


def likeness(walked: Walked, vectors: Any, rng: np.random.Generator) -> Likeness | None:
    """Cosines of items that follow each other, beside those of items that do not.

    For the AUC, the second items of the training pairs are dealt out anew: they are as popular as
    before, so that popular texts explain nothing. Items with no content (a zero vector) are left
    out of it.

    Args:
        walked: What was walked.
        vectors: At unit length or zero, dense or sparse, `[n_items, d]`.
        rng: What draws.

    Returns:
        None where fewer than two pairs have content.
    """
    pair = _pairs(walked, vectors, rng)
    if pair.shape[1] < 2:
        return None
    other = np.stack([pair[0], rng.permutation(pair[1])])
    other = other[:, other[0] != other[1]]
    near, far = (_cosines(vectors, *which) for which in (pair, other))
    most = max(200, _COMPARED // walked.n_items)
    drawn = walked.some(np.sort(_draw(np.arange(len(walked.item)), most, rng)))
    more, same = _likeness_ranks(drawn, vectors)
    place = (more + (same - 1) / 2) / max(walked.n_items - 1, 1)
    return Likeness(
        auc=_auc(near, far),
        rank=float(np.median(place)),
        hit=float(_among_best(more, same).mean()),
        pairs=pair.shape[1],
        asked=len(drawn.item),
    )


def _pairs(walked: Walked, vectors: Any, rng: np.random.Generator) -> np.ndarray:
    """Different items with content that follow each other in training, int `[2, n]`."""
    values, rows = walked.train.values, walked.train.rows
    length = np.asarray(abs(vectors).sum(axis=1)).ravel() > 0
    first, second = values[:-1], values[1:]
    kept = (rows[1:] == rows[:-1]) & (first != second) & length[first] & length[second]
    at = _draw(np.flatnonzero(kept), _PAIRS, rng)
    return np.stack([first[at], second[at]])


def _cosines(vectors: Any, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The cosine of each pair, float64 `[n]`."""
    if hasattr(vectors, "multiply"):
        products = vectors[one].multiply(vectors[other])
    else:
        products = vectors[one] * vectors[other]
    return np.asarray(products.sum(axis=1), np.float64).ravel()


def _likeness_ranks(walked: Walked, vectors: Any) -> tuple[np.ndarray, np.ndarray]:
    """Items more like the last one than the asked one is, and equally (itself too), `[n]` each."""
    counts = []
    for part in _blocks(len(walked.item), _AT_ONCE):
        last, item = walked.last[part], walked.item[part]
        cosine = vectors[last] @ vectors.T
        cosine = np.asarray(cosine.todense() if hasattr(cosine, "todense") else cosine)
        row = np.arange(len(last))
        own = cosine[row, item].copy()
        cosine[row, last] = -2  # the last item is most like itself, and no answer
        cosine[row, item] = own
        counts.append(((cosine > own[:, None]).sum(axis=1), (cosine == own[:, None]).sum(axis=1)))
    more, same = (np.concatenate(part) for part in zip(*counts, strict=True))
    return more, same


def _auc(high: np.ndarray, low: np.ndarray) -> float:
    """The probability that a number of the first kind is greater; equal ones count half."""
    from scipy.stats import rankdata

    rank = rankdata(np.concatenate([high, low]))[: len(high)]
    return float((rank.sum() - len(high) * (len(high) + 1) / 2) / (len(high) * len(low)))


def _joined(edges: csr_matrix, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether an edge leads from each item to the other, bool `[n]`."""
    return np.asarray(edges[one, other]).ravel() > 0


def _among_best(more: np.ndarray, same: np.ndarray) -> np.ndarray:
    """The probability to be among the best ten, with `same` items (itself too) in random order."""
    within: np.ndarray = np.clip((_K - more) / same, 0, 1)
    return within


def _draw(values: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most so many of the values, without repeats of their places."""
    return values if len(values) <= most else rng.choice(values, most, replace=False)


def _blocks(n: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, n)) for begin in range(0, n, size))


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
