"""Beam search over the code paths of a catalogue: the most probable items, not sequences of codes.

A beam is a beginning of a path with its log-probability, the sum of those of its codes. At each
level every beam is extended by the children of its node and by nothing else, each code's
probability being renormalised over these children, and the best of all extensions of all beams go
on. What comes out are items, and with enough beams it is the ranking of all items.

Three things follow from the tree and cost nothing in exactness:

- A path that has ended keeps its score and competes with longer ones.
- Where one path remains below a node, everything that follows on it has probability 1: the beam has
  arrived, and the network is not asked about it any more. In a sparse tree that is most of the last
  levels.
- Beams stand in the order of their paths, so equal scores are always decided for the path that
  comes first, on every machine, and no order is left to a partial sort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from tastebench.contracts import Ranking
from tastebench.errors import ProtocolError, UsageError, did_you_mean
from tastebench.items.trie import Gone, Trie

Mode = Literal["constrained", "free"]
Over = Literal["children", "level"]

Step = Callable[[int, Tensor | None, Tensor | None], Tensor]
"""`step(level, tokens, parents) -> logits`, what a search asks of a network.

Level 0: both None; logits `[b, sizes[0]]`. Level j: `tokens`, int64 `[b, k]`, are the codes of
level j - 1 that the beams have just taken, and `parents`, int64 `[b, k]`, say which beam of the
call before each of them continues (all 0 at level 1); logits `[b, k, sizes[j]]`. `k` differs from
call to call: beams that have arrived are not asked about, and after the last one there are no more
calls. Where users have fewer to ask about than others, the rest of the row is filled with some beam
or other; its answer is not used.
"""


@dataclass(frozen=True, eq=False)
class Beams:
    """What a search found, best first; equal scores in the order of their paths.

    Attributes:
        node: Leaf of the trie, int64 `[b, k]`; -1 in empty slots and for paths of no item.
        score: Log-probability, float32 `[b, k]`, descending; -inf in empty slots.
        path: Codes, int64 `[b, k, levels]`; -1 after the end of a path and in empty slots.
    """

    node: Tensor
    score: Tensor
    path: Tensor

    @property
    def invalid(self) -> Tensor:
        """Which slots hold a path that is no item's, bool `[b, k]`."""
        return (self.node < 0) & (self.score > -torch.inf)

    @property
    def invalid_rate(self) -> float:
        """The share of such paths among all that were found; NaN if none was."""
        found = int((self.score > -torch.inf).sum())
        return int(self.invalid.sum()) / found if found else float("nan")


@torch.no_grad()
def search(
    step: Step,
    trie: Trie,
    b: int,
    beams: int,
    *,
    mode: Mode = "constrained",
    over: Over = "children",
    device: torch.device | str | None = None,
    gone: Gone | None = None,
) -> Beams:
    """The most probable paths for each of `b` users.

    Args:
        step: The network; see `Step`. A logit may be -inf, but not all that a node's are.
        trie: The catalogue.
        b: Users.
        beams: Beginnings that are kept; there may be fewer paths than that.
        mode: `constrained` to items; or `free`: any code of a level may follow, the softmax is over
            the level, and a path ends where an item's does, else at the last level.
        over: What a code's probability is normalised over, if constrained: the `children` of its
            node, or all codes of the `level`, so that a path has the score that it has in a free
            search.
        device: Where the network computes; None for where the trie lies.
        gone: What each user may not get (`Trie.without`), on that device; for constrained searches.
            No beam goes there, so that as many others are found, with the scores that they have
            anyway.

    Returns:
        `[b, k]` slots, `k` at most `beams`.

    Raises:
        UsageError: No beams, or no such mode.
        ProtocolError: Logits of another shape, NaN or infinite.
    """
    _check(b, beams, mode, over, gone)
    trie = trie if device is None else trie.to(device)
    free, jumps = mode == "free", mode == "constrained" and over == "children"
    kept = _roots(trie, b, free=free, jumps=jumps, gone=gone)
    unsound = torch.zeros(b, dtype=torch.bool, device=trie.device)
    for level, size in enumerate(trie.sizes):
        unfinished = _unfinished(trie, kept)
        rows = _first_true(unfinished)
        if not rows.shape[1]:
            break
        asked = unfinished.gather(1, rows)
        logits = _logits(step, level, kept, rows, size)
        if free:
            scores = logits.log_softmax(dim=2).masked_fill(~asked[..., None], -torch.inf)
        else:
            scores = _children(trie, kept.node.gather(1, rows), asked, logits, over)
        # A softmax of what is NaN or infinite is NaN in every place.
        unsound |= (asked & scores[..., 0].isnan()).any(dim=1)
        if gone is not None:
            scores = _allowed(trie, kept.node.gather(1, rows), scores, gone)
        scores = scores + kept.score.gather(1, rows)[..., None]
        most = beams if free else min(beams, trie.widths[level])
        picked = _best(scores, rows, kept.score.masked_fill(unfinished, -torch.inf), most)
        kept = _extend(trie, kept, picked, level, jumps=jumps)
    if bool(unsound.any()):
        raise ProtocolError(
            "the network's logits are NaN, or infinite for all that may follow",
            where=f"user {int(unsound.nonzero()[0])} of {b}",
            fix="train with a lower learning rate, or look at the inputs of the network",
        )
    return _sorted(trie, kept)


def rank_items(beams: Beams, trie: Trie, k: int, *, whole_ties: bool = False) -> Ranking:
    """The items of the paths that were found, at most `k` a user.

    All items of a shared path have its score and stand side by side, ascending: nothing tells them
    apart, so equal scores next to each other mean no order, and a metric takes its expectation over
    one. For that a run of equal scores must not be cut: with `whole_ties` a list goes on to the end
    of the run that slot `k - 1` lies in, and there are as many slots as the longest list needs.

    A path of no item (`free`) holds a slot with item -1 and its score; slots beyond what was found
    have item -1 and score -inf.
    """
    b, width = beams.node.shape
    node = beams.node.clamp(min=0)
    first = trie.first_item[node]
    counts = torch.where(beams.node >= 0, trie.first_item[node + 1] - first, 1)
    counts = counts.masked_fill(beams.score == -torch.inf, 0)
    ends = counts.cumsum(dim=1)
    length = ends[:, -1].clamp(max=k)
    if whole_ties and k and b:
        last = torch.searchsorted(ends, length[:, None] - 1, right=True).clamp(max=width - 1)
        length = (counts * (beams.score >= beams.score.gather(1, last))).sum(dim=1)
        k = max(k, int(length.max()))
    slot = torch.arange(k, device=trie.device).expand(b, k).contiguous()
    beam = torch.searchsorted(ends, slot, right=True).clamp(max=width - 1)
    place = first.gather(1, beam) + slot - (ends - counts).gather(1, beam)
    item = trie.item[place.clamp(0, trie.n_items - 1)]
    empty = slot >= length[:, None]
    item = item.masked_fill(empty | (beams.node.gather(1, beam) < 0), -1)
    score = beams.score.gather(1, beam).masked_fill(empty, -torch.inf)
    return Ranking(item.to(torch.int32).cpu().numpy(), score.cpu().numpy(), ties=whole_ties)


# ------------------------------------------------------------------------------------ one level


@dataclass(frozen=True, eq=False)
class _Beginnings:
    """Beams on their way, `[b, k]` each, in the order of their paths.

    Attributes:
        node: Where each stands; -1 where a slot is empty, and off the trie.
        score: Log-probability so far; -inf where a slot is empty.
        token: The code taken last; 0 where there is none, which a network can read as well.
        parent: Which beam of the last call of `step` it continues.
        path: Codes so far, `[b, k, levels]`, where a node does not tell them.
    """

    node: Tensor
    score: Tensor
    token: Tensor
    parent: Tensor
    path: Tensor | None = None


@dataclass(frozen=True, eq=False)
class _Picked:
    """The extensions that go on, `[b, k]` each, in the order of their paths.

    Attributes:
        beam: Which beam each extends, or is, if it had ended.
        parent: The same among those that `step` was asked about; 0 for one that had ended.
        column: Which of its extensions.
        grown: False for a beam that had ended.
        score: Log-probability.
    """

    beam: Tensor
    parent: Tensor
    column: Tensor
    grown: Tensor
    score: Tensor


def _check(b: int, beams: int, mode: Mode, over: Over, gone: Gone | None) -> None:
    if b < 0 or beams < 1:
        raise UsageError(f"cannot search with {beams} beams for {b} users", fix="use 1 or more")
    for name, known in ((mode, get_args(Mode)), (over, get_args(Over))):
        if name not in known:
            raise UsageError(f"no beam search {name!r}", fix=did_you_mean(name, known))
    if mode == "free" and gone is not None:
        raise UsageError(
            "a free beam search goes anywhere, also to items that are left out",
            fix="leave them out of what it found, or search constrained",
        )


def _roots(trie: Trie, b: int, *, free: bool, jumps: bool, gone: Gone | None) -> _Beginnings:
    start = torch.zeros(b, 1, dtype=torch.int64, device=trie.device)
    node = torch.where(trie.only_leaf[start] >= 0, trie.only_leaf[start], 0) if jumps else start
    path = start.new_full((b, 1, len(trie.sizes)), -1) if free else None
    score = start.to(torch.float32)
    if gone is not None:  # all of somebody's items
        nothing = gone.at(torch.arange(b, device=trie.device)[:, None], start)
        node, score = node.masked_fill(nothing, -1), score.masked_fill(nothing, -torch.inf)
    return _Beginnings(node, score, start, start, path)


def _unfinished(trie: Trie, kept: _Beginnings) -> Tensor:
    """Which beams go on, bool `[b, k]`: those that are there and at no leaf."""
    leaf = (trie.only_leaf[kept.node.clamp(min=0)] == kept.node) & (kept.node >= 0)
    return ~leaf & (kept.score > -torch.inf)


def _first_true(mask: Tensor) -> Tensor:
    """Columns of the true ones of each row, ascending, `[b, most in a row]`; then others."""
    most = int(mask.sum(dim=1).max()) if len(mask) else 0
    return (~mask).argsort(dim=1, stable=True)[:, :most]


def _logits(step: Step, level: int, kept: _Beginnings, rows: Tensor, size: int) -> Tensor:
    """What the network says of the codes of a level, float32 `[b, r, size]`."""
    b, r = rows.shape
    if level:
        logits = step(level, kept.token.gather(1, rows), kept.parent.gather(1, rows))
    else:
        logits = step(0, None, None)
    shape = [b, r, size] if level else [b, size]
    if list(logits.shape) != shape:
        raise ProtocolError(
            f"the network gave logits {list(logits.shape)} at level {level}, not {shape}",
            fix="one row a beam that is asked about, one column a code of the level",
        )
    return logits.to(torch.float32).view(b, r, size)


def _children(trie: Trie, node: Tensor, asked: Tensor, logits: Tensor, over: Over) -> Tensor:
    """Log-probabilities of the children of each node, in their order, `[b, r, w]`.

    There are as many columns as the node of most children has; the rest of a row is -inf. At a wide
    root that is the level, further down a few.
    """
    inner = node.clamp(min=0)
    first = trie.first_edge[inner]
    count = (trie.first_edge[inner + 1] - first) * asked
    column = torch.arange(int(count.max()), device=trie.device)
    outside = column >= count[..., None]
    edge = (first[..., None] + column).clamp_(max=len(trie.token) - 1)
    code = trie.token[edge].masked_fill_(outside, 0)
    if over == "level":
        return logits.log_softmax(dim=2).gather(2, code).masked_fill_(outside, -torch.inf)
    own = logits.gather(2, code).masked_fill_(outside, -torch.inf)
    return own.log_softmax(dim=2).masked_fill_(outside, -torch.inf)


def _allowed(trie: Trie, node: Tensor, scores: Tensor, gone: Gone) -> Tensor:
    """The scores of the children of each node, `[b, r, w]`, -inf for those that are gone."""
    user = torch.arange(len(node), device=node.device)[:, None, None]
    column = torch.arange(scores.shape[2], device=node.device)
    child = trie.first_edge[node.clamp(min=0)][..., None] + column + 1
    return scores.masked_fill(gone.at(user, child), -torch.inf)


def _best(scores: Tensor, rows: Tensor, ended: Tensor, most: int) -> _Picked:
    """The `most` best of all extensions and of the beams that have ended.

    A beam's extensions come in the order of their codes and beams in the order of their paths, so a
    place, `beam x columns + column`, orders paths. Score and place make one integer, and no two
    real ones are equal, so the choice is the same on every machine; a partial sort of scores leaves
    open which of several equal ones it takes.

    Args:
        scores: Log-probabilities of extensions, float32 `[b, r, w]`; -inf for none.
        rows: The beams that they extend, `[b, r]`.
        ended: Log-probabilities of the beams that have ended, `[b, k]`; -inf for the others.
        most: How many are taken.
    """
    (b, r, w), k = scores.shape, ended.shape[1]
    column, beam = torch.arange(w, device=rows.device), torch.arange(k, device=rows.device)
    place = torch.cat([(rows[..., None] * w + column).view(b, r * w), (beam * w).expand(b, k)], 1)
    every = torch.cat([scores.view(b, r * w), ended], 1)
    picked = _order(every, place).topk(min(most, r * w + k), dim=1, sorted=False).indices
    picked = picked.gather(1, place.gather(1, picked).argsort(dim=1))
    grown = picked < r * w
    parent = torch.where(grown, picked // w, 0)
    beams = torch.where(grown, rows.gather(1, parent), picked - r * w)
    return _Picked(beams, parent, picked % w, grown, every.gather(1, picked))


def _order(scores: Tensor, place: Tensor) -> Tensor:
    """Integers that order by score, then by place, the first highest; int64."""
    bits = scores.view(torch.int32)  # a sum that began with 0.0 is never -0.0
    return ((bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(torch.int64) << 32) - place


def _extend(
    trie: Trie, kept: _Beginnings, picked: _Picked, level: int, *, jumps: bool
) -> _Beginnings:
    """The beams after a level; in a constrained search at the leaf where only one is left."""
    before, grown = kept.node.gather(1, picked.beam), picked.grown
    path = None
    if kept.path is None:
        edge = (trie.first_edge[before.clamp(min=0)] + picked.column).clamp(max=len(trie.token) - 1)
        token, node = trie.token[edge], edge + 1
        if jumps:
            only = trie.only_leaf[node]
            node = torch.where(only >= 0, only, node)
    else:
        token, node = picked.column, trie.child_of(before, picked.column)
        path = kept.path.take_along_dim(picked.beam[..., None], dim=1)
        path[..., level] = torch.where(grown, token, -1)
    empty = picked.score == -torch.inf
    return _Beginnings(
        torch.where(grown, node, before).masked_fill(empty, -1),
        picked.score,
        token.masked_fill(~grown | empty, 0),
        picked.parent,
        path,
    )


def _sorted(trie: Trie, kept: _Beginnings) -> Beams:
    """Best first, without the slots that are empty for all users."""
    score, order = kept.score.sort(dim=1, descending=True, stable=True)
    used = int((score > -torch.inf).sum(dim=1).max()) if len(score) else 0
    score, order = score[:, : max(used, 1)], order[:, : max(used, 1)]
    node = kept.node.gather(1, order)
    if kept.path is None:
        return Beams(node, score, trie.paths(node))
    path = kept.path.take_along_dim(order[..., None], dim=1)
    return Beams(node, score, path.masked_fill((score == -torch.inf)[..., None], -1))
