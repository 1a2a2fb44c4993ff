"""What the parts of click prediction hold: by hand, and against counting row by row."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.card import DatasetCard, RowsSpec, SplitSpec
from tastebench.data.click_parts import ClickPart, CutClicks, cut_clicks, default_cut
from tastebench.data.dataset import Dataset
from tastebench.data.labelled import label_rows
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError

ITEMS = pl.DataFrame({"item_id": list("abcdefgh")})
BY_TIME = SplitSpec(kind="time", valid_from=30, test_from=40)
COLUMNS = ["impression_id", "user_id", "item_id", "time", "label"]


def shop(rows: list[tuple[Any, ...]], columns: list[str] = COLUMNS, **tables: Any) -> Dataset:
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    name = "impressions" if "impression_id" in columns else "interactions"
    card = DatasetCard(name="shop", title="Shop")
    return Dataset.create(card, Tables(ITEMS, **{name: frame}, **tables))


def test_parts_by_hand() -> None:
    clicks = pl.DataFrame([("u", "a", 10)], schema=["user_id", "item_id", "time"], orient="row")
    data = shop(
        [
            ("1", "u", "a", 10, 1),
            ("1", "u", "b", 10, 0),
            ("1", "u", "c", 10, 0),
            ("2", "v", "a", 20, 0),
            ("3", "u", "d", 40, 1),
            ("4", "w", "d", 41, 1),
            ("4", "w", "a", 41, 0),
            ("5", "w", "b", 42, 0),
            ("5", "w", "c", 42, 0),
        ],
        interactions=clicks,
    )
    rows, spec = default_cut(data)
    assert (rows.source, spec.kind) == ("impressions", "time")
    found = cut_clicks(data, rows, BY_TIME)
    assert found.parts == {
        "train": ClickPart(4, 1, 2, 1, 2, 1, 2.0, 1.0),
        "valid": ClickPart(0, 0, 0, 0, 0, 0, None, 0.0),
        # Lists 3 and 5 are of one class, and u clicked all of theirs; u alone has a history.
        "test": ClickPart(5, 2, 2, 1, 3, 2, 2.0, 4 / 5),
    }
    assert found.leakage.counts == {"train": 4, "valid": 0, "test": 5, "dropped": 0}
    assert found.leakage.sentence.startswith("By time")
    # Of u and w the first is known; of d, a, b and c all but d; no pair of the two was in train.
    assert (found.leakage.cold_users, found.leakage.cold_items) == (1 / 2, 1 / 4)
    assert (found.leakage.repeated, found.leakage.future, found.leakage.tied) == (0.0, 0.0, None)
    assert json.loads(json.dumps(found.to_dict()))["parts"]["test"]["median_list"] == 2.0


def test_a_pair_shown_again_is_repeated() -> None:
    data = shop(
        [("1", "u", "a", 10, 1), ("2", "u", "a", 41, 0), ("2", "u", "b", 41, 1)],
    )
    assert cut_clicks(data, RowsSpec(source="impressions"), BY_TIME).leakage.repeated == 1 / 2


def test_parts_that_impressions_bring_know_their_times() -> None:
    data = shop(
        [
            ("1", "u", "a", 10, 1, "test"),
            ("2", "v", "a", 20, 0, "train"),
            ("3", "v", "b", 5, 1, "train"),
        ],
        [*COLUMNS, "part"],
    )
    rows, spec = default_cut(data)
    found = cut_clicks(data, rows, spec)
    assert (found.parts["train"].rows, found.parts["test"].rows) == (2, 1)
    assert (found.leakage.future, found.leakage.cold_users) == (0.5, 1.0)


def test_labels_know_of_no_lists() -> None:
    data = shop(
        [("u", "a", 10, 1), ("u", "b", 41, 0), ("v", "a", 42, 1)],
        ["user_id", "item_id", "time", "label"],
    )
    test = cut_clicks(data, RowsSpec(source="labels"), BY_TIME).parts["test"]
    assert (test.rows, test.lists, test.median_list, test.one_class_lists) == (2, 0, None, 0)
    assert (test.one_class_users, test.empty_history) == (2, 1 / 2)


def test_drawn_negatives_and_their_click_are_a_list() -> None:
    data = shop([("u", item, n) for n, item in enumerate("abc")], ["user_id", "item_id", "time"])
    rows, spec = default_cut(data)
    assert (rows.source, spec.kind) == ("sampled", "time")
    late = SplitSpec(kind="time", valid_from=2, test_from=2)
    parts = cut_clicks(data, rows, late).parts
    assert (parts["train"].lists, parts["train"].median_list) == (2, 5.0)
    assert (parts["test"].rows, parts["test"].clicked, parts["test"].one_class_lists) == (5, 1, 0)


def test_what_cannot_be_cut_is_said() -> None:
    data = shop([("1", "u", "a", 10, 1)])
    with pytest.raises(UsageError, match="leaves test without labelled rows"):
        cut_clicks(data, RowsSpec(source="impressions"), BY_TIME)
    with pytest.raises(DataError, match="no labels of both kinds"):
        cut_clicks(data, RowsSpec(source="labels"), BY_TIME)


ROW = st.tuples(
    st.integers(0, 5), st.sampled_from("uvwx"), st.sampled_from("abcd"), st.integers(0, 1)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=30), st.sampled_from(["time", "user"]))
def test_counting_row_by_row_finds_the_same(rows: list[tuple[Any, ...]], kind: Any) -> None:
    # A list is of one user at one time.
    table = [(f"{u}{t}", u, i, 10 * t, y) for t, u, i, y in rows]
    clicks = pl.DataFrame(
        [(u, i, t) for _, u, i, t, y in table if y],
        schema={"user_id": pl.String, "item_id": pl.String, "time": pl.Int64},
        orient="row",
    )
    data = shop(table, interactions=clicks)
    spec = BY_TIME if kind == "time" else SplitSpec(kind="user", ratios=(0.4, 0.2, 0.4))
    source = RowsSpec(source="impressions")
    try:
        labelled, _ = label_rows(data, source, spec, 20)
    except UsageError:
        with pytest.raises(UsageError):
            cut_clicks(data, source, spec)
        return
    found = cut_clicks(data, source, spec)
    people = data.everyone.to_list()
    part_of = {
        (people[u], str(ITEMS["item_id"][int(i)]), int(y), int(x)): int(p)
        for u, i, y, x, p in zip(
            labelled.user,
            labelled.item,
            labelled.label,
            labelled.impression,
            labelled.part,
            strict=True,
        )
    }
    names = sorted({name for name, *_ in table})
    by_part: list[list[tuple[Any, ...]]] = [[], [], []]
    for row in table:
        name, user, item, _, label = row
        by_part[part_of[user, item, label, names.index(name)]].append(row)
    for mine, part in zip(by_part, ("train", "valid", "test"), strict=True):
        assert found.parts[part] == counted(mine, table), (part, mine)
    assert found.leakage == cut_leakage(found, by_part)


def counted(mine: list[tuple[Any, ...]], table: list[tuple[Any, ...]]) -> ClickPart:
    users, lists = ({row[at] for row in mine} for at in (1, 0))

    def of_one_class(at: int, names: set[str]) -> int:
        return sum(len({row[4] for row in mine if row[at] == name}) == 1 for name in names)

    sizes = [sum(row[0] == name for row in mine) for name in lists]
    empty = [not any(u == row[1] and y and t < row[3] for _, u, _, t, y in table) for row in mine]
    return ClickPart(
        rows=len(mine),
        clicked=sum(row[4] for row in mine),
        users=len(users),
        one_class_users=of_one_class(1, users),
        lists=len(lists),
        one_class_lists=of_one_class(0, lists),
        median_list=float(np.median(sizes)) if sizes else None,
        empty_history=float(np.mean(empty)) if empty else 0.0,
    )


def cut_leakage(found: CutClicks, by_part: list[list[tuple[Any, ...]]]) -> Any:
    """What was found, with the shares counted anew."""
    train, _, test = by_part

    def unseen(at: int) -> float:
        asked = {row[at] for row in test}
        return len(asked - {row[at] for row in train}) / len(asked)

    pairs = {row[1:3] for row in train}
    return replace(
        found.leakage,
        cold_users=unseen(1),
        cold_items=unseen(2),
        repeated=float(np.mean([row[1:3] in pairs for row in test])),
    )
