"""All items' code paths as one tree in arrays: what may follow a beginning, and whose path it is.

Nodes are numbered level by level and, within a level, in the order of their paths, so a node's
children are numbered in a row and edge `e` leads to node `e + 1`. Nothing here or in `beam` walks
the tree node by node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tastebench.errors import DataError


@dataclass(frozen=True, eq=False)
class Trie:
    """The tree of `n_items` paths, int64 tensors on one device; node 0 is the root.

    No path is the beginning of another, so what ends at a node has no children, and a node without
    children (a leaf) is somebody's whole path.

    Attributes:
        sizes: Codes that each level can have; as many as the longest path has codes.
        widths: Per level, how many paths there are when all are cut after it: no search over items
            can hold more.
        codes: The paths, `[n_items, levels]`, -1 after the end of a shorter one.
        first_edge: Edges of node `v` are `first_edge[v] .. first_edge[v + 1] - 1`, `[n_nodes + 1]`.
        token: Code on each edge, counted within its level; ascending in a node, `[n_edges]`.
        only_leaf: The leaf below a node where there is but one, else -1; a leaf is below itself,
            `[n_nodes]`.
        first_item: Items of node `v` are `item[first_item[v] : first_item[v + 1]]`, several where
            they share a path; `[n_nodes + 1]`.
        item: Items by node, ascending in a node, `[n_items]`.
        edge_key: `node * max(sizes) + code` of each edge, ascending, for `child_of`, `[n_edges]`.
    """

    n_items: int
    sizes: tuple[int, ...]
    widths: tuple[int, ...]
    codes: Tensor
    first_edge: Tensor
    token: Tensor
    only_leaf: Tensor
    first_item: Tensor
    item: Tensor
    edge_key: Tensor

    @classmethod
    def of(cls, codes: np.ndarray, sizes: Sequence[int] | None = None) -> Trie:
        """The trie of a catalogue, in memory of the CPU.

        Args:
            codes: Path of each item, integers `[n_items, levels]`, -1 after the end of a shorter
                path. Several items may have one path.
            sizes: Codes that each level can have; else one more than the highest that occurs.

        Raises:
            DataError: No items, a code outside its level, a path with a gap or without codes, or a
                path that is the beginning of another.
        """
        paths = _checked(codes, sizes)
        top = np.maximum(paths.max(axis=0), 0) + 1 if sizes is None else np.asarray(sizes)
        nodes = _Nodes.of(paths)
        n_nodes = len(nodes.parent)
        n_children = np.bincount(nodes.parent[1:], minlength=n_nodes)
        first_edge = _starts(n_children)
        item = np.argsort(nodes.of_item, kind="stable")
        first_item = _starts(np.bincount(nodes.of_item, minlength=n_nodes))
        _refuse_beginnings(paths, nodes.of_item, n_children)
        arrays = {
            "codes": paths,
            "first_edge": first_edge,
            "token": nodes.token[1:],
            "only_leaf": _only_leaves(nodes.levels, first_edge, n_children),
            "first_item": first_item,
            "item": item,
            "edge_key": nodes.parent[1:] * int(top.max()) + nodes.token[1:],
        }
        return cls(
            len(paths),
            tuple(int(size) for size in top),
            nodes.widths(n_children),
            **{name: torch.from_numpy(array.astype(np.int64)) for name, array in arrays.items()},
        )

    @property
    def n_nodes(self) -> int:
        """Nodes, the root and the leaves among them."""
        return len(self.only_leaf)

    @property
    def child(self) -> Tensor:
        """Where each edge leads, int64 `[n_edges]`."""
        return torch.arange(1, self.n_nodes, device=self.token.device)

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        return self.token.device

    def to(self, device: torch.device | str) -> Trie:
        """The same on another device."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: Any = {k: v.to(device) for k, v in parts.items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def child_of(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Where these codes lead from these nodes, -1 where nowhere; nodes of -1 lead nowhere."""
        wanted = nodes * max(self.sizes) + tokens  # below 0, and so no key, for a node of -1
        edge = torch.searchsorted(self.edge_key, wanted).clamp(max=len(self.edge_key) - 1)
        return torch.where((self.edge_key[edge] == wanted), edge + 1, -1)

    def paths(self, leaves: Tensor) -> Tensor:
        """Codes of leaves of any shape, `[..., levels]`; -1 after the end, and for a leaf of -1."""
        owner = self.item[self.first_item[leaves.clamp(min=0)].clamp(max=self.n_items - 1)]
        return self.codes[owner].masked_fill((leaves < 0)[..., None], -1)

    @cached_property
    def n_below(self) -> Tensor:
        """Items whose path goes through or ends at each node, int64 `[n_nodes]`."""
        nodes = self.lineage(torch.arange(self.n_items, device=self.device))
        return torch.bincount(nodes[nodes >= 0], minlength=self.n_nodes)

    def lineage(self, items: Tensor) -> Tensor:
        """Nodes of the paths of items `[n]` from the root on, int64 `[n, 1 + levels]`; -1 after."""
        nodes = [torch.zeros_like(items)]
        for code in self.codes[items].unbind(dim=1):
            node = self.child_of(nodes[-1], code.clamp(min=0))
            nodes.append(node.masked_fill(code < 0, -1))
        return torch.stack(nodes, dim=1)

    def without(self, user: Tensor, item: Tensor) -> Gone:
        """What is left of the tree for users who are to get some items no more.

        Args:
            user: Counted from 0, int64 `[n]`, in any order.
            item: What each of these users does not get, int64 `[n]`; may repeat.
        """
        pairs = torch.unique(user * self.n_items + item)
        user, nodes = pairs // self.n_items, self.lineage(pairs % self.n_items)
        every = (user[:, None] * self.n_nodes + nodes)[nodes >= 0]
        key, count = torch.unique(every, return_counts=True)
        gone = Gone(self.n_nodes, key[count == self.n_below[key % self.n_nodes]])
        stays = ~gone.at(user, nodes.amax(dim=1))  # the item does, its path does not
        spare = int(torch.bincount(user[stays]).max()) if bool(stays.any()) else 0
        return replace(gone, spare=spare)


@dataclass(frozen=True, eq=False)
class Gone:
    """Nodes of a trie with no item below that a user may still get.

    Attributes:
        n_nodes: Nodes of the trie.
        key: `user * n_nodes + node` of each such node, int64, ascending.
        spare: Items at most that some user does not get, but others of the same path.
    """

    n_nodes: int
    key: Tensor
    spare: int = 0

    def at(self, user: Tensor, node: Tensor) -> Tensor:
        """Which of these nodes are gone for these users, bool, of the shape of both together."""
        wanted = user * self.n_nodes + node
        if not len(self.key):
            return torch.zeros_like(wanted, dtype=torch.bool)
        place = torch.searchsorted(self.key, wanted).clamp(max=len(self.key) - 1)
        return self.key[place] == wanted


@dataclass(frozen=True, eq=False)
class _Nodes:
    """Nodes in their order: the root, then level by level by path.

    Attributes:
        parent: `[n_nodes]`; the root's is itself.
        token: Code that leads to each node; -1 for the root.
        of_item: Where each item's path ends, `[n_items]`.
        levels: First node of each level, and the number of nodes; level 0 is the root.
    """

    parent: np.ndarray
    token: np.ndarray
    of_item: np.ndarray
    levels: list[int]

    @classmethod
    def of(cls, paths: np.ndarray) -> _Nodes:
        """All nodes of paths `[n, levels]`."""
        order = np.lexsort(paths.T[::-1])
        rows = paths[order]
        here = np.zeros(len(rows), np.int64)  # the node that each sorted path has come to
        changed = np.zeros(len(rows), bool)
        changed[0] = True
        parents, tokens, levels = [np.zeros(1, np.int64)], [np.full(1, -1, np.int64)], [0, 1]
        for column in rows.T:
            changed[1:] |= column[1:] != column[:-1]
            goes_on = column >= 0
            new = changed & goes_on
            parents.append(here[new])
            tokens.append(column[new])
            here = np.where(goes_on, levels[-1] + np.cumsum(new) - 1, here)
            levels.append(levels[-1] + int(new.sum()))
        of_item = np.empty(len(rows), np.int64)
        of_item[order] = here
        return cls(np.concatenate(parents), np.concatenate(tokens), of_item, levels)

    def widths(self, n_children: np.ndarray) -> tuple[int, ...]:
        """Paths when all are cut after each level: its nodes, and the leaves above it."""
        leaves = np.concatenate(([0], np.cumsum(n_children == 0)))
        return tuple(stop - start + int(leaves[start]) for start, stop in pairwise(self.levels[1:]))


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(counts)))


def _only_leaves(levels: list[int], first_edge: np.ndarray, n_children: np.ndarray) -> np.ndarray:
    only = np.full(len(n_children), -1, np.int64)
    for start, stop in reversed(list(pairwise(levels))):
        nodes, children = np.arange(start, stop), n_children[start:stop]
        below = only[np.minimum(first_edge[start:stop] + 1, len(only) - 1)]
        only[start:stop] = np.where(children == 0, nodes, np.where(children == 1, below, -1))
    return only


def _checked(codes: np.ndarray, sizes: Sequence[int] | None) -> np.ndarray:
    """The paths as int64, known to be paths."""
    paths = np.asarray(codes)
    if paths.ndim != 2 or not paths.size or paths.dtype.kind not in "iu":
        raise DataError(
            f"codes are integers [items, levels], at least one of each, not {paths.dtype} "
            f"{list(paths.shape)}",
            fix="make semantic ids for the catalogue first",
        )
    if sizes is not None and len(sizes) != paths.shape[1]:
        raise DataError(f"{paths.shape[1]} levels of codes, but sizes of {len(sizes)} levels")
    limit = np.iinfo(np.int64).max if sizes is None else np.asarray(sizes)
    if not (good := (paths >= -1) & (paths < limit)).all():
        item, level = np.argwhere(~good)[0]
        raise DataError(
            f"code {paths[item, level]} is outside its level"
            + ("" if sizes is None else f" of size {sizes[level]}"),
            where=f"item {item}, level {level}",
            fix="codes count from 0; -1 stands after the end of a path",
        )
    given = paths >= 0
    if not (good := given[:, 0] & (given[:, 1:] <= given[:, :-1]).all(axis=1)).all():
        item = int(np.flatnonzero(~good)[0])
        raise DataError(
            f"{paths[item].tolist()} is no path",
            where=f"item {item}",
            fix="a path has at least one code, and -1 stands only after its end",
        )
    return paths.astype(np.int64)


def _refuse_beginnings(paths: np.ndarray, of_item: np.ndarray, n_children: np.ndarray) -> None:
    """No item's path may go on as another's: a search could not tell whether it has ended."""
    short = np.flatnonzero(n_children[of_item] > 0)
    if not len(short):
        return
    item = int(short[0])
    own = paths[item, paths[item] >= 0]
    same = (paths[:, : len(own)] == own).all(axis=1) & (of_item != of_item[item])
    other = int(np.flatnonzero(same)[0])
    raise DataError(
        f"the path of item {item}, {own.tolist()}, is the beginning of item {other}'s, "
        f"{paths[other, paths[other] >= 0].tolist()}",
        where=f"items {item} and {other}",
        fix="give all items that begin alike one code more, or one path",
    )
