"""Splits of a table that is not in memory: the part of each row, as a column of the frame itself.

For Spark and for lazy frames, through Narwhals; row for row the parts that `tastebench.data.split`
gives. The house draws the line at what the interactions' own columns say:

- `last_out`, `time`, `ratio` and `user` are here. They need an order within users, two moments in
  time, or one draw a user.
- `random` and `given` are not, nor is `cold_items`. A random split draws one number for every pair,
  in the order of the catalogue, on one machine; a given one and cold items need other tables. They
  are cut after `prepare` has made the data small enough for `tastebench.data.split`.
"""

from __future__ import annotations

from typing import Any, TypeVar

import narwhals as nw
import numpy as np

from tastebench.data.card import SplitSpec
from tastebench.data.prepare import collected, count_rows, lazy_rows
from tastebench.data.split import (
    DROPPED,
    PAST,
    ROUNDING,
    TEST,
    TRAIN,
    VALID,
    user_parts,
    whole,
)
from tastebench.errors import DataError, UsageError

FrameT = TypeVar("FrameT")

PART = "part"
"""The column that is added: 0 train, 1 valid, 2 test, 3 what went before, -1 in no part."""

_WAYS = 64
"""Counts taken in one look at the data when a moment in time is searched for."""


def split_frame(interactions: FrameT, spec: SplitSpec, *, place: str = "row") -> FrameT:
    """The interactions with the part of each, int8, in a column `part`.

    A Polars DataFrame comes back in its order. A lazy frame stays lazy but for what a split has to
    know first: two moments (`time`), or how many users there are (`user`); it is looked through
    for them, so one that is costly to make should be kept (`cache`) before. Whether a part is empty
    is not looked at.

    Args:
        interactions: With user_id, item_id, time and row, and label where there is one: rows with
            label 0 were shown and not taken, and are in no part.
        spec: How to split.
        place: Column with the order of the table, where `row` is not that: it decides between rows
            that share time and `row`, and users are drawn in the order of their first appearance.

    Raises:
        UsageError: The split cannot be told from these columns, or there are no times to split by.
        DataError: There are no interactions.
    """
    if spec.kind in ("random", "given") or spec.cold_items is not None:
        raise UsageError(
            f"a split {spec.kind if spec.cold_items is None else 'with cold items'} is not cut on "
            "a frame that may not fit into memory",
            fix="prepare the data first and split the result with tastebench.data.split, or choose "
            "last_out, time, ratio or user",
        )
    frame: Any = nw.from_native(interactions)
    if isinstance(frame, nw.DataFrame):
        numbered = frame.with_row_index("_at").lazy().to_native()
        cut = collected(nw.from_native(split_frame(numbered, spec, place=place)))
        eager: FrameT = cut.sort("_at").drop("_at").to_native()
        return eager
    columns = frame.collect_schema().names()
    frame = frame.with_columns(_taken=_taken(columns))
    order = [c for c in dict.fromkeys(("time", "row", place)) if c in columns]
    if spec.kind == "time":
        part = _by_time(frame, spec, "time" in columns)
    elif spec.kind == "user":
        frame = _with_user_part(frame, spec, place)
        after = (nw.col("_part") > TRAIN) & (_later(order) > 0)
        part = nw.when(after).then(PAST).otherwise(nw.col("_part"))
    elif spec.kind == "ratio":
        test, valid = (_whole(_size(), ratio) for ratio in (spec.ratios[2], spec.ratios[1]))
        part = _from_end(_later(order), test, test + valid)
    else:
        part = _from_end(_later(order), nw.lit(1), nw.lit(2))
    part = nw.when(nw.col("_taken") == 1).then(part).otherwise(DROPPED).cast(nw.Int8)
    frame = frame.with_columns(part.alias(PART))
    if spec.drop_cold:
        trained = (nw.col(PART) == TRAIN).cast(nw.Int8).max()
        known = (trained.over("user_id") == 1) & (trained.over("item_id") == 1)
        frame = frame.with_columns(nw.when(known).then(nw.col(PART)).otherwise(DROPPED).alias(PART))
        frame = frame.with_columns(nw.col(PART).cast(nw.Int8))
    result: FrameT = frame.select(*columns, PART).to_native()
    return result


def _taken(columns: list[str]) -> nw.Expr:
    """Whether a row is an event. With a window over it the others are apart."""
    if "label" not in columns:
        return nw.lit(1)
    return nw.when(nw.col("label") == 0).then(0).otherwise(1)


def _size() -> nw.Expr:
    return nw.len().over("user_id", "_taken")


def _later(order: list[str]) -> nw.Expr:
    """Events of the same user after each."""
    until = nw.col("row").cum_count().over("user_id", "_taken", order_by=order)
    return _size().cast(nw.Int64) - until.cast(nw.Int64)


def _whole(n: nw.Expr, ratio: float) -> nw.Expr:
    return (n.cast(nw.Float64) * ratio + ROUNDING).cast(nw.Int64)  # which rounds down


def _from_end(later: nw.Expr, test: nw.Expr, known: nw.Expr) -> nw.Expr:
    """The last `test` are test, those before them up to `known` valid."""
    early = nw.when(later < known).then(VALID).otherwise(TRAIN)
    return nw.when(later < test).then(TEST).otherwise(early)


def _by_time(frame: Any, spec: SplitSpec, has_time: bool) -> nw.Expr:
    if not has_time or collected(frame.select(nw.col("time").is_null().any())).item():
        raise UsageError(
            "a split by time needs the time of every row", fix="choose last_out, ratio or user"
        )
    if spec.valid_from is None or spec.test_from is None:
        valid_from, test_from = _cutoffs(frame.filter(nw.col("_taken") == 1), spec)
    else:
        valid_from, test_from = spec.valid_from, spec.test_from
    early = nw.when(nw.col("time") >= valid_from).then(VALID).otherwise(TRAIN)
    return nw.when(nw.col("time") >= test_from).then(TEST).otherwise(early)


def _cutoffs(events: Any, spec: SplitSpec) -> tuple[int, int]:
    """As `tastebench.data.split.cutoffs`, by counting what is earlier than chosen moments."""
    time = nw.col("time")
    found = collected(events.select(n=nw.len(), low=time.min(), high=time.max()))
    n, low, high = (found[name].item() for name in ("n", "low", "high"))
    if not n:
        raise _nothing()
    test, valid = whole(n, spec.ratios[2]), whole(n, spec.ratios[1])
    ranks = (n - test - valid, n - test)
    found_times = _order_statistics(events, [r for r in ranks if r < n], low, high)
    # What would be after all of them is the moment after the last.
    valid_from, test_from = (found_times.get(rank, high + 1) for rank in ranks)
    return valid_from, test_from


def _order_statistics(events: Any, ranks: list[int], low: int, high: int) -> dict[int, int]:
    """The `rank`-th smallest time, from 0, of each rank.

    In each look at the data the range in which one lies becomes `_WAYS` times smaller: counts come
    to this machine, and nothing is sorted. A millisecond of fifty years takes seven looks.
    """
    # Of each rank: the largest moment known to have `rank` events or fewer before it, and the
    # largest that may be it.
    ranges = {rank: (low, high) for rank in ranks}
    while any(first < last for first, last in ranges.values()):
        asked = sorted({t for first, last in ranges.values() for t in _between(first, last)})
        earlier = [(nw.col("time") < t).cast(nw.Int64).sum().alias(f"n{t}") for t in asked]
        counts = collected(events.select(*earlier))
        before = {t: counts[f"n{t}"].item() for t in asked}
        for rank, (first, last) in ranges.items():
            ranges[rank] = (
                max([first, *(t for t in asked if first < t <= last and before[t] <= rank)]),
                min([last, *(t - 1 for t in asked if first < t <= last and before[t] > rank)]),
            )
    return {rank: first for rank, (first, _) in ranges.items()}


def _between(first: int, last: int) -> list[int]:
    """Up to `_WAYS` moments after `first` and not after `last`, evenly."""
    ways = min(_WAYS, last - first)
    return [first + (last - first) * i // ways for i in range(1, ways + 1)]


def _with_user_part(frame: Any, spec: SplitSpec, place: str) -> Any:
    """The part of each row's user; users count from their first row on, those with events alone."""
    users = (
        frame.group_by("user_id")
        .agg(nw.col(place).min().alias("_first"), nw.col("_taken").max().alias("_any"))
        .filter(nw.col("_any") == 1)
    )
    n = count_rows(users)
    if not n:
        raise _nothing()
    parts = user_parts(np.arange(n), spec)
    kinds, sizes = np.unique(parts, return_counts=True)
    most = int(kinds[sizes.argmax()])
    others = np.flatnonzero(parts != most)
    drawn = lazy_rows(frame, {"_user": others, "_drawn": parts[others]})
    numbered = users.with_row_index("_user", order_by="_first")
    numbered = numbered.with_columns(nw.col("_user").cast(nw.Int64))
    of_user = numbered.join(drawn, on="_user", how="inner").select("user_id", "_drawn")
    part = nw.col("_drawn").fill_null(most).alias("_part")
    return frame.join(of_user, on="user_id", how="left").with_columns(part)


def _nothing() -> DataError:
    return DataError("there are no interactions to split")
