"""Labelled rows: who was shown what, and clicked or not, with what they had taken before.

Rows come from impressions, from labels or ratings, or from interactions with drawn negatives
(`RowsSpec`). What a user had before a row lies strictly before it in time, so that what was clicked
in one list is in no history of that list; without times, in earlier rows. Where histories are given
with the impressions, a later part's begin with these and go on with the clicks of earlier parts.
Where a split lays parts among each other (`random`, `given`), a history has nothing that a later
part asks about.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

from tastebench.data.card import RowsSpec, SplitSpec
from tastebench.data.dataset import Dataset, Events, positions
from tastebench.data.histories import events_of, known_before, other_training
from tastebench.data.schema import PARTS
from tastebench.data.split import PAST, TEST, TRAIN, VALID, cut, known_alone, split, user_parts
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged

PART = "part"
"""Column of an impressions table by which it brings its own split."""


class Labelled(NamedTuple):
    """Labelled rows as arrays, each of length `n`.

    Attributes:
        user: Row in `Dataset.everyone`, int64.
        item: Row in the items table, int32.
        label: 1 clicked, 0 not, int8.
        impression: List that the row is of, int64; -1 where the data know of no lists.
        part: 0 train, 1 valid, 2 test, -1 in no part, int8.
        context: Which of the histories the row has, int64.
    """

    user: np.ndarray
    item: np.ndarray
    label: np.ndarray
    impression: np.ndarray
    part: np.ndarray
    context: np.ndarray


def default_rows(dataset: Dataset) -> RowsSpec:
    """Where labelled rows come from where nobody says: impressions, labels, ratings, or a draw."""
    if dataset.tables.impressions is not None:
        return RowsSpec(source="impressions")
    frame = dataset.tables.interactions
    if frame is not None:
        spec = RowsSpec(source="labels")
        label = _labels(frame, spec).drop_nulls()
        if label.n_unique() == 2:
            return spec
    return RowsSpec(source="sampled")


def default_split(dataset: Dataset, rows: RowsSpec) -> SplitSpec:
    """The card's for click prediction; else the dataset's own, by time, or whole users.

    Where negatives are drawn and there are no times, each user's last interaction is held out, or,
    if nothing is in order, random pairs are.
    """
    if "ctr" in dataset.card.splits:
        return dataset.card.splits["ctr"]
    tables = dataset.tables
    table = tables.impressions if rows.source == "impressions" else tables.interactions
    own = tables.split is not None if rows.source != "impressions" else False
    if own or (table is not None and PART in table.columns):
        return SplitSpec(kind="given")
    if table is not None and not table["time"].null_count() and table["time"].n_unique() > 1:
        return SplitSpec(kind="time")
    if rows.source != "sampled":
        return SplitSpec(kind="user")
    return SplitSpec(kind="last_out") if in_order(dataset) else SplitSpec(kind="random", by="all")


def label_rows(
    dataset: Dataset, rows: RowsSpec, split_by: SplitSpec, history_length: int
) -> tuple[Labelled, Ragged]:
    """The labelled rows of a dataset, cut into parts, and the histories they have.

    Args:
        dataset: Where from.
        rows: How.
        split_by: How they are cut; impressions by `given`, `time` or `user`, the others as
            interactions are (`tastebench.data.split.split`).
        history_length: Latest items kept of each history.

    Returns:
        Rows by user, then time, then raw row, and the histories that their `context` names.

    Raises:
        DataError: The dataset has no such rows.
        UsageError: They cannot be cut so, or train or test would be empty.
    """
    match rows.source:
        case "impressions":
            labelled, history = _shown(dataset, split_by, history_length)
        case "labels":
            labelled, history = _judged(dataset, rows, split_by, history_length)
        case "sampled":
            labelled, history = _drawn(dataset, rows, split_by, history_length)
    for part in (TRAIN, TEST):
        if not (labelled.part == part).any():
            raise UsageError(
                f"the split {split_by.kind} leaves {PARTS[part]} without labelled rows",
                where=dataset.name,
                fix="choose another split or other cut-offs",
            )
    return labelled, history


# ------------------------------------------------------------------------------------ impressions


def _shown(dataset: Dataset, spec: SplitSpec, length: int) -> tuple[Labelled, Ragged]:
    frame = dataset.tables.impressions
    if frame is None:
        raise DataError(
            "there are no impressions", where=dataset.name, fix="rows: {source: labels or sampled}"
        )
    events = dataset.in_order(frame, np.arange(len(frame)))
    impression = frame["impression_id"].rank("dense").to_numpy().astype(np.int64) - 1
    part = _shown_parts(dataset, frame, events, spec)
    label, impression = frame["label"].to_numpy()[events.row], impression[events.row]
    if dataset.tables.histories is not None:
        context, history = _given_and_since(dataset, events, label, impression, part)
        history = history.tail(length)
    elif events.time is None or dataset.tables.interactions is None:
        asked, taken = _by_list(dataset, events, label, impression)
        context, history = known_before(asked, part, taken, part[taken.row], spec, length)
    else:
        taken = dataset.events()
        asked_in = _asked_in(taken, events, np.where(label == 1, part, TRAIN), dataset.n_items)
        context, history = known_before(events, part, taken, asked_in, spec, length)
    return Labelled(events.user, events.item, label, impression, part, context), history


def _by_list(
    dataset: Dataset, events: Events, label: np.ndarray, impression: np.ndarray
) -> tuple[Events, Events]:
    """Impressions and those of them that were clicked; without times a list's is its first row.

    `row` of what was clicked is its place among the impressions.

    Interactions that say that nothing is in order are believed: then nobody has a history.
    """
    if events.time is None and (dataset.tables.interactions is None or in_order(dataset)):
        first = np.full(int(impression.max(initial=-1)) + 1, len(events.row))
        np.minimum.at(first, impression, events.row)
        events = events._replace(time=first[impression])
    if events.time is None:
        return events, events._replace(row=np.arange(len(events.row)))
    clicked = np.flatnonzero(label == 1)
    clicked = clicked[np.lexsort((events.row[clicked], events.time[clicked], events.user[clicked]))]
    taken = Events(events.user[clicked], events.item[clicked], events.time[clicked], clicked)
    return events, taken


def _asked_in(taken: Events, shown: Events, part: np.ndarray, n_items: int) -> np.ndarray:
    """The last part in which the pair of each event was shown, train where in none, int8 `[n]`."""
    pair, asked = taken.user * n_items + taken.item, shown.user * n_items + shown.item
    valid, test = (np.isin(pair, asked[part == one]) for one in (VALID, TEST))
    return np.select([test, valid], [TEST, VALID], TRAIN).astype(np.int8)


def _shown_parts(
    dataset: Dataset, frame: pl.DataFrame, events: Events, spec: SplitSpec
) -> np.ndarray:
    match spec.kind:
        case "given" if PART in frame.columns:
            bad = (~frame[PART].is_in(PARTS)).fill_null(True).arg_true()
            if len(bad):
                raise DataError(
                    f"part {frame[PART][bad[0]]!r} is none of {', '.join(PARTS)}",
                    where=f"{dataset.name}, table impressions, row {bad[0] + 1}",
                )
            codes = frame[PART].replace_strict(PARTS, [TRAIN, VALID, TEST], return_dtype=pl.Int8)
            part: np.ndarray = codes.to_numpy()[events.row]
            return known_alone(part, events) if spec.drop_cold else part
        case "given":
            raise UsageError(
                f"the impressions of {dataset.name} bring no split of their own",
                fix="choose time or user",
            )
        case "time":
            return cut(dataset, events, spec)
        case "user":
            return user_parts(events.user, spec)
        case kind:
            raise UsageError(
                f"impressions are not cut by {kind}: it takes single events apart",
                where=dataset.name,
                fix="choose time, user or given",
            )


def _given_and_since(
    dataset: Dataset, events: Events, label: np.ndarray, impression: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, Ragged]:
    """The given histories; behind them, for a later part, what its users clicked in earlier ones.

    A history is given once a user, from before the first part. What was clicked since counts where
    it lies before all that the user is asked about in the part, so that a user has one history a
    part, as published ones are.
    """
    given = _given_histories(dataset)
    asked, clicked = _by_list(dataset, events, label, impression)
    context, lists = events.user.copy(), [given]
    if asked.time is None or clicked.time is None:
        return context, given
    of_click = np.where(part == PAST, TRAIN, part)[clicked.row]
    for one in (VALID, TEST):
        mine = part == one
        begins = np.full(len(given), np.iinfo(np.int64).max)
        np.minimum.at(begins, asked.user[mine], asked.time[mine])
        earlier = (of_click >= TRAIN) & (of_click < one) & (clicked.time < begins[clicked.user])
        earlier &= np.isin(clicked.user, asked.user[mine])
        if earlier.any():
            context[mine] += len(lists) * len(given)
            user = np.concatenate([given.rows, clicked.user[earlier]])
            item = np.concatenate([given.values, clicked.item[earlier]])
            order = np.argsort(user, kind="stable")
            lists.append(Ragged.from_rows(user[order], item[order], len(given)))
    values = np.concatenate([each.values for each in lists])
    return context, Ragged.from_lengths(values, np.concatenate([each.lengths for each in lists]))


def _given_histories(dataset: Dataset) -> Ragged:
    """The histories table by user of `everyone`; who is not in it has none."""
    table = dataset.tables.histories
    assert table is not None
    flat = table.explode("item_ids").drop_nulls()
    user = positions(flat["user_id"], dataset.everyone)
    item = positions(flat["item_ids"], dataset.item_ids)
    known = item >= 0
    return Ragged.from_rows(user[known], item[known].astype(np.int32), len(dataset.everyone))


# ----------------------------------------------------------------------------- labels and ratings


def _labels(frame: pl.DataFrame, rows: RowsSpec) -> pl.Series:
    """1, 0, or null where a row says neither."""
    if frame["label"].null_count() < len(frame):
        return frame["label"]
    rating = pl.col("rating")
    label = pl.when(rating > rows.threshold).then(1).when(rating < rows.threshold).then(0)
    return frame.select(label.cast(pl.Int8).alias("label")).to_series()


def _judged(
    dataset: Dataset, rows: RowsSpec, spec: SplitSpec, length: int
) -> tuple[Labelled, Ragged]:
    frame = dataset.tables.interactions
    label = None if frame is None else _labels(frame, rows)
    if frame is None or label is None or label.drop_nulls().n_unique() < 2:
        raise DataError(
            "there are no labels of both kinds, nor ratings above and below "
            f"{rows.threshold:g}, so nothing says what was not clicked",
            where=dataset.name,
            fix="rows: {source: sampled} draws what was not clicked",
        )
    kept = label.is_not_null().to_numpy()
    events = dataset.in_order(frame, frame["row"].to_numpy(), kept)
    value = label.fill_null(0).to_numpy()[events.row].astype(np.int8)
    if spec.kind == "user":
        part = user_parts(events.user, spec)
    else:
        part = cut(dataset, events, spec)
    taken = events_of(events, value == 1)
    if events.time is None:
        # Without times a row's place is its time: rows are in order already.
        events, taken = _by_row(events, frame), _by_row(taken, frame)
    context, history = known_before(events, part, taken, part[value == 1], spec, length)
    nowhere = np.full(len(value), -1, dtype=np.int64)
    return Labelled(events.user, events.item, value, nowhere, part, context), history


def _by_row(events: Events, frame: pl.DataFrame) -> Events:
    return events._replace(time=frame["row"].to_numpy()[events.row])


# ---------------------------------------------------------------------------------- drawn negatives


def _drawn(
    dataset: Dataset, rows: RowsSpec, spec: SplitSpec, length: int
) -> tuple[Labelled, Ragged]:
    """Every held-in or held-out event with its drawn negatives; they share history and part."""
    events = dataset.events()
    part = split(dataset, spec)
    asked = np.flatnonzero((part >= TRAIN) & (part <= TEST))
    rng = np.random.default_rng(rows.seed)
    drawn = draw_untaken(events.user[asked], events, dataset.n_items, rows.negatives, rng)
    item = np.concatenate([events.item[asked, None], drawn], axis=1)
    each = item.shape[1]
    label = np.zeros(item.shape, dtype=np.int8)
    label[:, 0] = 1
    own = np.arange(len(asked))
    if in_order(dataset):
        # Between equal times the raw row decides, so that the place tells what came before.
        placed = events._replace(time=np.arange(len(events.user)))
        context, history = known_before(
            events_of(placed, asked), part[asked], placed, part, spec, length
        )
    else:
        context, history = own, other_training(events, part == TRAIN, asked, length)
    return (
        Labelled(
            np.repeat(events.user[asked], each),
            item.ravel().astype(np.int32),
            label.ravel(),
            np.repeat(own, each),
            np.repeat(part[asked], each),
            np.repeat(context, each),
        ),
        history,
    )


def in_order(dataset: Dataset) -> bool:
    """Whether anything says what came first: times, or rows that tell."""
    frame = dataset.tables.interactions
    return frame is not None and (
        (not frame["time"].null_count() and frame["time"].n_unique() > 1)
        or frame["row"].n_unique() > 1
    )


def draw_untaken(
    user: np.ndarray, events: Events, n_items: int, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Items that a user never takes, uniformly, each once a row, int64 `[len(user), n]`.

    Raises:
        DataError: Somebody has left fewer than `n` items untaken.
    """
    pairs = np.unique(events.user * n_items + events.item)
    users, count = np.unique(pairs // n_items, return_counts=True)
    few = users[n_items - count < n]
    if np.isin(user, few).any():
        raise DataError(
            f"{len(few):,} users have taken all but fewer than {n} of the {n_items:,} items",
            fix="draw fewer negatives",
        )
    drawn = np.full((len(user), n), -1, dtype=np.int64)
    open_rows = np.arange(len(user))
    while len(open_rows):
        fresh = np.where(
            drawn[open_rows] < 0, rng.integers(n_items, size=(len(open_rows), n)), drawn[open_rows]
        )
        key = user[open_rows, None] * n_items + fresh
        at = np.minimum(np.searchsorted(pairs, key), len(pairs) - 1)
        order = np.argsort(fresh, axis=1, kind="stable")
        ordered = np.take_along_axis(fresh, order, axis=1)
        again = np.zeros(fresh.shape, dtype=bool)
        np.put_along_axis(again[:, :], order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        drawn[open_rows] = np.where((pairs[at] == key) | again, -1, fresh)
        open_rows = open_rows[(drawn[open_rows] < 0).any(axis=1)]
    return drawn
