"""Labelled rows by hand: where they come from, how they are cut, what came before them."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.card import DatasetCard, RowsSpec, SplitSpec
from tastebench.data.dataset import Dataset, Events
from tastebench.data.labelled import default_rows, default_split, draw_untaken, label_rows
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError

CARD = DatasetCard(name="shop", title="Shop")
LABELS, SAMPLED, SHOWN = (RowsSpec(source=s) for s in ("labels", "sampled", "impressions"))
BY_TIME = SplitSpec(kind="time", valid_from=30, test_from=40)
LETTERS = list("abcdefgh")


def log(rows: list[tuple[Any, ...]], columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=columns, orient="row")


def shop(**tables: Any) -> Dataset:
    return Dataset.create(CARD, Tables(pl.DataFrame({"item_id": LETTERS}), **tables))


def rows_of(dataset: Dataset, rows: RowsSpec, split: SplitSpec, length: int = 20) -> list[tuple]:
    """(user, item, label, part, history) with names, so that expected values can be read."""
    labelled, history = label_rows(dataset, rows, split, length)
    names, people = np.array(LETTERS), dataset.everyone.to_numpy()
    return [
        (people[u], str(names[i]), int(y), int(p), "".join(names[history[c]]))
        for u, i, y, p, c in zip(
            labelled.user,
            labelled.item,
            labelled.label,
            labelled.part,
            labelled.context,
            strict=True,
        )
    ]


TIMED = ["user_id", "item_id", "time", "label"]


def test_labels_have_what_was_clicked_strictly_before_them() -> None:
    data = shop(
        interactions=log(
            [
                ("u", "a", 10, 1),
                ("u", "b", 20, 0),  # not clicked: in no history
                ("u", "c", 30, 1),
                ("u", "d", 30, 1),  # the same moment: neither is in the other's history
                ("u", "e", 40, 1),
                ("v", "a", 5, 1),
                ("v", "b", 45, 0),
            ],
            TIMED,
        )
    )
    assert rows_of(data, LABELS, BY_TIME) == [
        ("u", "a", 1, 0, ""),
        ("u", "b", 0, 0, "a"),
        ("u", "c", 1, 1, "a"),
        ("u", "d", 1, 1, "a"),
        ("u", "e", 1, 2, "acd"),
        ("v", "a", 1, 0, ""),
        ("v", "b", 0, 2, "a"),
    ]
    assert rows_of(data, LABELS, BY_TIME, length=2)[4] == ("u", "e", 1, 2, "cd")


def test_without_times_the_order_of_rows_is_time() -> None:
    data = shop(
        interactions=log(
            [("u", "a", 1), ("u", "b", 1), ("v", "c", 0), ("v", "d", 1), ("u", "c", 0)],
            ["user_id", "item_id", "label"],
        ),
        split=log(
            [("u", "a", "train"), ("u", "b", "train"), ("u", "c", "test"), ("v", "c", "train")],
            ["user_id", "item_id", "part"],
        ),
    )
    assert default_split(data, LABELS) == SplitSpec(kind="given")
    assert rows_of(data, LABELS, SplitSpec(kind="given")) == [
        ("u", "a", 1, 0, ""),
        ("u", "b", 1, 0, "a"),
        ("u", "c", 0, 2, "ab"),
        ("v", "c", 0, 0, ""),
        ("v", "d", 1, -1, ""),
    ]


def test_ratings_above_are_clicks_below_are_none_and_equal_ones_go() -> None:
    data = shop(
        interactions=log(
            [
                ("u", "a", 10, 4.0),
                ("u", "b", 20, 3.0),
                ("u", "c", 30, 2.5),
                ("u", "d", 40, 3.5),
                ("u", "e", 41, None),
            ],
            ["user_id", "item_id", "time", "rating"],
        )
    )
    assert default_rows(data) == LABELS
    found = rows_of(data, LABELS, BY_TIME)
    assert found == [("u", "a", 1, 0, ""), ("u", "c", 0, 1, "a"), ("u", "d", 1, 2, "a")]
    # What is no click in the rows is none in a history either.
    high = rows_of(data, RowsSpec(source="labels", threshold=3.75), BY_TIME)
    assert high[-1] == ("u", "d", 0, 2, "a")


def test_impressions_take_histories_from_clicks_before_them_or_as_given() -> None:
    shown = log(
        [
            ("p1", "u", "a", 10, 1),
            ("p1", "u", "b", 10, 0),
            ("p2", "u", "c", 35, 1),
            ("p3", "w", "d", 45, 0),
            ("p3", "w", "a", 45, 1),
        ],
        ["impression_id", "user_id", "item_id", "time", "label"],
    )
    clicks = log([("u", "a", 10), ("u", "c", 35)], ["user_id", "item_id", "time"])
    data = shop(interactions=clicks, impressions=shown)
    assert default_rows(data) == SHOWN
    assert rows_of(data, SHOWN, BY_TIME) == [
        ("u", "a", 1, 0, ""),
        ("u", "b", 0, 0, ""),
        ("u", "c", 1, 1, "a"),
        ("w", "d", 0, 2, ""),
        ("w", "a", 1, 2, ""),
    ]
    labelled, _ = label_rows(data, SHOWN, BY_TIME, 20)
    assert labelled.impression.tolist() == [0, 0, 1, 2, 2]
    given_ = pl.DataFrame({"user_id": ["w"], "item_ids": [["h", "g", "f"]]})
    told = shop(interactions=clicks, impressions=shown, histories=given_)
    # What was clicked in an earlier part is behind it in a later one, whoever has none given.
    assert [row[4] for row in rows_of(told, SHOWN, BY_TIME, length=2)] == ["", "", "a", "gf", "gf"]


def test_impressions_bring_their_own_split() -> None:
    shown = log(
        [("1", "u", "a", 1, "train"), ("2", "v", "b", 0, "valid"), ("3", "w", "c", 1, "test")],
        ["impression_id", "user_id", "item_id", "label", "part"],
    )
    data = shop(impressions=shown)
    assert default_split(data, SHOWN) == SplitSpec(kind="given")
    assert [row[3] for row in rows_of(data, SHOWN, SplitSpec(kind="given"))] == [0, 1, 2]
    wrong = shop(impressions=shown.with_columns(part=pl.Series(["train", "dev", "test"])))
    with pytest.raises(DataError, match="part 'dev' is none of train, valid, test") as error:
        label_rows(wrong, SHOWN, SplitSpec(kind="given"), 20)
    assert error.value.where is not None and "row 2" in error.value.where


def test_without_times_clicks_in_earlier_lists_are_the_history() -> None:
    # The lists lie within one another: `w` begins before `x`, and its click stands after.
    shown = log(
        [
            ("w", "u", "a", 0, "train"),
            ("x", "u", "b", 1, "train"),
            ("w", "u", "c", 1, "train"),
            ("y", "u", "d", 0, "test"),
            ("z", "v", "e", 1, "test"),
        ],
        ["impression_id", "user_id", "item_id", "label", "part"],
    )
    clicks = log([("u", "b", 1), ("u", "c", 2), ("v", "e", 4)], ["user_id", "item_id", "row"])
    own = SplitSpec(kind="given")
    for data in (shop(impressions=shown), shop(impressions=shown, interactions=clicks)):
        assert rows_of(data, SHOWN, own) == [
            ("u", "a", 0, 0, ""),
            ("u", "b", 1, 0, "c"),
            ("u", "c", 1, 0, ""),
            ("u", "d", 0, 2, "cb"),
            ("v", "e", 1, 2, ""),
        ]
    unordered = shop(impressions=shown, interactions=clicks.with_columns(row=pl.lit(0)))
    assert {history for *_, history in rows_of(unordered, SHOWN, own)} == {""}


def test_without_interactions_the_clicks_of_impressions_are_the_history() -> None:
    shown = log(
        [
            ("1", "u", "a", 10, 1),
            ("1", "u", "b", 10, 0),
            ("2", "u", "c", 35, 1),
            ("3", "u", "d", 45, 0),
        ],
        ["impression_id", "user_id", "item_id", "time", "label"],
    )
    found = rows_of(shop(impressions=shown), SHOWN, BY_TIME)
    assert [history for *_, history in found] == ["", "", "a", "ac"]


def test_a_given_split_can_leave_cold_rows_out() -> None:
    shown = log(
        [
            ("1", "u", "a", 1, "train"),
            ("1", "u", "b", 0, "train"),
            ("2", "u", "c", 1, "test"),
            ("3", "u", "b", 0, "test"),
            ("4", "v", "a", 0, "valid"),
        ],
        ["impression_id", "user_id", "item_id", "label", "part"],
    )
    own = SplitSpec(kind="given", drop_cold=True)
    found = rows_of(shop(impressions=shown), SHOWN, own)
    assert [part for _, _, _, part, _ in found] == [0, 0, -1, 2, -1]


def test_whole_users_are_in_one_part() -> None:
    rows = [(f"u{n}", item, n % 2) for n in range(20) for item in "ab"]
    data = shop(interactions=log(rows, ["user_id", "item_id", "label"]))
    spec = SplitSpec(kind="user", users=(10, 2, 5), seed=3)
    labelled, _ = label_rows(data, LABELS, spec, 20)
    part_of = {int(u): int(p) for u, p in zip(labelled.user, labelled.part, strict=True)}
    assert np.bincount(np.array(list(part_of.values())) + 1).tolist() == [3, 10, 2, 5]
    for user, part in zip(labelled.user, labelled.part, strict=True):
        assert part_of[int(user)] == part


def test_drawn_negatives_share_part_and_history_with_their_click() -> None:
    rows = [("u", item) for item in "abc"] + [("v", item) for item in "de"]
    data = shop(interactions=log(rows, ["user_id", "item_id"]))
    assert default_rows(data) == SAMPLED
    assert default_split(data, SAMPLED) == SplitSpec(kind="last_out")
    spec = RowsSpec(source="sampled", negatives=3)
    found = rows_of(data, spec, SplitSpec(kind="last_out"))
    clicks = [row for row in found if row[2]]
    assert clicks == [
        ("u", "a", 1, 0, ""),
        ("u", "b", 1, 1, "a"),
        ("u", "c", 1, 2, "ab"),
        ("v", "d", 1, 1, ""),
        ("v", "e", 1, 2, "d"),
    ]
    for click, drawn in zip(clicks, [found[i + 1 : i + 4] for i in range(0, 20, 4)], strict=True):
        assert {(row[0], row[2], row[3], row[4]) for row in drawn} == {
            (click[0], 0, click[3], click[4])
        }
        items = {row[1] for row in drawn}
        assert len(items) == 3 and not items & set({"u": "abc", "v": "de"}[click[0]])
    assert found == rows_of(data, spec, SplitSpec(kind="last_out"))
    other = RowsSpec(source="sampled", negatives=3, seed=7)
    assert found != rows_of(data, other, SplitSpec(kind="last_out"))


def test_a_history_has_nothing_that_a_later_part_asks_about() -> None:
    """Where parts lie among each other, what came before a row is not all that it may know."""
    parts = [("a", "train"), ("b", "test"), ("c", "valid"), ("d", "train"), ("e", "test")]
    own, told = SplitSpec(kind="given"), ["", "a", "a", "a", "abcd"]
    split = log([("u", item, part) for item, part in parts], ["user_id", "item_id", "part"])
    clicks = [("u", item, 10 * n, 1) for n, (item, _) in enumerate(parts)]
    drawn = shop(interactions=log(clicks, TIMED).drop("label"), split=split)
    found = rows_of(drawn, RowsSpec(source="sampled", negatives=1), own)
    assert [row[4] for row in found[::2]] == told == [row[4] for row in found[1::2]]
    split = pl.concat([split, log([("u", "f", "test")], ["user_id", "item_id", "part"])])
    judged = shop(interactions=log([*clicks, ("u", "f", 99, 0)], TIMED), split=split)
    assert [row[4] for row in rows_of(judged, LABELS, own)] == [*told, "abcde"]
    lists = [(str(n), "u", item, 10 * n, 1, part) for n, (item, part) in enumerate(parts)]
    shown = shop(impressions=log(lists, ["impression_id", *TIMED, "part"]))
    assert [row[4] for row in rows_of(shown, SHOWN, own)] == told
    beside = log([(u, i, t) for u, i, t, _ in clicks], TIMED[:3])
    both = shop(impressions=shown.tables.impressions, interactions=beside)
    assert [row[4] for row in rows_of(both, SHOWN, own)] == told
    no_order = shop(
        impressions=shown.tables.impressions.drop("time"),  # type: ignore[union-attr]
    )
    assert [row[4] for row in rows_of(no_order, SHOWN, own)] == told


def test_random_pairs_are_told_apart_by_what_is_trained_on() -> None:
    rows = [(f"u{n % 5}", item, n) for n, item in enumerate(LETTERS[:6] * 5)]
    data = shop(interactions=log(rows, ["user_id", "item_id", "time"]))
    spec = SplitSpec(kind="random", by="all", ratios=(0.6, 0.2, 0.2))
    found = rows_of(data, RowsSpec(source="sampled", negatives=1), spec, 3)
    asked = {(row[0], row[1]): row[3] for row in found if row[2]}
    known = [(row[3], asked[row[0], item]) for row in found for item in row[4]]
    assert {(0, 0), (2, 2), (2, 0)} <= set(known)
    assert all(part >= other for part, other in known)


def test_where_nothing_is_in_order_a_history_is_the_other_training_items() -> None:
    rows = [("u", item, 0) for item in "abcd"] + [("v", item, 0) for item in "ef"]
    parts = ["train", "train", "train", "test", "train", "valid"]
    split = [(u, i, p) for (u, i, _), p in zip(rows, parts, strict=True)]
    data = shop(
        interactions=log(rows, ["user_id", "item_id", "row"]),
        split=log(split, ["user_id", "item_id", "part"]),
    )
    assert default_split(shop(interactions=data.tables.interactions), SAMPLED).kind == "random"
    found = rows_of(data, RowsSpec(source="sampled", negatives=1), SplitSpec(kind="given"))
    assert [row[1:] for row in found if row[2]] == [
        ("a", 1, 0, "bc"),
        ("b", 1, 0, "ac"),
        ("c", 1, 0, "ab"),
        ("d", 1, 2, "abc"),
        ("e", 1, 0, ""),
        ("f", 1, 1, "e"),
    ]
    assert all(a[4] == b[4] for a, b in zip(found[::2], found[1::2], strict=True))
    short = rows_of(data, RowsSpec(source="sampled", negatives=1), SplitSpec(kind="given"), 2)
    assert [row[4] for row in short[::2]] == ["bc", "ac", "ab", "bc", "", "e"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 3))
def test_untaken_items_are_untaken_distinct_and_uniform(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(5, size=12))
    events = Events(user, rng.integers(6, size=12).astype(np.int32), None, np.arange(12))
    taken = [set(events.item[user == u].tolist()) for u in range(5)]
    if any(len(items) > 8 - n for items in taken):
        return
    drawn = draw_untaken(user, events, 8, n, rng)
    assert ((drawn >= 0) & (drawn < 8)).all()
    for u, items in zip(user, drawn, strict=True):
        assert len(set(items.tolist())) == n and not set(items.tolist()) & taken[u]


def test_each_untaken_item_is_drawn_as_often_as_the_others() -> None:
    events = Events(np.zeros(2, np.int64), np.array([1, 3], np.int32), None, np.arange(2))
    drawn = draw_untaken(np.zeros(30_000, np.int64), events, 6, 2, np.random.default_rng(0))
    share = np.bincount(drawn.ravel(), minlength=6) / 30_000
    np.testing.assert_allclose(share, [0.5, 0, 0.5, 0, 0.5, 0.5], atol=0.02)


def test_nothing_is_left_to_draw() -> None:
    events = Events(np.zeros(7, np.int64), np.arange(7, dtype=np.int32), None, np.arange(7))
    with pytest.raises(DataError, match="1 users have taken all but fewer than 2 of the 8 items"):
        draw_untaken(np.zeros(1, np.int64), events, 8, 2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("rows", "split", "says"),
    [
        (SHOWN, BY_TIME, "there are no impressions"),
        (LABELS, BY_TIME, "no labels of both kinds, nor ratings above and below 3"),
        (SAMPLED, SplitSpec(kind="time"), "needs times"),
    ],
)
def test_rows_that_are_not_there_are_said(rows: RowsSpec, split: SplitSpec, says: str) -> None:
    data = shop(interactions=log([("u", "a"), ("u", "b"), ("u", "c")], ["user_id", "item_id"]))
    with pytest.raises((DataError, UsageError), match=says):
        label_rows(data, rows, split, 20)


def test_impressions_are_not_cut_event_by_event() -> None:
    shown = log([("1", "u", "a", 1)], ["impression_id", "user_id", "item_id", "label"])
    with pytest.raises(UsageError, match="not cut by last_out"):
        label_rows(shop(impressions=shown), SHOWN, SplitSpec(kind="last_out"), 20)
    with pytest.raises(UsageError, match="bring no split of their own"):
        label_rows(shop(impressions=shown), SHOWN, SplitSpec(kind="given"), 20)


def test_a_part_without_rows_is_said() -> None:
    data = shop(interactions=log([("u", "a", 1, 1), ("u", "b", 2, 0)], TIMED))
    with pytest.raises(UsageError, match="leaves test without labelled rows"):
        label_rows(data, LABELS, BY_TIME, 20)
