from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.errors import DataError
from tastebench.items.trie import Trie

# Items 0 and 4 share a path; item 2's is shorter.
CODES = np.array([[1, 0, 2], [0, 3, 1], [2, 1, -1], [0, 3, 0], [1, 0, 2]])


@st.composite
def catalogues(draw) -> np.ndarray:
    """Paths of one to four codes, none the beginning of another, some shared."""
    levels, size = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    n = draw(st.integers(1, 12))
    codes = draw(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, size - 1), min_size=levels, max_size=levels),
                st.integers(1, levels),
            ),
            min_size=n,
            max_size=n,
        )
    )
    paths = [tuple(path[:length]) for path, length in codes]
    # A path that another goes on from is replaced by one of those: the two then share it.
    whole = [
        max((p for p in paths if p[: len(own)] == own), key=lambda p: (len(p), p)) for own in paths
    ]
    return np.array([[*p, *[-1] * (levels - len(p))] for p in whole])


def walk(trie: Trie, path: list[int]) -> int | None:
    """Follows a path edge by edge."""
    node = 0
    for code in path:
        edges = range(int(trie.first_edge[node]), int(trie.first_edge[node + 1]))
        found = [e for e in edges if int(trie.token[e]) == code]
        if not found:
            return None
        node = int(trie.child[found[0]])
    return node


def test_a_trie_by_hand():
    #             0
    #     0/     1|      2\        level 0: nodes 1, 2, 3
    #     1       2       3
    #    3|      0|      1|        level 1: nodes 4, 5, 6 (leaf of item 2)
    #     4       5       6
    #   0/ 1\    2|                level 2: nodes 7 (item 3), 8 (item 1), 9 (items 0 and 4)
    trie = Trie.of(CODES)
    assert (trie.n_items, trie.n_nodes, trie.sizes) == (5, 10, (3, 4, 3))
    assert trie.token.tolist() == [0, 1, 2, 3, 0, 1, 0, 1, 2]
    assert trie.child.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert trie.first_edge.tolist() == [0, 3, 4, 5, 6, 8, 9, 9, 9, 9, 9]
    assert trie.item.tolist() == [2, 3, 1, 0, 4]
    assert trie.first_item.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 5]
    assert trie.only_leaf.tolist() == [-1, -1, 9, 6, -1, 9, 6, 7, 8, 9]
    assert trie.widths == (3, 3, 4)
    assert trie.paths(torch.tensor([[6, 9], [7, -1]])).tolist() == [
        [[2, 1, -1], [1, 0, 2]],
        [[0, 3, 0], [-1, -1, -1]],
    ]
    nodes, codes = torch.tensor([0, 0, 4, 4, 6, -1]), torch.tensor([1, 3, 1, 2, 0, 0])
    assert trie.child_of(nodes, codes).tolist() == [2, -1, 8, -1, -1, -1]


@settings(max_examples=150, deadline=None)
@given(catalogues())
def test_every_path_leads_to_its_items_and_to_nothing_else(codes: np.ndarray):
    trie = Trie.of(codes)
    paths = [[c for c in row if c >= 0] for row in codes.tolist()]
    distinct = {tuple(p[: i + 1]) for p in paths for i in range(len(p))}
    assert trie.n_nodes == 1 + len(distinct)
    for item, path in enumerate(paths):
        leaf = walk(trie, path)
        assert leaf is not None
        own = trie.item[trie.first_item[leaf] : trie.first_item[leaf + 1]].tolist()
        assert own == [other for other, its in enumerate(paths) if its == path] and item in own
        assert trie.first_edge[leaf] == trie.first_edge[leaf + 1]
        assert trie.paths(torch.tensor(leaf)).tolist() == codes[item].tolist()
    for level, width in enumerate(trie.widths):
        assert width == len({tuple(p[: level + 1]) for p in paths})


@settings(max_examples=100, deadline=None)
@given(catalogues())
def test_children_and_lone_leaves_are_those_of_the_paths(codes: np.ndarray):
    trie = Trie.of(codes)
    paths = {tuple(c for c in row if c >= 0) for row in codes.tolist()}
    beginnings = sorted({p[:i] for p in paths for i in range(len(p) + 1)})
    size = max(trie.sizes)
    for beginning in beginnings:
        node = walk(trie, list(beginning))
        below = [p for p in paths if p[: len(beginning)] == beginning]
        lone = walk(trie, list(below[0])) if len(below) == 1 else -1
        assert int(trie.only_leaf[node]) == lone
        codes_after = torch.arange(size)
        to = trie.child_of(torch.full((size,), node), codes_after).tolist()
        expected = [walk(trie, [*beginning, code]) for code in range(size)]
        assert to == [-1 if child is None else child for child in expected]


@settings(max_examples=100, deadline=None)
@given(catalogues(), st.integers(0, 999))
def test_what_is_gone_is_what_leads_to_nothing_that_is_left(codes: np.ndarray, seed: int):
    trie = Trie.of(codes)
    paths = [[c for c in row if c >= 0] for row in codes.tolist()]
    out = np.random.default_rng(seed).random((2, len(paths))) < 0.6
    user, item = (torch.from_numpy(a) for a in np.nonzero(out))
    gone = trie.without(user.flip(0), item.flip(0))
    spare = []
    for who in range(2):
        left = [path for path, o in zip(paths, out[who], strict=True) if not o]
        spare.append(sum(o and path in left for path, o in zip(paths, out[who], strict=True)))
        for path in paths:
            for end in range(len(path) + 1):
                node = walk(trie, path[:end])
                nothing = not any(other[:end] == path[:end] for other in left)
                at = gone.at(torch.tensor(who), torch.tensor(node))
                assert bool(at) is nothing
    assert gone.spare == max(spare)
    for each, path in zip(trie.lineage(torch.arange(len(paths))).tolist(), paths, strict=True):
        nodes = [walk(trie, path[:end]) for end in range(len(path) + 1)]
        assert each == nodes + [-1] * (len(trie.sizes) - len(path))


def test_sizes_may_be_wider_than_what_occurs():
    assert Trie.of(CODES, sizes=(256, 256, 8)).sizes == (256, 256, 8)


def test_one_item_and_one_level():
    one = Trie.of(np.array([[7, 0, 3]]))
    assert one.only_leaf.tolist() == [3, 3, 3, 3]
    unique = Trie.of(np.arange(5)[:, None])
    assert unique.widths == (5,) and unique.item.tolist() == [0, 1, 2, 3, 4]


def test_it_moves_whole():
    moved = Trie.of(CODES).to("meta")
    assert {moved.device.type, moved.codes.device.type, moved.edge_key.device.type} == {"meta"}
    assert moved.sizes == (3, 4, 3)


@pytest.mark.parametrize(
    ("codes", "sizes", "message"),
    [
        (np.zeros((0, 3), np.int64), None, "integers [items, levels], at least one of each"),
        (np.zeros((3, 0), np.int64), None, "at least one of each"),
        (np.zeros(3, np.int64), None, "not int64 [3]"),
        (np.zeros((3, 2)), None, "not float64 [3, 2]"),
        (CODES, (3, 4), "3 levels of codes, but sizes of 2 levels"),
        (CODES, (3, 3, 3), "code 3 is outside its level of size 3\n  where: item 1, level 1"),
        (np.array([[1, -2]]), None, "code -2 is outside its level\n  where: item 0, level 1"),
        (np.array([[0, 1], [-1, -1]]), None, "[-1, -1] is no path\n  where: item 1"),
        (np.array([[0, 1, 2], [0, -1, 2]]), None, "[0, -1, 2] is no path"),
        (
            np.array([[5, 1, 2], [5, 3, -1], [5, 3, 1]]),
            None,
            "the path of item 1, [5, 3], is the beginning of item 2's, [5, 3, 1]",
        ),
    ],
)
def test_what_is_no_catalogue_of_paths_is_refused(codes, sizes, message):
    with pytest.raises(DataError, match=re.escape(message)):
        Trie.of(codes, sizes)
