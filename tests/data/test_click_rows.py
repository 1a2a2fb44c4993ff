"""RecBench's rows by hand, beside the procedure written user by user, and what is always true."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.click_account import count_rows, count_sequences, rows_leakage
from tastebench.data.click_pool import Pool, pool
from tastebench.data.click_rows import ClickRows, click_rows
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables, coerce, validate
from tastebench.errors import DataError

Event = tuple[str, str, int | None, float | None]  # user, item, time, rating
SMALL: dict[str, Any] = {"test_rows": 8, "finetune_rows": 40, "valid_share": 0.3}


def log(events: list[Event], n_items: int = 10, **more: Any) -> Tables:
    """Items i0, i1, ... and interactions in the order given."""
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(n_items)]})
    frame = pl.DataFrame(
        events,
        schema={
            "user_id": pl.String,
            "item_id": pl.String,
            "time": pl.Int64,
            "rating": pl.Float64,
        },
        orient="row",
    )
    return coerce(Tables(items, frame, **more), "toy")


def taken(sequences: dict[str, str], n_items: int = 10) -> Tables:
    """`{"u": "012"}`: u took i0, i1, i2."""
    return log([(u, f"i{n}", None, None) for u, s in sequences.items() for n in s], n_items)


def shown(lists: list[tuple[str, str, str, int]], histories: dict[str, list[str]]) -> Tables:
    """Impressions (list, user, item, label) and histories over i0 to i9."""
    columns = ["impression_id", "user_id", "item_id", "label"]
    return coerce(
        Tables(
            pl.DataFrame({"item_id": [f"i{n}" for n in range(10)]}),
            impressions=pl.DataFrame(lists, schema=columns, orient="row"),
            histories=pl.DataFrame(
                {"user_id": list(histories), "item_ids": list(histories.values())},
                schema={"user_id": pl.String, "item_ids": pl.List(pl.String)},
            ),
        ),
        "toy",
    )


def rows_of(found: Pool) -> dict[str, Counter[tuple[int, int]]]:
    """User to their (item, label), counted."""
    by_user: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    columns = (found.rows.user, found.rows.item, found.rows.label)
    for user, item, label in zip(*(c.tolist() for c in columns), strict=True):
        by_user[found.users[user]][item, label] += 1
    return dict(by_user)


def histories_of(found: Pool) -> dict[str, list[int]]:
    return dict(zip(found.users.to_list(), found.history.to_lists(), strict=True))


def every(tables: Tables, spec: ClickRows) -> Pool:
    return pool(tables, spec, np.ones(len(tables.items), dtype=bool), "toy")


def pairs(frame: pl.DataFrame | None) -> list[tuple[str, str]]:
    assert frame is not None
    return frame.select("user_id", "item_id").rows()


# ------------------------------------------------------- the procedure again, one user at a time


def one_by_one(  # noqa: PLR0912 - as plain as it gets
    events: list[Event], spec: ClickRows, known: set[int]
) -> tuple[dict[str, list[int]], dict[str, Counter[tuple[int, int]]]]:
    """Histories and candidates of each user, by loops over Python lists."""
    users: dict[str, list[tuple[int, int, int, int]]] = defaultdict(list)
    for row, (user, item, at, rating) in enumerate(events):
        number = int(item[1:])
        if number not in known:
            continue
        if spec.family == "sampled":
            label = 1
        elif rating is None or rating == spec.threshold:
            continue
        else:
            label = int(rating > (spec.threshold or 0))
        users[user].append((at or 0, row, number, label))
    histories, candidates = {}, {}
    for user, their in users.items():
        their.sort()
        liked = [event for event in their if event[3]]
        disliked = [event for event in their if not event[3]]
        cut, asked = len(liked), []
        while cut and len(asked) < spec.positives:
            cut -= 1
            item = liked[cut][2]
            if spec.behaviour == "reference" or item not in asked:
                asked.append(item)
        history = liked[:cut][-spec.history_cap :]
        if not history:
            continue
        if spec.negatives_after_history:
            disliked = [event for event in disliked if event[:2] > history[-1][:2]]
        negatives = [event[2] for event in disliked]
        if spec.behaviour == "fixed":
            negatives = sorted(set(negatives) - {event[2] for event in liked})
        if spec.family == "explicit" and not negatives:
            continue
        if len(known) - len({event[2] for event in liked}) < (
            spec.to_draw if spec.behaviour == "fixed" else min(spec.to_draw, 1)
        ):
            continue
        histories[user] = [event[2] for event in history]
        rows = [(item, 1) for item in asked] + [(item, 0) for item in negatives]
        candidates[user] = Counter(rows)
    return histories, candidates


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "10", "9"]),
            st.sampled_from([f"i{n}" for n in range(7)]),
            st.integers(0, 4),
            st.sampled_from([1.0, 2.5, 3.0, 3.5, 5.0, None]),
        ),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from(["explicit", "sampled"]),
    st.sampled_from(["fixed", "reference"]),
    st.integers(1, 3),
    st.integers(1, 4),
    st.booleans(),
)
def test_pools_are_those_of_a_loop_over_users(
    events: list[Event], family: Any, behaviour: Any, positives: int, cap: int, later: bool
) -> None:
    spec = ClickRows(
        family=family,
        behaviour=behaviour,
        positives=positives,
        history_cap=cap,
        negatives_after_history=later and behaviour == "fixed",
    )
    tables, known = log(events, 7), np.array([True] * 6 + [False])
    histories, candidates = one_by_one(events, spec, set(range(6)))
    if family == "explicit" and all(rating is None for *_, rating in events):
        with pytest.raises(DataError, match="explicit negatives need a rating"):
            pool(tables, spec, known, "toy")
        return
    if not histories:
        with pytest.raises(DataError, match="no user has a history and candidates"):
            pool(tables, spec, known, "toy")
        return
    found = pool(tables, spec, known, "toy")
    assert found.users.to_list() == sorted(histories)
    assert histories_of(found) == histories
    assert rows_of(found) == candidates


# ------------------------------------------------------------------------------- families, by hand


def test_ratings_above_below_and_at_the_threshold() -> None:
    """Halves count: 3.5 is positive, 2.5 negative, 3 neither; order is by time, then by row."""
    events: list[Event] = [
        ("u", "i3", 30, 5.0),
        ("u", "i0", 10, 4.0),
        ("u", "i5", 5, 2.5),
        ("u", "i1", 20, 3.5),
        ("u", "i2", 20, 4.0),
        ("u", "i6", 99, 1.0),
        ("u", "i4", 40, 3.0),
        ("u", "i7", 41, None),
        ("likes everything", "i0", 1, 5.0),
        ("likes nothing", "i0", 1, 1.0),
    ]
    found = every(log(events), ClickRows(family="explicit"))
    assert histories_of(found) == {"u": [0, 1]}
    assert rows_of(found) == {"u": Counter({(2, 1): 1, (3, 1): 1, (5, 0): 1, (6, 0): 1})}
    assert found.dropped["rows without a label"] == 2
    assert found.dropped["users without both labels"] == 2


def test_labels_serve_where_there_is_no_threshold() -> None:
    tables = log([("u", f"i{n}", n, 5.0) for n in range(5)])
    assert tables.interactions is not None
    read = pl.Series("label", [1, 1, 0, 1, None], dtype=pl.Int8)
    tables = Tables(tables.items, tables.interactions.with_columns(read))
    found = every(tables, ClickRows(family="explicit", threshold=None, positives=2))
    assert histories_of(found) == {"u": [0]}
    assert rows_of(found) == {"u": Counter({(1, 1): 1, (3, 1): 1, (2, 0): 1})}


def test_negatives_may_be_older_than_the_history_unless_told_otherwise() -> None:
    """5 lies before the history's last item, 6 between, 7 after."""
    events: list[Event] = [
        ("u", "i5", 1, 1.0),
        ("u", "i0", 2, 5.0),
        ("u", "i6", 3, 1.0),
        ("u", "i1", 4, 5.0),
        ("u", "i7", 4, 1.0),  # the time of the history's last item, and a later row
        ("u", "i2", 6, 5.0),
        ("u", "i8", 7, 1.0),
        ("u", "i3", 8, 5.0),
    ]
    old = rows_of(every(log(events), ClickRows(family="explicit")))["u"]
    assert {item for item, label in old if not label} == {5, 6, 7, 8}
    late = ClickRows(family="explicit", negatives_after_history=True)
    new = rows_of(every(log(events), late))["u"]
    assert {item for item, label in new if not label} == {7, 8}


def test_an_item_that_was_liked_anywhere_is_positive_once() -> None:
    """4 was disliked and later liked, 5 disliked twice, 3 liked twice at the end."""
    events: list[Event] = [
        ("u", "i4", 1, 1.0),
        ("u", "i5", 2, 1.0),
        ("u", "i4", 3, 5.0),
        ("u", "i2", 4, 5.0),
        ("u", "i3", 5, 5.0),
        ("u", "i5", 6, 2.0),
        ("u", "i3", 7, 5.0),
    ]
    fixed = every(log(events), ClickRows(family="explicit"))
    assert rows_of(fixed) == {"u": Counter({(2, 1): 1, (3, 1): 1, (5, 0): 1})}
    assert histories_of(fixed) == {"u": [4]}
    reference = every(log(events), ClickRows(family="explicit", behaviour="reference"))
    assert rows_of(reference) == {"u": Counter({(3, 1): 2, (4, 0): 1, (5, 0): 2})}
    assert histories_of(reference) == {"u": [4, 2]}


LISTS = [
    ("1", "u", "i3", 0),
    ("1", "u", "i4", 1),
    ("2", "u", "i4", 0),  # clicked in list 1
    ("2", "u", "i3", 1),  # not clicked in list 1
    ("2", "u", "i5", 0),
    ("3", "u", "i5", 0),
    ("3", "u", "i4", 1),  # clicked again
    ("4", "new", "i5", 1),  # has no history
    ("5", "v", "i6", 0),
]


def test_given_lists_without_repeats_and_with_them() -> None:
    """The same pair with both labels is the first click."""
    tables = shown(LISTS, {"v": ["i0"], "u": ["i1", "i2", "i1"], "silent": ["i1"], "new": []})
    fixed = every(tables, ClickRows(family="given"))
    assert histories_of(fixed) == {"u": [1, 2, 1], "v": [0]}
    assert rows_of(fixed) == {
        "u": Counter({(3, 1): 1, (4, 1): 1, (5, 0): 1}),
        "v": Counter({(6, 0): 1}),
    }
    assert tables.impressions is not None
    kept = tables.impressions["impression_id"].gather(fixed.rows.row).to_list()
    assert kept == ["2", "1", "2", "5"]  # by user and item
    assert fixed.dropped["rows of a pair that has another"] == 4
    assert fixed.dropped["users without a history"] == 1
    reference = every(tables, ClickRows(family="given", behaviour="reference"))
    assert rows_of(reference)["u"] == Counter(
        {(3, 0): 1, (3, 1): 1, (4, 1): 2, (4, 0): 1, (5, 0): 2}
    )


def test_items_without_a_record_are_in_no_row_and_no_history() -> None:
    tables = shown(LISTS, {"v": ["i0"], "u": ["i1", "i2"]})
    known = np.array([n not in (0, 1, 5) for n in range(10)])
    found = pool(tables, ClickRows(family="given"), known, "toy")
    assert histories_of(found) == {"u": [2]}
    assert rows_of(found) == {"u": Counter({(3, 1): 1, (4, 1): 1})}
    assert found.dropped["rows of items without a record"] == 3
    assert found.dropped["users without a history"] == 2  # v's was of an unknown item


def test_the_history_is_capped_at_its_latest_items() -> None:
    found = every(taken({"u": "0123456"}), ClickRows(family="sampled", history_cap=3))
    assert histories_of(found) == {"u": [2, 3, 4]}


# -------------------------------------------------------------------------------- drawn negatives


def draws(tables: Tables, **spec: Any) -> tuple[Tables, dict[str, Any]]:
    made, account = click_rows(tables, ClickRows.model_validate({**SMALL, **spec}), where="toy")
    validate(made, "toy")
    return made, account


def untaken(made: Tables) -> dict[str, list[str]]:
    assert made.impressions is not None
    frame = made.impressions.filter(pl.col("label") == 0)
    return {str(user): items["item_id"].to_list() for (user,), items in frame.group_by(["user_id"])}


MANY = {f"u{n:02d}": "0123456"[n % 4 :] for n in range(30)}


@pytest.mark.parametrize("behaviour", ["fixed", "reference"])
def test_negatives_are_per_user_and_never_taken(behaviour: str) -> None:
    """Two a user, not two a positive; in `fixed` two different ones."""
    made, _ = draws(taken(MANY), family="sampled", behaviour=behaviour, test_rows=40)
    negatives = untaken(made)
    assert len(negatives) == 20  # 80 rows wanted, four a user
    for user, items in negatives.items():
        assert len(items) == 2
        assert not {f"i{n}" for n in MANY[user]} & set(items)
    repeated = sum(len(set(items)) < 2 for items in negatives.values())
    assert (repeated == 0) == (behaviour == "fixed")


def test_negatives_per_positive_and_those_that_the_cap_leaves() -> None:
    made, _ = draws(
        taken(MANY, 40), family="sampled", negatives=3, negatives_per="positive", test_rows=16
    )
    assert {len(items) for items in untaken(made).values()} == {6}
    made, account = draws(taken(MANY, 400), family="sampled", negatives=100, cap=8)
    assert {len(set(items)) for items in untaken(made).values()} == {4}
    assert account["pool"]["negatives to draw"] == 100 * len(MANY)


def test_who_has_exactly_as_many_left_gets_all_of_them_and_who_has_fewer_is_dropped() -> None:
    sequences = {f"u{n:02d}": "01234567" for n in range(20)} | {"full": "012345678"}
    made, account = draws(taken(sequences), family="sampled")
    assert all(sorted(items) == ["i8", "i9"] for items in untaken(made).values())
    assert "full" not in untaken(made)
    assert account["dropped"] == {"users with too few other items to draw from": 1}
    _, account = draws(taken(sequences), family="sampled", behaviour="reference")
    assert account["dropped"] == {}


def test_every_untaken_item_is_as_likely() -> None:
    """5,000 users who all took i0 to i2 and get two of the other seven: 1,429 each, sd 32."""
    sequences = {f"u{n:04d}": "012" for n in range(5_000)}
    spec = ClickRows(family="sampled", test_rows=20_000, finetune_rows=0)
    made, _ = click_rows(taken(sequences), spec)
    assert made.impressions is not None
    drawn = made.impressions.filter(pl.col("label") == 0)["item_id"].value_counts()
    counts = dict(drawn.iter_rows())
    assert set(counts) == {f"i{n}" for n in range(3, 10)}
    assert max(abs(n - 10_000 / 7) for n in counts.values()) < 4 * 32


# -------------------------------------------------------------------------------------- the split


def ratings(seed: int, n_users: int = 60) -> list[Event]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(3, 30, n_users)
    return [
        (f"{user}", f"i{rng.integers(40)}", int(rng.integers(1000)), float(rng.integers(1, 6)))
        for user, size in enumerate(sizes)
        for _ in range(size)
    ]


@settings(deadline=None, max_examples=40)
@example(0, "explicit", "fixed", 2, 1, 94)  # a share of less than one row
@given(
    st.integers(0, 10_000),
    st.sampled_from(["explicit", "sampled"]),
    st.sampled_from(["fixed", "reference"]),
    st.sampled_from([2, 4, 6, 20]),
    st.integers(1, 60),
    st.integers(30, 200),
)
def test_what_is_true_of_every_split(
    seed: int, family: Any, behaviour: Any, cap: int, test_rows: int, finetune_rows: int
) -> None:
    spec = ClickRows(
        family=family,
        behaviour=behaviour,
        cap=cap,
        test_rows=test_rows,
        finetune_rows=finetune_rows,
        valid_share=0.4,
        seed=seed,
    )
    tables = log(ratings(seed), 40)
    made, account = click_rows(tables, spec)
    validate(made, "toy")
    rows, past, found = made.impressions, made.histories, every(tables, spec)
    assert rows is not None and past is not None
    # Users are in one part; those with rows have a history.
    parts = dict(rows.select("user_id", "part").unique().iter_rows())
    assert len(parts) == rows["user_id"].n_unique()
    assert set(past["user_id"]) == set(parts)
    # Per label a user has what there is, and at most half the cap.
    size: Counter[tuple[str, int]] = Counter(rows.select("user_id", "label").iter_rows())
    for place, user in enumerate(found.users):
        there = Counter(found.rows.label[found.rows.user == place].tolist())
        there[0] += int(found.to_draw[place])
        for label in (0, 1):
            wanted = min(cap // 2, there[label]) if user in parts else 0
            assert size[user, label] == wanted
    # A part stops with the user that reaches its target.
    for name, its in (("test", {"test"}), ("finetune", {"train", "valid"})):
        users = [user for user, part in parts.items() if part in its]
        sizes = [size[user, 0] + size[user, 1] for user in users]
        aim = account["targets"][name]["aimed"]
        if sum(sizes) >= aim:
            assert sum(sizes) - max(sizes) < aim
        else:
            assert set(parts) == set(found.users)
        assert account["parts"][name]["rows"] == sum(sizes)
        assert account["parts"][name]["users"] == len(users)
    # A tenth, here four tenths, of the finetune users validate, rounded down.
    of_part = Counter(parts.values())
    assert of_part["valid"] == (of_part["valid"] + of_part["train"]) * 4 // 10
    # A candidate that is positive is in the history only if it was taken again.
    if family == "sampled" and behaviour == "fixed":
        before = dict(past.iter_rows())
        took = Counter((user, item) for user, item, *_ in ratings(seed))
        for user, item, label in rows.select("user_id", "item_id", "label").iter_rows():
            assert label == 1 or took[user, item] == 0
            if label and item in before[user]:
                assert took[user, item] > 1
        assert not rows.select("user_id", "item_id").is_duplicated().any()


def test_four_rows_a_user_and_it_takes_no_loop_over_users() -> None:
    """20,000 rows of 5,000 users and 100,000 of 25,000, as in RecBench's table 2."""
    users = np.repeat(np.arange(31_000), 4)
    items = np.random.default_rng(0).permuted(np.tile(np.arange(500), (31_000, 1)), axis=1)[:, :4]
    frame = pl.DataFrame({"user_id": users, "item_id": items.ravel()}).cast(pl.String)
    catalogue = pl.DataFrame({"item_id": [str(n) for n in range(500)]})
    tables = coerce(Tables(catalogue, frame), "toy")
    begin = time.process_time()
    made, account = click_rows(tables, ClickRows(family="sampled"))
    assert time.process_time() - begin < 20  # reading the table once a user takes minutes
    assert made.impressions is not None
    assert account["parts"] == {
        "train": {"rows": 90_000, "positives": 45_000, "users": 22_500, "items": 500},
        "valid": {"rows": 10_000, "positives": 5_000, "users": 2_500, "items": 500},
        "test": {"rows": 20_000, "positives": 10_000, "users": 5_000, "items": 500},
        "finetune": {"rows": 100_000, "positives": 50_000, "users": 25_000, "items": 500},
    }
    each = made.impressions.group_by("user_id").agg(
        pl.len(), pl.col("label").sum(), pl.col("item_id").n_unique().alias("items")
    )
    assert each.select("len", "label", "items").unique().rows() == [(4, 2, 4)]


def test_the_seed_and_nothing_else_decides() -> None:
    """Rows of the file in another order are the same rows, too."""
    events = [(u, i, t * 100 + n, r) for n, (u, i, t, r) in enumerate(ratings(1)) if t is not None]
    spec: dict[str, Any] = {"family": "explicit", "test_rows": 50, "finetune_rows": 100}
    first, account = draws(log(events, 40), **spec)
    again, _ = draws(log(events, 40), **spec)
    turned, _ = draws(log(events[::-1], 40), **spec)
    other, _ = draws(log(events, 40), **spec, seed=7)
    assert first.impressions is not None and other.impressions is not None
    assert first.impressions.equals(again.impressions)
    assert turned.impressions is not None
    assert first.impressions.equals(turned.impressions)
    assert set(first.impressions["user_id"]) != set(other.impressions["user_id"])
    assert account["spec"]["seed"] == 2025
    given_rng, _ = click_rows(
        log(events, 40),
        ClickRows.model_validate({**SMALL, **spec}),
        np.random.default_rng(7),
    )
    assert other.impressions.equals(given_rng.impressions)


def test_more_negatives_leave_the_order_of_users_as_it_is() -> None:
    parts = []
    for negatives in (2, 4):
        made, _ = draws(
            taken(MANY, 40), family="sampled", negatives=negatives, test_rows=24, finetune_rows=40
        )
        assert made.impressions is not None
        rows = made.impressions.filter(pl.col("part") == "test")
        parts.append(set(rows["user_id"]))
    assert len(parts[0]) == 6
    assert len(parts[1]) == 4
    assert parts[1] < parts[0]


def test_the_order_of_a_users_rows_says_nothing() -> None:
    made, _ = draws(taken(MANY), family="sampled")
    assert made.impressions is not None
    rows = made.impressions
    assert rows.equals(rows.sort("user_id", "item_id"))
    assert rows["label"].to_list() != rows.sort("user_id", "label")["label"].to_list()
    assert rows["label"].to_list() != rows.sort("user_id", -pl.col("label"))["label"].to_list()


@pytest.mark.parametrize(
    ("behaviour", "aims", "users"),
    [("fixed", (20, 100), (5, 25)), ("reference", (60, 300), (15, 15))],
)
def test_too_few_users_for_both_parts(
    behaviour: str, aims: tuple[int, int], users: tuple[int, int]
) -> None:
    """30 users with 4 rows each: shared alike, or test takes what it asks for."""
    _, account = draws(
        taken(MANY), family="sampled", behaviour=behaviour, test_rows=60, finetune_rows=300
    )
    targets = account["targets"]
    assert (targets["test"]["aimed"], targets["finetune"]["aimed"]) == aims
    assert tuple(account["parts"][part]["users"] for part in ("test", "finetune")) == users
    assert targets["test"]["reached"] == (behaviour == "reference")
    assert not targets["finetune"]["reached"]
    wanted = f"finetune: 300 rows were wanted, there are users for {4 * users[1]}"
    assert wanted in account["summary"]


@pytest.mark.parametrize(("n", "valid"), [(10, 1), (19, 1), (20, 2), (39, 3)])
def test_a_tenth_of_the_finetune_users_validate(n: int, valid: int) -> None:
    sequences = {f"{user}": "0123" for user in range(n + 1)}
    _, account = draws(
        taken(sequences), family="sampled", test_rows=4, finetune_rows=4 * n, valid_share=0.1
    )
    parts = account["parts"]
    assert [parts[part]["users"] for part in ("test", "valid", "train")] == [1, valid, n - valid]


def test_nobody_for_validation_is_an_error() -> None:
    sequences = {f"{user}": "0123" for user in range(10)}
    with pytest.raises(DataError, match=r"no user is left for validation: 0\.1 of 9 users"):
        draws(taken(sequences), family="sampled", test_rows=4, finetune_rows=36, valid_share=0.1)
    _, account = draws(taken(sequences), family="sampled", test_rows=40, finetune_rows=0)
    assert account["parts"]["test"]["users"] == 10


def test_ids_stay_the_texts_they_are() -> None:
    """7, 07 and 7.0 are three users, in every table."""
    sequences = {name: "0123" for name in ("7", "07", "7.0", "007", "x")}
    made, _ = draws(taken(sequences), family="sampled", test_rows=4, finetune_rows=16)
    assert made.impressions is not None and made.histories is not None
    assert set(made.impressions["user_id"]) == set(sequences)
    assert set(made.histories["user_id"]) == set(sequences)


# ---------------------------------------------------------------------------- tables and account


def test_the_tables_hold_what_is_named_and_nothing_else() -> None:
    people = pl.DataFrame({"user_id": ["u0", "ghost"], "age": [7, 8]})
    tables = taken({f"u{n}": "0123" for n in range(12)} | {"short": "4", "pair": "56"}, 30)
    tables = Tables(tables.items, tables.interactions, users=people)
    made, account = draws(tables, family="sampled")
    rows, past = made.impressions, made.histories
    assert rows is not None and past is not None and made.users is not None
    assert made.interactions is not None
    # Sequences: all positives of all users, in order, with two items or more.
    assert set(made.interactions["user_id"]) == {f"u{n}" for n in range(12)} | {"pair"}
    mine = made.interactions.filter(pl.col("user_id") == "u3").sort("row")
    assert mine["item_id"].to_list() == ["i0", "i1", "i2", "i3"]
    assert account["dropped"] == {"users with 2 positives or fewer": 2, "sequences too short": 1}
    named = {*rows["item_id"], *past["item_ids"].explode(), *made.interactions["item_id"]}
    assert set(made.items["item_id"]) == named
    assert "i4" not in named or "i4" in set(rows["item_id"])
    assert made.users["user_id"].to_list() == ["u0"]
    assert rows["impression_id"].to_list() == rows["user_id"].to_list()
    assert set(rows["part"]) == {"train", "valid", "test"}
    assert past.filter(pl.col("user_id") == "u3")["item_ids"].to_list() == [["i0", "i1"]]


def test_sequences_have_no_cap_and_the_reference_wants_a_negative() -> None:
    long: list[Event] = [("u", f"i{n % 10}", n, 5.0) for n in range(130)]
    some: list[Event] = [("u", "i10", 1, 1.0), ("fan", "i1", 1, 5.0), ("fan", "i2", 2, 5.0)]
    one: list[Event] = [("one", "i1", 1, 5.0), ("one", "i10", 2, 1.0)]
    tables = log(long + some + one, 11)
    fixed = every(tables, ClickRows(family="explicit")).sequences
    assert Counter(fixed["user_id"]) == {"u": 130, "fan": 2}
    found = every(tables, ClickRows(family="explicit", behaviour="reference"))
    assert Counter(found.sequences["user_id"]) == {"u": 130, "one": 1}
    assert found.dropped["sequences too short"] == 1


def test_sequences_of_given_lists_are_the_histories_in_order() -> None:
    tables = shown(LISTS, {"v": ["i0"], "u": ["i2", "i1", "i2"]})
    spec = ClickRows(family="given", test_rows=1, finetune_rows=0)
    made, account = click_rows(tables, spec)
    assert made.interactions is not None
    assert made.interactions.sort("row").select("user_id", "item_id").rows() == [
        ("u", "i2"),
        ("u", "i1"),
        ("u", "i2"),
    ]
    assert account["dropped"]["sequences too short"] == 1


def test_given_rows_keep_their_list_time_and_place() -> None:
    tables = shown(LISTS, {"u": ["i1"]})
    assert tables.impressions is not None
    numbered = tables.impressions.with_columns(
        time=pl.int_range(pl.len()), position=pl.int_range(pl.len()) * 10
    )
    tables = Tables(tables.items, impressions=numbered, histories=tables.histories)
    made, _ = click_rows(tables, ClickRows(family="given", test_rows=3, finetune_rows=0))
    assert made.impressions is not None
    columns = ["impression_id", "user_id", "item_id", "time", "position", "label", "part"]
    assert made.impressions.select(columns).rows() == [
        ("2", "u", "i3", 3, 30, 1, "test"),
        ("1", "u", "i4", 1, 10, 1, "test"),
        ("2", "u", "i5", 4, 40, 0, "test"),
    ]


def test_repeats_are_counted() -> None:
    """u took 0 again last, v was shown what is in the history."""
    sequences = {"u": "010", **{f"w{n}": "123" for n in range(9)}}
    _, account = draws(taken(sequences), family="sampled", positives=1)
    assert account["repeats"] == {"rows": 1, "positives": 1, "users": 1}
    assert "1 rows of 1 users have an item of the history" in account["summary"]
    tables = shown([("1", "v", "i3", 0), ("1", "v", "i4", 1)], {"v": ["i3", "i1"]})
    _, account = click_rows(tables, ClickRows(family="given", test_rows=2, finetune_rows=0))
    assert account["repeats"] == {"rows": 1, "positives": 0, "users": 1}


def test_items_are_counted_by_candidates_and_the_last_20_of_the_history() -> None:
    sequence: list[Event] = [("u", f"i{n}", n, None) for n in range(40)]
    spec = ClickRows(family="sampled", test_rows=4, finetune_rows=0)
    made, account = click_rows(log(sequence, 42), spec)
    # i18 to i37 in the history, i38 and i39 taken, i40 and i41 not.
    assert count_rows(made, "test") == {"rows": 4, "positives": 2, "users": 1, "items": 24}
    assert account["parts"]["test"]["items"] == 24
    assert count_rows(made, "train") == {"rows": 0, "positives": 0, "users": 0, "items": 0}


def test_sequences_are_counted_by_their_last_20_items() -> None:
    events: list[Event] = [(f"u{u}", f"i{n}", n, None) for u in range(5) for n in range(25)]
    events += [("few", f"i{n}", n, None) for n in (30, 31)]
    tables = log(events, 32)
    card = DatasetCard(
        name="toy",
        title="Toy",
        splits={"seqrec": SplitSpec(kind="user", users=(3, 1, 2), seed=3)},
    )
    counts = count_sequences(Dataset.create(card, tables))
    assert counts["test"]["sequences"] == 2
    assert counts["finetune"]["sequences"] == 4
    # Where `few` is there are its two items beside i5 to i24, elsewhere those twenty alone.
    assert sorted(part["items"] for part in counts.values()) == [20, 22]


def test_what_parts_leak() -> None:
    rows = [
        ("a", "x", "train", 1),
        ("a", "y", "train", 5),
        ("b", "x", "valid", 2),
        ("a", "x", "test", 3),
        ("c", "z", "test", 4),
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "part", "time"], orient="row")
    found = rows_leakage(frame)
    assert found.counts == {"train": 2, "valid": 1, "test": 2, "dropped": 0}
    assert (found.cold_users, found.cold_items, found.repeated) == (0.5, 0.5, 0.5)
    assert (found.future, found.tied) == (0.5, None)
    assert rows_leakage(frame.with_columns(time=None)).future is None


# ------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"test_rows": 0, "finetune_rows": 0}, "neither test_rows nor finetune_rows"),
        ({"behaviour": "reference", "negatives_after_history": True}, "of any time"),
        ({"cap": 1}, "greater than or equal to 2"),
        ({"negative": 3}, "Extra inputs are not permitted"),
    ],
)
def test_a_spec_that_cannot_be_meant(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClickRows.model_validate({"family": "sampled", **spec})


def test_what_is_not_there_is_named() -> None:
    items = pl.DataFrame({"item_id": ["i0"]})
    with pytest.raises(DataError, match="rows of given lists need impressions") as caught:
        click_rows(taken({"u": "01"}), ClickRows(family="given"), where="shop")
    assert caught.value.where == "shop"
    with pytest.raises(DataError, match="the family sampled need interactions"):
        click_rows(Tables(items), ClickRows(family="sampled"))
    with pytest.raises(DataError, match="explicit negatives need a label"):
        click_rows(taken({"u": "01"}), ClickRows(family="explicit", threshold=None))
    message = r"no user has a history and candidates \(users with 2 positives or fewer: 1; "
    with pytest.raises(DataError, match=message):
        click_rows(taken({"u": "1"}), ClickRows(family="sampled"))


def test_who_is_named_first_does_not_matter_for_pairs() -> None:
    """The interactions that are left are the base's own rows, in its order."""
    tables = taken({"b": "0123", "a": "4567"} | {f"c{n}": "0123" for n in range(10)})
    made, _ = draws(tables, family="sampled")
    assert pairs(made.interactions) == pairs(tables.interactions)
