from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.encoders.cost import EncodeCost, ShardCost
from tastebench.encoders.shards import DamagedCacheWarning, DiskShards, Distinct, leaves

COST = ShardCost(seconds=2.0, texts=3, tokens=30, parameters=7, device="cpu", dtype="float32")


def members(texts: list[str], capacity: int) -> set[frozenset[str]]:
    distinct = Distinct.of(texts)
    ordered = [texts[row] for row in distinct.first]
    return {frozenset(ordered[part]) for part in leaves(distinct.hashes[:, 0], capacity)}


def test_distinct_texts_are_found_with_their_rows():
    texts = ["b", "a", "b", "", "a", "b"]
    distinct = Distinct.of(texts)
    assert len(distinct.first) == 3
    assert [texts[row] for row in distinct.first[distinct.of_row]] == texts
    assert sorted(distinct.first.tolist()) == [0, 1, 3]
    digests = [hashlib.blake2b(t.encode(), digest_size=16).digest() for t in ("", "a", "b")]
    assert [row.tobytes() for row in distinct.hashes] == sorted(digests)


def test_content_ignores_order_and_copies_and_order_does_not():
    first, second = Distinct.of(["a", "b", "a"]), Distinct.of(["b", "a"])
    assert first.content() == second.content()
    assert first.order() != second.order()
    assert Distinct.of(["a", "c"]).content() != first.content()


@pytest.mark.parametrize(
    ("hashes", "capacity", "expected"),
    [
        # Leading bits 00, 01, 10, 11.
        ([0, 1 << 62, 2 << 62, 3 << 62], 4, [(0, 4)]),
        ([0, 1 << 62, 2 << 62, 3 << 62], 2, [(0, 2), (2, 4)]),
        ([0, 1 << 62, 2 << 62, 3 << 62], 1, [(0, 1), (1, 2), (2, 3), (3, 4)]),
        # All in the lower half: the first bit divides nothing, the second does.
        ([0, 1, 1 << 62], 2, [(0, 2), (2, 3)]),
        # Equal leading 64 bits cannot be divided.
        ([5, 5, 5], 2, [(0, 3)]),
        ([], 2, []),
    ],
)
def test_leaves_by_hand(hashes, capacity, expected):
    array = np.array(hashes, dtype=np.uint64)
    assert [(part.start, part.stop) for part in leaves(array, capacity)] == expected


@given(st.sets(st.text(max_size=4), min_size=1, max_size=60), st.integers(1, 9))
def test_shards_divide_the_texts_and_are_no_larger_than_allowed(texts, capacity):
    shards = members(sorted(texts), capacity)
    assert sorted(text for shard in shards for text in shard) == sorted(texts)
    assert max(map(len, shards)) <= capacity


@given(
    st.lists(st.text(max_size=4), min_size=1, max_size=60, unique=True),
    st.randoms(use_true_random=False),
)
def test_membership_does_not_depend_on_order_or_copies(texts, random):
    mixed = texts + texts[: len(texts) // 2]
    random.shuffle(mixed)
    assert members(mixed, 4) == members(texts, 4)


@given(st.lists(st.text(max_size=4), min_size=2, max_size=60, unique=True))
def test_one_more_text_touches_one_shard(texts):
    before, after = members(texts[1:], 4), members(texts, 4)
    # What is new all comes from one old shard: it grew, or it was divided.
    touched = before - after
    assert len(touched) <= 1
    new = frozenset().union(*(after - before))
    assert new == frozenset().union(*touched) | {texts[0]}


def test_a_shard_comes_back_as_it_went(tmp_path):
    store = DiskShards(tmp_path)
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert store.read("key", 3) is None
    store.write("key", vectors, COST)
    kept, cost = store.read("key", 3)
    np.testing.assert_array_equal(kept, vectors)
    assert cost == COST
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["key.safetensors"]


@pytest.mark.parametrize("damage", ["flip a bit", "truncate", "empty", "other text", "wrong size"])
def test_a_damaged_shard_is_reported_and_missing(tmp_path, damage):
    store = DiskShards(tmp_path)
    store.write("key", np.ones((3, 2), dtype=np.float32), COST)
    path = store.path("key")
    content = bytearray(path.read_bytes())
    if damage == "flip a bit":
        content[-1] ^= 1
    path.write_bytes(
        {
            "truncate": bytes(content[:-5]),
            "empty": b"",
            "other text": b"not a shard at all",
        }.get(damage, bytes(content))
    )
    with pytest.warns(DamagedCacheWarning, match="damaged and will be made again"):
        assert store.read("key", 4 if damage == "wrong size" else 3) is None


def test_costs_add_up():
    other = ShardCost(
        seconds=1.0, texts=6, tokens=None, parameters=None, device="cuda", dtype="bfloat16"
    )
    total = EncodeCost.total([COST, other], texts=12, cached=True)
    assert total == EncodeCost(
        seconds=3.0,
        texts=12,
        texts_encoded=9,
        cached=True,
        texts_per_second=3.0,
        tokens=None,
        parameters=7,
        device="cpu+cuda",
        dtype="bfloat16+float32",
    )
    assert EncodeCost.total([COST], texts=3, cached=False).tokens == 30
