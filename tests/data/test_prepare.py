"""Filters against hand-worked tables and a brute-force k-core; Spark is in test_spark."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.card import Counts, DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.prepare import (
    Filters,
    dedup,
    k_core,
    min_count,
    min_length,
    min_rating,
    prepare,
    sample_users,
)
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError

SCHEMA = {"user_id": pl.String, "item_id": pl.String, "time": pl.Int64, "row": pl.Int64}


def frame(pairs: list[tuple[str, str]], times: list[int] | None = None) -> pl.DataFrame:
    times = times or list(range(len(pairs)))
    rows = [(u, i, t, n) for n, ((u, i), t) in enumerate(zip(pairs, times, strict=True))]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def brute_force_core(pairs: list[tuple[str, str]], k: int) -> list[tuple[str, str]]:
    """One user or item at a time, in no clever order."""
    pairs = list(pairs)
    while True:
        users, items = Counter(u for u, _ in pairs), Counter(i for _, i in pairs)
        weak = next((u for u in users if users[u] < k), None)
        if weak is not None:
            pairs = [p for p in pairs if p[0] != weak]
            continue
        weak = next((i for i in items if items[i] < k), None)
        if weak is None:
            return pairs
        pairs = [p for p in pairs if p[1] != weak]


PAIRS = st.lists(st.tuples(st.sampled_from("uvwxyz"), st.sampled_from("abcdef")), max_size=40)


@settings(max_examples=150, deadline=None)
@given(PAIRS, st.integers(1, 4))
def test_k_core_is_the_brute_force_core_in_the_same_order(
    pairs: list[tuple[str, str]], k: int
) -> None:
    """T5: on random bipartite graphs."""
    core = k_core(frame(pairs), k).frame
    assert core.select("user_id", "item_id").rows() == brute_force_core(pairs, k)
    assert core["row"].is_sorted()


def test_k_core_counts_its_passes() -> None:
    # Pass 1 takes item c (1 event); pass 2 user w, left with one; pass 3 finds nothing to take.
    pairs = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "a"), ("w", "c")]
    core = k_core(frame(pairs), 2)
    assert core.frame["user_id"].unique().sort().to_list() == ["u", "v"]
    assert core.passes == 3
    assert k_core(core.frame, 2).passes == 1


def test_users_and_items_go_at_the_same_time() -> None:
    # Counted on the set as it was: a has 2 events in pass 1, although v (1 event) leaves in it.
    core = k_core(frame([("u", "a"), ("u", "b"), ("v", "a"), ("w", "b"), ("w", "b")]), 2)
    assert core.passes == 4
    assert core.frame.select("user_id", "item_id").rows() == [("w", "b"), ("w", "b")]


def test_the_core_of_nothing_is_nothing() -> None:
    assert k_core(frame([]), 5).frame.is_empty()


def test_dedup_keeps_the_earliest_then_the_lowest_row() -> None:
    clicks = frame(
        [("u", "a"), ("u", "a"), ("u", "b"), ("u", "a"), ("v", "a")],
        [9, -3, 5, -3, 100_000_000_000],
    )
    assert dedup(clicks)["row"].to_list() == [1, 2, 4]
    assert dedup(clicks.reverse())["row"].to_list() == [1, 2, 4]


def test_dedup_without_times_goes_by_row() -> None:
    clicks = frame([("u", "a"), ("u", "b"), ("u", "a")])
    no_times = clicks.with_columns(time=pl.lit(None, dtype=pl.Int64))
    assert dedup(no_times)["row"].to_list() == [0, 1]
    assert dedup(clicks.drop("time").reverse())["row"].to_list() == [0, 1]


@settings(max_examples=100, deadline=None)
@given(PAIRS.filter(bool), st.data())
def test_dedup_equals_a_dictionary(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    """T5: the earliest of a pair survives, of equal times the lower row."""
    times = data.draw(st.lists(st.integers(-3, 3), min_size=len(pairs), max_size=len(pairs)))
    clicks = frame(pairs, times)
    best: dict[tuple[str, str], tuple[int, int]] = {}
    for user, item, time, row in clicks.rows():
        best[user, item] = min(best.get((user, item), (time, row)), (time, row))
    assert dedup(clicks)["row"].to_list() == sorted(row for _, row in best.values())


def test_min_length_and_min_count_go_once() -> None:
    clicks = frame([("u", "a"), ("u", "b"), ("v", "a"), ("w", "b"), ("w", "c")])
    assert min_length(clicks, 2)["row"].to_list() == [0, 1, 3, 4]
    assert min_count(clicks, "item", 2)["row"].to_list() == [0, 1, 2, 3]


def test_min_rating_drops_the_unrated() -> None:
    clicks = frame([("u", "a"), ("u", "b"), ("v", "a")]).with_columns(
        rating=pl.Series([4.0, None, 3.5])
    )
    assert min_rating(clicks, 4)["row"].to_list() == [0]


def test_a_sample_depends_on_the_users_and_the_seed_only() -> None:
    clicks = frame([(f"u{n % 20}", "a") for n in range(60)])
    some = sample_users(clicks, 7, seed=1)
    users = set(some["user_id"])
    assert len(users) == 7
    assert len(some) == 21
    assert set(sample_users(clicks.reverse(), 7, seed=1)["user_id"]) == users
    assert set(sample_users(clicks, 7, seed=2)["user_id"]) != users
    assert sample_users(clicks, 20, seed=1).equals(clicks)


@pytest.mark.parametrize(
    "call",
    [
        lambda f: k_core(f, 0),
        lambda f: min_count(f, "item", 0),
        lambda f: sample_users(f, -1, 0),
    ],
)
def test_numbers_below_one_are_refused(call: Any) -> None:
    with pytest.raises(UsageError, match="must be at least 1"):
        call(frame([("u", "a")]))


FILTERS: dict[str, Any] = {
    "dedup": dedup,
    "k_core": lambda f: k_core(f, 4).frame,
    "min_length": lambda f: min_length(f, 8),
    "min_count": lambda f: min_count(f, "item", 10),
    "sample_users": lambda f: sample_users(f, 7, seed=3),
}
_rng = random.Random(0)
MANY = frame(
    [(f"u{int(60 * _rng.random() ** 2)}", f"i{int(40 * _rng.random() ** 2)}") for _ in range(300)],
    [_rng.randrange(50) for _ in range(300)],
)


@pytest.mark.parametrize("name", FILTERS)
def test_a_lazy_frame_gives_the_same_rows(name: str) -> None:
    expected = FILTERS[name](MANY)
    lazy = FILTERS[name](MANY.lazy())
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().sort("row").equals(expected.sort("row"))
    assert 0 < len(expected) < len(MANY)


# -------------------------------------------------------------------------- a dataset, prepared


@pytest.fixture
def shop() -> Dataset:
    pairs = [("u", "a"), ("u", "b"), ("v", "a"), ("v", "b"), ("w", "a"), ("w", "c"), ("u", "a")]
    tables = Tables(
        items=pl.DataFrame({"item_id": ["c", "b", "a", "d", "e"], "title": list("CBADE")}),
        interactions=frame(pairs).with_columns(rating=pl.Series([5.0, 5, 4, 4, 4, 4, 1])),
        users=pl.DataFrame({"user_id": ["u", "v", "w"], "age": [1, 2, 3]}),
        histories=pl.DataFrame({"user_id": ["u", "w"], "item_ids": [["a", "c"], ["c"]]}),
        queries=pl.DataFrame({"query_id": ["q"], "text": ["x"]}),
        relevance=pl.DataFrame({"query_id": ["q"], "item_id": ["e"]}),
        split=pl.DataFrame(
            {"user_id": ["u", "w"], "item_id": ["b", "c"], "part": ["test", "train"]}
        ),
    )
    card = DatasetCard(name="shop", title="Shop", known=Counts(users=3))
    return Dataset.create(card, tables, {"raw": "hand"})


def test_other_tables_follow_the_interactions(shop: Dataset) -> None:
    core = prepare(shop, Filters(dedup=True, k_core=2), "core")
    tables = core.tables
    assert tables.interactions is not None
    assert tables.interactions["row"].to_list() == [0, 1, 2, 3]
    # c lost its user and d never had one; e answers a query and stays.
    assert core.item_ids.to_list() == ["b", "a", "e"]
    assert tables.users is not None
    assert tables.users["user_id"].to_list() == ["u", "v"]
    assert tables.histories is not None
    assert tables.histories["item_ids"].to_list() == [["a"]]
    assert tables.split is not None
    assert tables.split.rows() == [("u", "b", "test")]
    assert (core.card.name, core.card.known) == ("core", Counts())


def test_the_manifest_says_what_was_done(shop: Dataset) -> None:
    made = prepare(shop, Filters(min_rating=4, dedup=True, k_core=2, min_length=2), "core").manifest
    assert made["steps"] == [
        {"step": "min_rating", "rating": 4.0, "rows_before": 7, "rows_after": 6},
        {"step": "dedup", "rows_before": 6, "rows_after": 6},
        {"step": "k_core", "k": 2, "passes": 3, "rows_before": 6, "rows_after": 4},
        {"step": "min_length", "n": 2, "rows_before": 4, "rows_after": 4},
    ]
    assert made["prepared_from"] == {"name": "shop", "fingerprint": shop.fingerprint}
    assert made["source"] == {"raw": "hand"}


def test_items_can_be_kept(shop: Dataset) -> None:
    kept = prepare(shop, Filters(k_core=2, keep_items=True), "core")
    assert kept.item_ids.to_list() == ["c", "b", "a", "d", "e"]


def test_what_cannot_be_filtered_is_said(shop: Dataset) -> None:
    with pytest.raises(DataError, match="no interaction is left after k_core 9"):
        prepare(shop, Filters(k_core=9), "core")
    with pytest.raises(DataError, match="no interactions to filter"):
        prepare(Dataset.create(shop.card, Tables(shop.tables.items)), Filters(), "core")
    unrated = Tables(shop.tables.items, frame([("u", "a")]))
    with pytest.raises(UsageError, match="needs ratings, and shop has none"):
        prepare(Dataset.create(shop.card, unrated), Filters(min_rating=4), "core")


def test_movielens_5_core_is_a_core(asset: Any) -> None:
    rows = asset("data/ml-100k") / "u.data"
    clicks = pl.read_csv(
        rows, separator="\t", has_header=False, new_columns=["user_id", "item_id", "rating", "time"]
    ).with_row_index("row")
    core, passes = k_core(clicks, 5)
    assert passes == 2
    assert core["item_id"].n_unique() == 1349  # of 1,682; every user rated 20 or more
    assert core["item_id"].value_counts()["count"].min() == 5  # type: ignore[operator]
