"""Splits by hand, what they leak, and what is true of every split."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.data.split import LEAKS, cutoffs, default_split, leakage, split
from tastebench.errors import DataError, UsageError

CARD = DatasetCard(name="shop", title="Shop")

# The absolute cut-offs that the Amazon Reviews 2023 benchmark uses.
T1, T2 = 1_628_643_414_042, 1_658_002_729_837


def shop(
    pairs: list[tuple[str, str]],
    times: list[int] | None = None,
    card: DatasetCard = CARD,
    **more: Any,
) -> Dataset:
    items = pl.DataFrame({"item_id": sorted({item for _, item in pairs})})
    clicks = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    if times is not None:
        clicks = clicks.with_columns(time=pl.Series(times, dtype=pl.Int64))
    return Dataset.create(card, Tables(items, clicks, **more))


def test_last_out_of_users_with_one_two_and_three_events() -> None:
    """T6: (test), (valid, test), (train, valid, test)."""
    pairs = [
        ("one", "a"),
        ("two", "a"),
        ("two", "b"),
        ("three", "a"),
        ("three", "b"),
        ("three", "c"),
    ]
    parts = split(shop(pairs), SplitSpec(kind="last_out"))
    assert parts.tolist() == [2, 1, 2, 0, 1, 2]
    assert parts.dtype == np.int8


def test_last_out_goes_by_time_then_row() -> None:
    pairs = [("u", "late"), ("u", "early"), ("u", "tie1"), ("u", "tie2")]
    data = shop(
        pairs, [1_000_000_000_000, 999_999_999_999, -5, -5]
    )  # 13 and 12 digits, before 1970
    parts = split(data, SplitSpec(kind="last_out"))
    names = data.item_ids.gather(data.events().item).to_list()
    assert dict(zip(names, parts.tolist(), strict=True)) == {
        "tie1": 0,
        "tie2": 0,
        "early": 1,
        "late": 2,
    }


def test_time_cut_offs_belong_to_the_later_part() -> None:
    """T4: at the benchmark's cut-offs, with times of 12 digits and before 1970."""
    times = [T1 - 1, T1, T2 - 1, T2, 946_684_800_000, -1]
    data = shop([(f"u{n}", "a") for n in range(6)], times)
    parts = split(data, SplitSpec(kind="time", valid_from=T1, test_from=T2))
    assert parts.tolist() == [0, 1, 1, 2, 0, 0]


@pytest.mark.parametrize(
    ("times", "ratios", "expected"),
    [
        (range(10), (0.8, 0.1, 0.1), (8, 9)),
        (range(100), (0.7, 0.01, 0.29), (70, 71)),  # 0.29 * 100 is 28.999... in binary
        ([1, 1, 1, 1, 1, 1, 1, 2, 2, 2], (0.8, 0.1, 0.1), (2, 2)),
        (range(10), (0.9, 0.1, 0.0), (9, 10)),
        ([3, 1, 2, 0], (0.5, 0.25, 0.25), (2, 3)),
    ],
)
def test_cut_offs_from_ratios(
    times: Any, ratios: tuple[float, float, float], expected: tuple[int, int]
) -> None:
    assert cutoffs(np.array(list(times)), ratios) == expected


def test_events_at_one_time_are_not_cut_apart() -> None:
    times = [1, 2, 2, 2, 2, 2, 3, 4, 5, 5]
    parts = split(shop([("u", "a")] * 10, times), SplitSpec(kind="time", ratios=(0.5, 0.2, 0.3)))
    assert parts.tolist() == [0, 1, 1, 1, 1, 1, 1, 2, 2, 2]


def test_ratio_by_user_gives_the_rest_to_train() -> None:
    pairs = [("u", str(n)) for n in range(7)] + [("v", str(n)) for n in range(3)]
    parts = split(shop(pairs), SplitSpec(kind="ratio", ratios=(0.4, 0.3, 0.3)))
    # u: floor(2.1) = 2 each for valid and test; v: floor(0.9) = 0 each.
    assert parts.tolist() == [0, 0, 0, 1, 1, 2, 2, 0, 0, 0]


@pytest.mark.parametrize(("by", "counts"), [("all", (4, 3, 3)), ("user", (4, 3, 3))])
def test_random_shares(by: Any, counts: tuple[int, int, int]) -> None:
    data = shop([("u", str(n)) for n in range(10)])
    spec = SplitSpec(kind="random", by=by, ratios=(0.4, 0.3, 0.3))
    parts = split(data, spec)
    assert tuple(np.bincount(parts)) == counts
    assert np.array_equal(parts, split(data, spec))
    other = split(data, spec.model_copy(update={"seed": 102}))
    assert not np.array_equal(parts, other)


def test_random_by_user_has_the_shares_within_each_user() -> None:
    pairs = [(f"u{n % 7}", str(n)) for n in range(70)]
    data = shop(pairs)
    parts = split(data, SplitSpec(kind="random", by="user", ratios=(0.4, 0.3, 0.3)))
    for user in range(7):
        assert tuple(np.bincount(parts[data.events().user == user])) == (4, 3, 3)


def test_random_keeps_events_of_a_pair_together() -> None:
    pairs = [("u", str(n % 10)) for n in range(40)]
    data = shop(pairs)
    parts = split(data, SplitSpec(kind="random", by="all", ratios=(0.4, 0.3, 0.3)))
    for item in range(10):
        assert len(set(parts[data.events().item == item])) == 1
    assert leakage(data, parts).repeated == 0


def test_cold_rows_leave_valid_and_test_if_asked() -> None:
    pairs = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "c"), ("w", "a"), ("u", "c")]
    data = shop([*pairs, ("v", "b")], [1, 2, 3, 4, 5, 6, 7])
    spec = SplitSpec(kind="time", valid_from=4, test_from=6)
    of = {
        (data.user_ids[int(u)], data.item_ids[int(i)]): at
        for at, (u, i) in enumerate(zip(data.events().user, data.events().item, strict=True))
    }
    warm = split(data, spec.model_copy(update={"drop_cold": True}))
    assert warm.dtype == np.int8
    # c is in valid and test, not in train; w is in valid alone; v's b is known on both sides.
    assert {pair: int(warm[at]) for pair, at in of.items()} == {
        ("u", "a"): 0,
        ("u", "b"): 0,
        ("v", "a"): 0,
        ("v", "c"): -1,
        ("w", "a"): -1,
        ("u", "c"): -1,
        ("v", "b"): 2,
    }
    assert sorted(split(data, spec)) == [0, 0, 0, 1, 1, 2, 2]


def test_items_that_are_held_out_are_in_test_alone() -> None:
    """Each of ten users takes all ten items, ending with another one: test asks about all ten."""
    pairs = [(f"u{u}", str((u + n) % 10)) for u in range(10) for n in range(10)]
    data = shop(pairs)
    item = data.events().item
    plain = split(data, SplitSpec(kind="last_out"))
    parts = split(data, SplitSpec(kind="last_out", cold_items=0.25))
    cold = set(item[parts == 2]) - set(item[parts == 0])
    assert len(cold) == 2  # a quarter of ten, rounded down
    held = np.isin(item, list(cold)) & (plain != 2)
    assert (parts[held] == -1).all() and (parts[~held] == plain[~held]).all()
    assert (split(data, SplitSpec(kind="last_out", cold_items=0.25)) == parts).all()
    other = split(data, SplitSpec(kind="last_out", cold_items=0.25, seed=7))
    assert set(item[other == 2]) - set(item[other == 0]) != cold


def test_a_test_part_that_is_all_cold_is_said() -> None:
    data = shop([("u", "a"), ("u", "b"), ("v", "c")], [1, 2, 3])
    spec = SplitSpec(kind="time", valid_from=2, test_from=3, drop_cold=True)
    with pytest.raises(UsageError, match="leaves test empty"):
        split(data, spec)


def test_the_given_split_matches_pairs_and_drops_the_unlisted() -> None:
    pairs = [("u", "a"), ("u", "b"), ("u", "a"), ("u", "c"), ("v", "a"), ("v", "b"), ("v", "b")]
    table = pl.DataFrame(
        [
            ("v", "b", "valid"),
            ("u", "a", "test"),
            ("u", "a", "train"),
            ("u", "b", "train"),
            ("v", "a", "test"),
            ("zz", "a", "test"),
        ],
        schema=["user_id", "item_id", "part"],
        orient="row",
    )
    parts = split(shop(pairs, split=table), SplitSpec(kind="given"))
    # u: the first a is train and the second test, c is not listed; v: one row for both b.
    assert parts.tolist() == [0, 0, 2, -1, 2, 1, 1]


@pytest.mark.parametrize(
    ("data", "spec", "says"),
    [
        (shop([("u", "a")]), SplitSpec(kind="time"), "needs times, and shop has none"),
        (shop([("u", "a")]), SplitSpec(kind="given"), "brings no split of its own"),
        (shop([("u", "a")]), SplitSpec(kind="last_out"), "leaves train empty on shop"),
        (
            shop([("u", "a")] * 4, [7] * 4),
            SplitSpec(kind="time"),
            "leaves test empty on shop|leaves train empty on shop",
        ),
        (shop([("u", "a")] * 4), SplitSpec(kind="ratio"), "leaves test empty on shop"),
        (
            shop([("u", "a")] * 2, [1, 2]),
            SplitSpec(kind="time", valid_from=5, test_from=9),
            "leaves test empty",
        ),
    ],
)
def test_a_split_that_cannot_be_is_said(data: Dataset, spec: SplitSpec, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        split(data, spec)
    assert caught.value.fix


def test_nothing_to_split_is_said() -> None:
    empty = Dataset.create(CARD, Tables(pl.DataFrame({"item_id": ["a"]})))
    with pytest.raises(DataError, match="no interactions to split"):
        split(empty, SplitSpec(kind="last_out"))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ratios": (0.8, 0.1, 0.2)}, "sum to 1"),
        ({"ratios": (1.1, -0.2, 0.1)}, "sum to 1"),
        ({"valid_from": 5}, "go together"),
        ({"valid_from": 5, "test_from": 4}, "later than test_from"),
        ({"kind": "last_out", "valid_from": 5, "test_from": 6}, "cut-offs are for the split time"),
    ],
)
def test_a_spec_that_cannot_be_meant_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SplitSpec(**{"kind": "time", **fields})


# ------------------------------------------------------------------------------------- the default


def test_default_by_time_then_order_then_random() -> None:
    pairs = [("u", "a"), ("u", "b"), ("v", "a")]
    assert default_split(shop(pairs, [1, 2, 3]), "seqrec").kind == "time"
    assert default_split(shop(pairs, [7, 7, 7]), "seqrec").kind == "last_out"
    assert default_split(shop(pairs), "seqrec").kind == "last_out"
    clicks = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    unordered = Tables(pl.DataFrame({"item_id": ["a", "b"]}), clicks.with_columns(row=0))
    found = Dataset.create(CARD, unordered)
    assert default_split(found, "cf") == SplitSpec(kind="random", by="all")


def test_the_card_decides_for_its_task_and_the_split_table_before_the_columns() -> None:
    by_card = SplitSpec(kind="random", by="all", ratios=(0.4, 0.3, 0.3))
    card = CARD.model_copy(update={"splits": {"cf": by_card}})
    table = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "part": ["train"]})
    data = shop([("u", "a"), ("u", "b")], [1, 2], card=card, split=table)
    assert default_split(data, "cf") == by_card
    assert default_split(data, "seqrec").kind == "given"


# ---------------------------------------------------------------------------------------- leakage


def test_leakage_by_hand() -> None:
    pairs = [("u", "a"), ("u", "b"), ("u", "a"), ("v", "c"), ("v", "d"), ("w", "e")]
    data = shop(pairs, [10, 20, 20, 15, 40, 5])
    parts = np.array([0, 0, 2, 0, 2, 2], dtype=np.int8)
    found = leakage(data, parts, SplitSpec(kind="last_out"))
    assert found.counts == {"train": 3, "valid": 0, "test": 3, "dropped": 0}
    assert found.future == 1.0  # w's test event is at 5, all of train is later
    assert found.cold_users == pytest.approx(1 / 3)  # w, of u, v, w
    assert found.cold_items == pytest.approx(2 / 3)  # d and e, of a, d, e
    assert found.repeated == pytest.approx(1 / 3)  # u had a before
    assert found.tied == pytest.approx(1 / 3)  # u's test event is at the time of u's event on b
    assert found.sentence.startswith("Leave-last-out")
    assert set(found.to_dict()) >= {"sentence", "future", "tied"}


def test_leakage_without_times_says_so() -> None:
    data = shop([("u", "a"), ("u", "b"), ("u", "c")])
    found = leakage(data, split(data, SplitSpec(kind="last_out")))
    assert (found.future, found.tied) == (None, None)


def test_every_kind_of_split_says_in_one_line_what_it_leaks() -> None:
    kinds = SplitSpec.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]
    assert set(LEAKS) == set(kinds)
    assert all("\n" not in sentence for sentence in LEAKS.values())


EVENTS = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcde"), st.integers(-50, 50)),
    min_size=12,
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.sampled_from(["last_out", "time", "ratio", "random"]))
def test_what_is_true_of_every_split(events: list[tuple[str, str, int]], kind: Any) -> None:
    data = shop([(u, i) for u, i, _ in events], [t for _, _, t in events])
    try:
        parts = split(data, SplitSpec(kind=kind, ratios=(0.4, 0.3, 0.3)))
    except UsageError as error:
        assert "empty" in error.what
        return
    user, _, time, _ = data.events()
    assert time is not None
    assert len(parts) == len(events)
    assert set(parts) <= {0, 1, 2}
    if kind == "time":
        assert time[parts == 0].max() < time[parts > 0].min()
        assert leakage(data, parts).future == 0
    if kind in ("last_out", "ratio"):
        # Along a user's events the part never falls.
        same_user = np.diff(user) == 0
        assert (np.diff(parts.astype(int))[same_user] >= 0).all()
    if kind == "random":
        assert leakage(data, parts).repeated == 0


def test_whole_users_are_in_one_part_and_only_their_last_event_is_asked() -> None:
    pairs = [(f"u{n}", item) for n in range(10) for item in "abc"]
    spec = SplitSpec(kind="user", users=(5, 2, 2), seed=1)
    data = shop(pairs)
    parts = split(data, spec).reshape(10, 3)
    kinds = Counter(tuple(row) for row in parts.tolist())
    assert kinds == {(0, 0, 0): 5, (3, 3, 1): 2, (3, 3, 2): 2, (-1, -1, -1): 1}
    assert np.array_equal(split(data, spec), parts.ravel())
    assert not np.array_equal(split(data, spec.model_copy(update={"seed": 2})), parts.ravel())
    assert leakage(data, parts.ravel(), spec).counts == {
        "train": 15,
        "valid": 2,
        "test": 2,
        "past": 8,
        "dropped": 3,
    }


def test_with_fewer_users_than_named_all_parts_shrink_alike() -> None:
    pairs = [(f"u{n}", "a") for n in range(10)]
    parts = split(shop(pairs), SplitSpec(kind="user", users=(60, 20, 20)))
    assert Counter(parts.tolist()) == {0: 6, 1: 2, 2: 2}
    by_share = split(shop(pairs), SplitSpec(kind="user", ratios=(0.5, 0.2, 0.3)))
    assert Counter(by_share.tolist()) == {0: 5, 1: 2, 2: 3}


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"kind": "time", "users": (1, 1, 1)}, "users says how many of them"),
        ({"kind": "user", "users": (1, -1, 1)}, "users says how many of them"),
        ({"kind": "last_out", "drop_cold": True, "cold_items": 0.1}, "would leave out what"),
        ({"kind": "user", "drop_cold": True}, "tests on people that training does not know"),
    ],
)
def test_a_split_by_users_that_cannot_be_meant_is_refused(spec: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SplitSpec(**spec)
