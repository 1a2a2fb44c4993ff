"""Who can be asked about what: the candidates and histories of RecBench's families of datasets.

Three families make labelled rows of raw data (Liu et al. 2025, arXiv:2503.05493): impressions that
were `given` with a history, ratings that are `explicit` dislikes, and logs of what was taken, whose
negatives are `sampled`. Everything here is an array operation over all users at once; nothing is
drawn yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from tastebench.data.dataset import positions
from tastebench.errors import DataError
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from tastebench.data.click_rows import ClickRows
    from tastebench.data.schema import Tables


class Rows(NamedTuple):
    """Labelled candidates, `n` of them.

    Attributes:
        user: Which of the pool's users, int64 `[n]`.
        item: Row of the items table, int64 `[n]`.
        label: 1 taken, 0 not, int8 `[n]`.
        row: Row of the table that the candidate comes from, int64 `[n]`; -1 where it was drawn.
    """

    user: np.ndarray
    item: np.ndarray
    label: np.ndarray
    row: np.ndarray

    def of(self, which: np.ndarray) -> Rows:
        """The rows of a mask or an index array."""
        return Rows(*(column[which] for column in self))


@dataclass(frozen=True, eq=False)
class Pool:
    """What the rows of a dataset can be drawn from.

    Attributes:
        users: Ids of the users that can be asked, sorted: a user is a place in them.
        rows: Their candidates, by user.
        history: What each took before, as rows of the items table, oldest first.
        to_draw: Negatives still to be drawn of each user, int64 `[n_users]`.
        n_items: Rows of the items table.
        catalogue: Those that negatives are drawn from, ascending.
        taken: `user * n_items + item` of all that users took and can be drawn, sorted, unique.
        sequences: All that every user took, as interactions.
        dropped: Users and rows that are not in the pool, by reason.
    """

    users: pl.Series
    rows: Rows
    history: Ragged
    to_draw: np.ndarray
    n_items: int
    catalogue: np.ndarray
    taken: np.ndarray
    sequences: pl.DataFrame
    dropped: dict[str, int]


def pool(tables: Tables, spec: ClickRows, known: np.ndarray, where: str) -> Pool:
    """The pool of a dataset by the rules of its family.

    Args:
        tables: Canonical tables.
        spec: Family and numbers.
        known: Which items exist for the benchmark, bool `[n_items]`; rows of others are dropped.
        where: The dataset, for messages.

    Raises:
        DataError: A table or column is missing, or no user is left.
    """
    found = (_given if spec.family == "given" else _from_events)(tables, spec, known, where)
    if not len(found.users):
        told = "; ".join(f"{reason}: {n:,}" for reason, n in found.dropped.items() if n)
        raise DataError(
            f"no user has a history and candidates ({told or 'there are no rows'})",
            where=where,
            fix="check that the files belong together and are those of the right release",
        )
    return found


# ------------------------------------------------------------------------------------ given lists


def _given(tables: Tables, spec: ClickRows, known: np.ndarray, where: str) -> Pool:
    """Every candidate that was shown is a row, the history is the one that comes with the data."""
    shown, told = tables.impressions, tables.histories
    if shown is None or told is None:
        lacking = "impressions" if shown is None else "histories"
        raise DataError(
            f"rows of given lists need {lacking}", where=where, fix="take the family sampled"
        )
    ids, history = _histories(told, tables.items["item_id"], known)
    user, item = positions(shown["user_id"], ids), positions(shown["item_id"], _ids(tables))
    strange = (item < 0) | ~known[item]
    rows = Rows(user, item, shown["label"].to_numpy(), np.arange(len(user)))
    rows = rows.of((user >= 0) & ~strange)
    before = len(rows.user)
    if spec.behaviour == "fixed":
        rows = _once(rows, len(known))
    asked = np.bincount(rows.user, minlength=len(ids)) > 0
    met = np.bincount(user[user >= 0], minlength=len(ids)) > 0
    dropped = {
        "rows of items without a record": int(strange.sum()),
        "rows of a pair that has another": before - len(rows.user),
        "users without a history": shown["user_id"].n_unique() - int(met.sum()),
        "users without a candidate": int((met & ~asked).sum()),
    }
    sequences, short = _told_sequences(ids, history, tables, spec)
    return Pool(
        users=ids.filter(pl.Series(asked)),
        rows=_renumbered(rows, asked),
        history=history[asked].tail(spec.history_cap),
        to_draw=np.zeros(int(asked.sum()), dtype=np.int64),
        n_items=len(known),
        catalogue=np.flatnonzero(known),
        taken=np.empty(0, dtype=np.int64),
        sequences=sequences,
        dropped=dropped | {"sequences too short": short},
    )


def _histories(told: pl.DataFrame, items: pl.Series, known: np.ndarray) -> tuple[pl.Series, Ragged]:
    """Users with a history of known items, sorted by id, and those histories."""
    told = told.filter(pl.col("item_ids").list.len() > 0).sort("user_id")
    lengths = told["item_ids"].list.len().cast(pl.Int64).to_numpy()
    item = positions(told["item_ids"].explode(), items) if len(told) else np.empty(0, np.int64)
    kept = (item >= 0) & known[item]
    owner = np.repeat(np.arange(len(told)), lengths)[kept]
    held = np.bincount(owner, minlength=len(told))
    history = Ragged.from_lengths(item[kept], held)
    return told["user_id"].filter(pl.Series(held > 0)), history[held > 0]


def _once(rows: Rows, n_items: int) -> Rows:
    """One row a pair: its first positive one, or else its first; in order of user and item."""
    order = np.lexsort((rows.row, -rows.label, rows.item, rows.user))
    pair = (rows.user * n_items + rows.item)[order]
    return rows.of(order[_begins(pair)])


def _told_sequences(
    ids: pl.Series, history: Ragged, tables: Tables, spec: ClickRows
) -> tuple[pl.DataFrame, int]:
    """The histories as interactions, in order and without times; and how many were too short."""
    long = history.lengths >= spec.min_sequence
    kept = history[long]
    frame = pl.DataFrame(
        {
            "user_id": ids.filter(pl.Series(long)).gather(kept.rows),
            "item_id": _ids(tables).gather(kept.values),
        }
    )
    return frame.with_row_index("row"), int((~long).sum())


# ------------------------------------------------------------------------- logs of what was taken


class _Events(NamedTuple):
    """Labelled events of known items, by user, then time, then raw row."""

    ids: pl.Series
    user: np.ndarray
    item: np.ndarray
    label: np.ndarray
    row: np.ndarray


def _from_events(tables: Tables, spec: ClickRows, known: np.ndarray, where: str) -> Pool:
    """A user's last positives are candidates, what was before them is the history."""
    n_items = len(known)
    events, strange = _labelled(tables, spec, known, where)
    liked = _liked(events, spec, n_items)
    taken = np.sort(liked.pair)
    taken = taken[_begins(taken)]
    negatives = _disliked(events, liked, taken, spec, n_items)
    to_draw = np.full(len(events.ids), spec.to_draw, dtype=np.int64)
    both = _both_labels(events, negatives, spec)
    roomy = _room(taken, known, to_draw, spec)
    past = liked.cut > liked.starts
    able = both & past & roomy
    positives = Rows(liked.user, liked.item, events.label[liked.at], events.row[liked.at])
    sides = positives.of(liked.asked & able[liked.user]), negatives.of(able[negatives.user])
    held = np.minimum(liked.cut - liked.starts, spec.history_cap)
    sequences, short = _sequences(tables, events, both, spec)
    return Pool(
        users=events.ids.filter(pl.Series(able)),
        rows=_renumbered(Rows(*map(np.concatenate, zip(*sides, strict=True))), able),
        history=Ragged.windows(liked.item, liked.cut[able], held[able]),
        to_draw=to_draw[able],
        n_items=len(known),
        catalogue=np.flatnonzero(known),
        taken=_kept_pairs(taken, able, n_items),
        sequences=sequences,
        dropped={
            **strange,
            "users without both labels": int((~both).sum()),
            f"users with {spec.positives} positives or fewer": int((both & ~past).sum()),
            "users with too few other items to draw from": int((both & past & ~roomy).sum()),
            "sequences too short": short,
        },
    )


def _labelled(
    tables: Tables, spec: ClickRows, known: np.ndarray, where: str
) -> tuple[_Events, dict[str, int]]:
    """The events that have a label, sorted, and how many rows have none or no known item."""
    frame = tables.interactions
    if frame is None:
        raise DataError(f"rows of the family {spec.family} need interactions", where=where)
    label = _labels(frame, spec, where)
    item = positions(frame["item_id"], _ids(tables))
    strange = (item < 0) | ~known[item]
    keep = np.flatnonzero((label >= 0) & ~strange)
    ids = frame["user_id"].gather(keep).unique().sort()
    user = positions(frame["user_id"].gather(keep), ids)
    order = frame.select("row", "time")[keep].with_columns(user=pl.Series(user))
    at = order.select(pl.arg_sort_by("user", "time", "row")).to_series().to_numpy()
    events = _Events(ids, user[at], item[keep][at], label[keep][at], keep[at])
    return events, {
        "rows of items without a record": int(strange.sum()),
        "rows without a label": int(((label < 0) & ~strange).sum()),
    }


def _labels(frame: pl.DataFrame, spec: ClickRows, where: str) -> np.ndarray:
    """1, 0, or -1 for a row that counts as neither, int8 `[n]`."""
    if spec.family == "sampled":
        # What was shown and not taken is no event.
        return frame["label"].fill_null(1).replace(0, -1).to_numpy()
    column = "rating" if spec.threshold is not None else "label"
    if frame[column].is_null().all():
        raise DataError(
            f"explicit negatives need a {column}, and no interaction has one",
            where=where,
            fix="take the family sampled",
        )
    if spec.threshold is None:
        return frame["label"].fill_null(-1).to_numpy()
    rating = pl.col("rating")
    label = pl.when(rating > spec.threshold).then(1).when(rating < spec.threshold).then(0)
    return frame.select(label.otherwise(-1).cast(pl.Int8)).to_series().to_numpy()


class _Liked(NamedTuple):
    """The positives, by user and in order, `n` of them.

    Attributes:
        at: Where each is among the events.
        pair: `user * n_items + item`.
        asked: Whether it is a candidate.
        starts: Where each user's begin, `[n_users]`.
        cut: Where each user's history ends and the candidates begin; -1 where there are too few.
    """

    at: np.ndarray
    user: np.ndarray
    item: np.ndarray
    pair: np.ndarray
    asked: np.ndarray
    starts: np.ndarray
    cut: np.ndarray


def _liked(events: _Events, spec: ClickRows, n_items: int) -> _Liked:
    """Positives with each user's last `positives` marked as candidates.

    `fixed` takes the last distinct items, each where it was taken last, so that an item is one
    candidate; all that comes after the first of them is then a candidate too. `reference` takes the
    last rows.
    """
    at = np.flatnonzero(events.label == 1)
    user, item = events.user[at], events.item[at]
    ends = np.cumsum(np.bincount(user, minlength=len(events.ids)))
    pair = user * n_items + item
    counted = _last(pair) if spec.behaviour == "fixed" else np.ones(len(pair), dtype=bool)
    left = _remaining(counted, ends[user])
    cut = np.full(len(ends), -1, dtype=np.int64)
    first = np.flatnonzero(counted & (left == spec.positives))
    cut[user[first]] = first
    asked = counted & (left <= spec.positives)
    return _Liked(at, user, item, pair, asked, np.append(0, ends)[:-1], cut)


def _disliked(
    events: _Events, liked: _Liked, taken: np.ndarray, spec: ClickRows, n_items: int
) -> Rows:
    """The explicit negatives; `fixed` has none of an item that the user also liked, and each once.

    With `negatives_after_history` only those that came after the last item of the history.
    """
    at = np.flatnonzero((events.label == 0) & (spec.family == "explicit"))
    if spec.negatives_after_history and len(at):
        # Users without a history are dropped anyway.
        last = liked.at[np.maximum(liked.cut, 1) - 1] if len(liked.at) else liked.cut
        at = at[at > last[events.user[at]]]
    if spec.behaviour == "fixed":
        at = at[~among(events.user[at] * n_items + events.item[at], taken)]
        pair = events.user[at] * n_items + events.item[at]
        order = np.argsort(pair, kind="stable")
        at = at[np.sort(order[_begins(pair[order])])]
    return Rows(events.user[at], events.item[at], events.label[at], events.row[at])


def _both_labels(events: _Events, negatives: Rows, spec: ClickRows) -> np.ndarray:
    """Users who can have rows of both labels; everyone where negatives are drawn."""
    n_users = len(events.ids)
    if spec.family == "sampled":
        return np.ones(n_users, dtype=bool)
    has_positive = np.bincount(events.user[events.label == 1], minlength=n_users) > 0
    return has_positive & (np.bincount(negatives.user, minlength=n_users) > 0)


def _room(taken: np.ndarray, known: np.ndarray, to_draw: np.ndarray, spec: ClickRows) -> np.ndarray:
    """Users who left enough of the catalogue untouched for their negatives to be drawn."""
    if spec.family != "sampled":
        return np.ones(len(to_draw), dtype=bool)
    touched = np.bincount(taken // len(known), minlength=len(to_draw))
    enough: np.ndarray = known.sum() - touched >= (to_draw if spec.behaviour == "fixed" else 1)
    return enough


def _sequences(
    tables: Tables, events: _Events, both: np.ndarray, spec: ClickRows
) -> tuple[pl.DataFrame, int]:
    """All positives of all users as interactions, and how many users have too few.

    `reference` drops users without a negative here too, although none is used.
    """
    frame = tables.interactions
    assert frame is not None
    liked = events.label == 1
    count = np.bincount(events.user[liked], minlength=len(events.ids))
    long = count >= spec.min_sequence
    if spec.behaviour == "reference":
        long &= both
    rows = np.sort(events.row[liked & long[events.user]])
    columns = ["user_id", "item_id", "time", "rating", "row"]
    return frame.select(columns)[rows], int(((count > 0) & ~long).sum())


# ------------------------------------------------------------------------------------------ arrays


def _ids(tables: Tables) -> pl.Series:
    return tables.items["item_id"]


def among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """Whether each value is in an ascending array, bool `[n]`."""
    if not len(ordered):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    found: np.ndarray = ordered[at] == values
    return found


def _begins(sorted_values: np.ndarray) -> np.ndarray:
    """Whether each value is the first of its run."""
    return np.append(True, sorted_values[1:] != sorted_values[:-1])[: len(sorted_values)]


def _last(pair: np.ndarray) -> np.ndarray:
    """Whether each entry is the last of its value, for events in order, bool `[n]`."""
    last = np.zeros(len(pair), dtype=bool)
    order = np.argsort(pair, kind="stable")
    last[order[_begins(pair[order][::-1])[::-1]]] = True
    return last


def _remaining(counted: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How many counted entries lie between each entry, itself included, and `end`."""
    after = np.append(np.cumsum(counted[::-1])[::-1], 0)
    left: np.ndarray = after[:-1] - after[end]
    return left


def _renumbered(rows: Rows, able: np.ndarray) -> Rows:
    """The rows of users who are able, in order of user and item, users counted among those."""
    rows = rows.of(able[rows.user])
    rows = rows.of(np.lexsort((rows.row, rows.item, rows.user)))
    return rows._replace(user=(np.cumsum(able) - 1)[rows.user])


def _kept_pairs(pairs: np.ndarray, able: np.ndarray, n_items: int) -> np.ndarray:
    user, item = np.divmod(pairs, n_items)
    kept = able[user]
    renumbered: np.ndarray = (np.cumsum(able) - 1)[user[kept]] * n_items + item[kept]
    return renumbered
