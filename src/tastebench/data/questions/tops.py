"""The most frequent values of stretches of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tastebench.data.questions.attributes import Attribute
from tastebench.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Tops:
    """The most frequent values of each stretch, most frequent first.

    Attributes:
        value: -1 where there are fewer, int64 `[n, k]`.
        count: In how many events each stands, int64 `[n, k]`.
    """

    value: np.ndarray
    count: np.ndarray
    _event: np.ndarray
    _of_event: np.ndarray

    def evidence(self, stretch: np.ndarray, place: np.ndarray, values: np.ndarray) -> Ragged:
        """Places, counted from 1, of the events that have one of `values`, `[n, k]`, by stretch.

        Args:
            stretch: Of each event, as it was given to `tops`.
            place: Of each event.
            values: Whose.
        """
        has = (values[stretch[self._event]] == self._of_event[:, None]).any(axis=1)
        event = self._event[has]  # ascending
        event = event[np.diff(event, prepend=-1) != 0]
        return Ragged.from_lengths(
            place[event] + 1, np.bincount(stretch[event], minlength=len(values))
        )


def tops(
    attribute: Attribute,
    stretch: np.ndarray,
    place: np.ndarray,
    item: np.ndarray,
    n: int,
    k: int,
) -> Tops:
    """The `k` most frequent values of each stretch of events.

    Of values that are equally frequent the one whose last event is later comes first, and of two
    values of that one event the one that the item names first.

    Args:
        attribute: Whose values.
        stretch: Of each event, ascending, `0 .. n - 1`.
        place: Of each event, ascending within its stretch.
        item: Of each event.
        n: Stretches.
        k: How many.
    """
    each = attribute.each[item]
    event, code = each.rows, each.values.astype(np.int64)
    n_values = max(len(attribute.values), 1)
    pair = stretch[event] * n_values + code
    order = np.argsort(pair, kind="stable")
    ordered = pair[order]
    ends = np.flatnonzero(np.append(np.diff(ordered) != 0, [True][: len(ordered)]))
    count = np.diff(ends, prepend=-1)
    # Entries lie by event and then as the item names them: the last of a pair is the latest.
    last = order[ends]
    named = last - each.offsets[event[last]]
    of_stretch = ordered[ends] // n_values
    rank = np.lexsort((named, -place[event[last]], -count, of_stretch))
    of_stretch = of_stretch[rank]
    nth = np.arange(len(rank)) - np.searchsorted(of_stretch, of_stretch)
    kept = nth < k
    value, counts = np.full((n, k), -1, dtype=np.int64), np.zeros((n, k), dtype=np.int64)
    at = of_stretch[kept], nth[kept]
    value[at] = (ordered[ends] % n_values)[rank][kept]
    counts[at] = count[rank][kept]
    return Tops(value, counts, event, code)
