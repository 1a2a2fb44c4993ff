"""Splits of frames against those of index arrays, row for row, on Polars."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.data.split import DROPPED, cut
from tastebench.data.split_frames import split_frame
from tastebench.errors import DataError, UsageError

SPECS = [
    SplitSpec(kind="last_out"),
    SplitSpec(kind="last_out", drop_cold=True),
    SplitSpec(kind="time"),
    SplitSpec(kind="time", ratios=(0.5, 0.5, 0.0)),
    SplitSpec(kind="time", ratios=(1.0, 0.0, 0.0)),
    SplitSpec(kind="time", valid_from=-1, test_from=2, drop_cold=True),
    SplitSpec(kind="ratio", ratios=(0.4, 0.3, 0.3)),
    SplitSpec(kind="ratio", drop_cold=True),
    SplitSpec(kind="user", ratios=(0.4, 0.3, 0.3), seed=5),
    SplitSpec(kind="user", users=(1, 1, 1), seed=2),
    SplitSpec(kind="user", users=(40, 20, 20)),
]

TIMES = st.sampled_from([-(2**63), -2, -1, 0, 0, 1, 1, 2, 3, 2**63 - 2])
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["u", "é", "𝄞", "z"]),
        st.sampled_from("abc"),
        TIMES,
        st.sampled_from([None, 1, 1, 0]),
    ),
    min_size=1,
    max_size=25,
)


def shop(rows: list[tuple[str, str, int, int | None]], order: list[int] | None = None) -> Dataset:
    """A dataset of (user, item, time, label); `order` is what `row` says."""
    frame = pl.DataFrame(
        rows,
        schema={"user_id": pl.String, "item_id": pl.String, "time": pl.Int64, "label": pl.Int8},
        orient="row",
    ).with_columns(row=pl.Series(order or range(len(rows)), dtype=pl.Int64))
    items = pl.DataFrame({"item_id": ["c", "a", "b"]})
    return Dataset.create(DatasetCard(name="shop", title="Shop"), Tables(items, frame))


def expected(dataset: Dataset, spec: SplitSpec) -> list[int]:
    """The part of every row of the interactions, by index arrays."""
    assert dataset.tables.interactions is not None
    events = dataset.events()
    parts = np.full(len(dataset.tables.interactions), DROPPED)
    parts[events.row] = cut(dataset, events, spec)
    return parts.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@settings(max_examples=15, deadline=None)
@given(ROWS.filter(lambda rows: any(row[3] != 0 for row in rows)), st.randoms())
def test_frames_are_cut_as_arrays_are(spec: SplitSpec, rows: Any, random: Any) -> None:
    """Ties in time, rows in another order than the table's, rows that were not taken."""
    order = list(range(len(rows)))
    random.shuffle(order)
    dataset = shop(rows, order)
    frame = dataset.tables.interactions
    assert frame is not None
    placed = frame.with_row_index("at").with_columns(pl.col("at").cast(pl.Int64))
    found = split_frame(placed, spec, place="at")
    assert found.drop("part", "at").equals(frame)
    assert found["part"].dtype == pl.Int8
    assert found["part"].to_list() == expected(dataset, spec)
    lazy = split_frame(placed.lazy(), spec, place="at")
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().sort("at").equals(found)


def test_parts_worked_out_by_hand() -> None:
    clicks = shop([("u", "a", 3, None), ("u", "b", 1, None), ("v", "a", 2, None)]).tables
    assert clicks.interactions is not None
    last = split_frame(clicks.interactions, SplitSpec(kind="last_out"))
    assert last["part"].to_list() == [2, 1, 2]
    time = split_frame(clicks.interactions, SplitSpec(kind="time", ratios=(0.34, 0.33, 0.33)))
    assert time["part"].to_list() == [0, 0, 0]  # floor(3 * .33) is none
    time = split_frame(clicks.interactions, SplitSpec(kind="time", ratios=(0.3, 0.35, 0.35)))
    assert time["part"].to_list() == [2, 0, 1]


def test_without_times_the_rows_say_what_came_first() -> None:
    frame = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["a", "b", "c"], "row": [5, 9, 7]})
    assert split_frame(frame, SplitSpec(kind="last_out"))["part"].to_list() == [0, 2, 1]
    nulls = frame.with_columns(time=pl.lit(None, dtype=pl.Int64))
    assert split_frame(nulls, SplitSpec(kind="last_out"))["part"].to_list() == [0, 2, 1]
    for without in (frame, nulls):
        with pytest.raises(UsageError, match="needs the time of every row"):
            split_frame(without, SplitSpec(kind="time"))


@pytest.mark.parametrize(
    "spec",
    [
        SplitSpec(kind="random"),
        SplitSpec(kind="given"),
        SplitSpec(kind="time", cold_items=0.5),
    ],
    ids=str,
)
def test_what_other_tables_decide_is_refused(spec: SplitSpec) -> None:
    frame = shop([("u", "a", 1, None)]).tables.interactions
    assert frame is not None
    with pytest.raises(UsageError, match="not cut on a frame") as error:
        split_frame(frame, spec)
    assert "tastebench.data.split" in str(error.value.fix)


@pytest.mark.parametrize("spec", [SplitSpec(kind="time"), SplitSpec(kind="user")], ids=str)
def test_nothing_to_split_is_said(spec: SplitSpec) -> None:
    frame = shop([("u", "a", 1, 0)]).tables.interactions
    assert frame is not None
    with pytest.raises(DataError, match="no interactions to split"):
        split_frame(frame, spec)
