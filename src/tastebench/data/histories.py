"""Histories of rows: what their users had taken before them, and may be known to have."""

from __future__ import annotations

import numpy as np

from tastebench.data.card import SplitSpec
from tastebench.data.dataset import Events
from tastebench.data.split import TEST, TRAIN, VALID
from tastebench.ragged import Ragged


def events_of(events: Events, which: np.ndarray) -> Events:
    """The events of a mask or an index array."""
    return Events(*(None if a is None else a[which] for a in events))  # type: ignore[arg-type]


def known_before(
    asked: Events,
    part: np.ndarray,
    taken: Events,
    taken_part: np.ndarray,
    spec: SplitSpec,
    length: int,
) -> tuple[np.ndarray, Ragged]:
    """As `taken_before`, for rows and what was taken by parts, int8 each.

    Where parts lie among each other, training would read in a history what the test part asks.
    """
    if spec.kind not in ("random", "given"):
        return taken_before(asked, taken, length)
    level, taken_level = (np.where(np.isin(p, (VALID, TEST)), p, TRAIN) for p in (part, taken_part))
    context = np.zeros(len(part), dtype=np.int64)
    found: list[Ragged] = []
    for one in (TRAIN, VALID, TEST):
        mine = level == one
        begin = sum(map(len, found))
        of_rows, lists = taken_before(
            events_of(asked, mine), events_of(taken, taken_level <= one), length
        )
        context[mine] = of_rows + begin
        found.append(lists)
    values = np.concatenate([lists.values for lists in found])
    return context, Ragged.from_lengths(values, np.concatenate([x.lengths for x in found]))


def taken_before(asked: Events, taken: Events, length: int) -> tuple[np.ndarray, Ragged]:
    """For every row what its user had taken strictly before its time.

    Args:
        asked: Rows in question, by user.
        taken: What was taken, by user, then time.
        length: Latest items kept.

    Returns:
        The context of each row, int64, and the distinct histories.
    """
    if asked.time is None or taken.time is None:
        # Nothing says what came first.
        none = np.zeros(len(asked.user), dtype=np.int64)
        return none, Ragged(np.empty(0, dtype=np.int32), np.zeros(2, dtype=np.int64))
    moments = np.unique(np.concatenate([asked.time, taken.time]))
    taken_key = taken.user * len(moments) + np.searchsorted(moments, taken.time)
    asked_key = asked.user * len(moments) + np.searchsorted(moments, asked.time)
    keys, context = np.unique(asked_key, return_inverse=True)
    end = np.searchsorted(taken_key, keys)
    first = np.searchsorted(taken_key, keys // len(moments) * len(moments))
    return context, Ragged.windows(taken.item, end, np.minimum(end - first, length))


def other_training(events: Events, train: np.ndarray, asked: np.ndarray, length: int) -> Ragged:
    """Where nothing is in order: the last other training items of each asked event's user.

    A click and the negatives drawn to it have the same, so that nothing in it tells them apart.
    """
    taken, user = np.flatnonzero(train), events.user[train]
    first, last = (np.searchsorted(user, events.user[asked], side) for side in ("left", "right"))
    # One more than is kept, as itself may be among them: all of them would be quadratic.
    found = Ragged.windows(taken, last, np.minimum(last - first, length + 1))
    other = found.values != np.repeat(asked, found.lengths)
    left = Ragged.from_rows(found.rows[other], events.item[found.values[other]], len(asked))
    return left.tail(length)
