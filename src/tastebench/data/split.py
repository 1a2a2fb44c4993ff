"""Splits: which interactions are trained on, validated on and tested on, and what that leaks.

A split is one int8 per event of `Dataset.events()`, in their order: 0 train, 1 valid, 2 test, 3
what a valid or test user did before and nobody is trained on or asked about, -1 in no part. Where
nobody says otherwise it is by time if there are times, leave-last-out if there is only an order,
and the dataset's own where it brings one.

Here a split is cut on index arrays in memory. `tastebench.data.split_frames` cuts those that need
nothing but the interactions' own columns on a frame that may not fit.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from tastebench.data.card import SplitKind, SplitSpec
from tastebench.data.dataset import Dataset, Events, positions
from tastebench.data.schema import PARTS
from tastebench.errors import DataError, UsageError

TRAIN, VALID, TEST, PAST, DROPPED = 0, 1, 2, 3, -1


def split(dataset: Dataset, spec: SplitSpec) -> np.ndarray:
    """The part of each event, int8 `[n_events]`.

    - `last_out`: by user, the last event is test and the one before valid, so that one event alone
      is test and two are valid and test.
    - `time`: train before `valid_from`, valid before `test_from`, test from there on. Without
      cut-offs they are the times at which `ratios` of all events have passed; events at one time
      are never cut apart.
    - `ratio`: a user's events in order; valid and test get `floor(n * ratio)` each, train the rest.
    - `random`: distinct (user, item) pairs in random order, by user or over all, in the same
      shares; events of one pair stay together, so that no test pair is in train.
    - `user`: users in random order, by shares or numbers of them; all events of a train user are
      train, of a valid or test user the last one is, and those before it are `PAST`.
    - `given`: by the split table. A pair listed more than once gives its parts to its events in
      order; pairs not listed are dropped.

    Raises:
        UsageError: The dataset lacks what the split needs, or train or test would be empty.
    """
    events = dataset.events()
    if not len(events.user):
        raise DataError("there are no interactions to split", where=dataset.name)
    parts = cut(dataset, events, spec)
    if spec.cold_items is not None:
        parts[_held_out(events.item, parts, spec)] = DROPPED
    for part in (TRAIN, TEST):
        if not (parts == part).any():
            raise UsageError(
                f"the split {spec.kind} leaves {PARTS[part]} empty on {dataset.name}",
                fix="choose another split or other cut-offs, or prepare the data with longer users",
            )
    return parts


def cut(dataset: Dataset, events: Events, spec: SplitSpec) -> np.ndarray:
    """As `split`, of any rows of a dataset's users, and whatever may be left of a part."""
    match spec.kind:
        case "last_out":
            parts = _last_out(events)
        case "time":
            parts = _by_time(events, spec, dataset.name)
        case "ratio":
            parts = _shares(events.user, spec.ratios)
        case "random":
            parts = _random(events, spec, dataset.n_items)
        case "user":
            parts = user_parts(events.user, spec)
            parts[(parts > TRAIN) & (_later(events.user) > 0)] = PAST
        case "given":
            parts = _given(events, dataset)
    return known_alone(parts, events) if spec.drop_cold else parts


def known_alone(parts: np.ndarray, events: Events) -> np.ndarray:
    """The parts without what has a user or an item that is not in train, int8 `[n]`."""
    train = parts == TRAIN
    known = np.isin(events.user, events.user[train]) & np.isin(events.item, events.item[train])
    return np.where(known, parts, DROPPED).astype(np.int8)


def _held_out(item: np.ndarray, parts: np.ndarray, spec: SplitSpec) -> np.ndarray:
    """The events outside test of the items that `cold_items` draws among those in test, a mask."""
    assert spec.cold_items is not None
    asked = np.unique(item[parts == TEST])
    n = max(1, whole(len(asked), spec.cold_items))
    cold = np.random.default_rng(spec.seed).permutation(asked)[:n]
    mask: np.ndarray = np.isin(item, cold) & (parts != TEST)
    return mask


def default_split(dataset: Dataset, task: str) -> SplitSpec:
    """The split where nobody says otherwise.

    The card's for this task (what the literature uses); else the dataset's own split table; else by
    time if there are times; else leave-last-out if there is an order; random pairs of all users
    if the source has none (the `row` of every interaction is the same).
    """
    if task in dataset.card.splits:
        return dataset.card.splits[task]
    if dataset.tables.split is not None:
        return SplitSpec(kind="given")
    events = dataset.events()
    if events.time is not None and len(np.unique(events.time)) > 1:
        return SplitSpec(kind="time")
    frame = dataset.tables.interactions
    if frame is not None and frame["row"].n_unique() > 1:
        return SplitSpec(kind="last_out")
    # Over all pairs: a tenth of each user's own would be nothing where users have fewer than ten.
    return SplitSpec(kind="random", by="all")


def cutoffs(time: np.ndarray, ratios: tuple[float, float, float]) -> tuple[int, int]:
    """The first milliseconds of valid and of test, so that `ratios` of the events lie between.

    >>> cutoffs(np.array([10, 20, 30, 40, 50, 60, 70, 80, 90, 100]), (0.8, 0.1, 0.1))
    (90, 100)
    """
    n = len(time)
    test, valid = whole(n, ratios[2]), whole(n, ratios[1])
    # One more entry, after everything, for a part that gets nothing.
    ordered = np.append(np.sort(time), time.max() + 1)
    return int(ordered[n - test - valid]), int(ordered[n - test])


def _last_out(events: Events) -> np.ndarray:
    later = _later(events.user)
    return np.where(later == 0, TEST, np.where(later == 1, VALID, TRAIN)).astype(np.int8)


def _by_time(events: Events, spec: SplitSpec, name: str) -> np.ndarray:
    if events.time is None:
        raise UsageError(
            f"a split by time needs times, and {name} has none",
            fix="choose last_out, ratio or random",
        )
    if spec.valid_from is None or spec.test_from is None:
        valid_from, test_from = cutoffs(events.time, spec.ratios)
    else:
        valid_from, test_from = spec.valid_from, spec.test_from
    parts = (events.time >= valid_from).astype(np.int8) + (events.time >= test_from)
    return parts.astype(np.int8)


def _random(events: Events, spec: SplitSpec, n_items: int) -> np.ndarray:
    pairs, pair = np.unique(events.user * n_items + events.item, return_inverse=True)
    key = np.random.default_rng(spec.seed).random(len(pairs))
    group = pairs // n_items if spec.by == "user" else np.zeros(len(pairs), dtype=np.int64)
    order = np.lexsort((key, group))
    parts = np.empty(len(pairs), dtype=np.int8)
    parts[order] = _shares(group[order], spec.ratios)
    of_events: np.ndarray = parts[pair]
    return of_events


def user_parts(user: np.ndarray, spec: SplitSpec) -> np.ndarray:
    """The part of each row's user under the split `user`, int8 `[n]`.

    Where there are fewer users than `spec.users` names, all three parts keep their shares.
    """
    users, of_row = np.unique(user, return_inverse=True)
    n = len(users)
    wanted = spec.users or tuple(ratio * n for ratio in spec.ratios)
    fits = min(1.0, n / sum(wanted))
    valid, test = (whole(count, fits) for count in wanted[1:])
    train = n - valid - test if fits < 1 or spec.users is None else wanted[0]
    order = np.random.default_rng(spec.seed).permutation(n)
    parts = np.full(n, DROPPED, dtype=np.int8)
    parts[order[:test]] = TEST
    parts[order[test : test + valid]] = VALID
    parts[order[test + valid : test + valid + int(train)]] = TRAIN
    of_rows: np.ndarray = parts[of_row]
    return of_rows


def _given(events: Events, dataset: Dataset) -> np.ndarray:
    table = dataset.tables.split
    if table is None:
        raise UsageError(
            f"{dataset.name} brings no split of its own", fix="choose time, last_out or random"
        )
    part = table["part"].replace_strict(PARTS, [TRAIN, VALID, TEST], return_dtype=pl.Int8)
    user = positions(table["user_id"], dataset.everyone)
    item = positions(table["item_id"], dataset.item_ids)
    known = (user >= 0) & (item >= 0)
    listed_pair = (user * dataset.n_items + item)[known]
    listed_part = part.to_numpy()[known]
    order = np.lexsort((listed_part, listed_pair))
    listed_pair, listed_part = listed_pair[order], listed_part[order]

    pair = events.user * dataset.n_items + events.item
    by_pair = np.argsort(pair, kind="stable")  # events of a pair stay in order of time
    occurrence = np.empty(len(pair), dtype=np.int64)
    occurrence[by_pair] = _earlier(pair[by_pair])
    first = np.searchsorted(listed_pair, pair, side="left")
    last = np.searchsorted(listed_pair, pair, side="right") - 1
    parts = np.full(len(pair), DROPPED, dtype=np.int8)
    found = last >= first
    parts[found] = listed_part[np.minimum(first + occurrence, last)[found]]
    return parts


def _shares(group: np.ndarray, ratios: tuple[float, float, float]) -> np.ndarray:
    """Train, then valid, then test along each run of equal `group`, int8."""
    _, size = np.unique(group, return_counts=True)
    size = np.repeat(size, size)
    later = _later(group)
    test, valid = whole(size, ratios[2]), whole(size, ratios[1])
    parts = np.where(later < test, TEST, np.where(later < test + valid, VALID, TRAIN))
    return parts.astype(np.int8)


ROUNDING = 1e-9
"""Added before a share is rounded down: 0.29 * 100 is 29, whatever the binary says."""


def whole(n: Any, ratio: float) -> Any:
    """`floor(n * ratio)` of the decimal that is meant."""
    floor = np.floor(np.asarray(n) * ratio + ROUNDING).astype(np.int64)
    return floor if floor.ndim else int(floor)


def _earlier(group: np.ndarray) -> np.ndarray:
    """How many entries of the same group come before each, for groups that lie together."""
    starts = np.flatnonzero(np.diff(group, prepend=group[:1] - 1))
    return np.arange(len(group)) - np.repeat(starts, np.diff(starts, append=len(group)))


def _later(group: np.ndarray) -> np.ndarray:
    """How many entries of the same group come after each, for groups that lie together."""
    return _earlier(group[::-1])[::-1]


LEAKS: dict[SplitKind, str] = {
    "last_out": "Leave-last-out: models train on what other users did after a user's test event.",
    "time": "By time: no training event is later than a test event; new users and items are cold.",
    "ratio": "By share of each user: models train on what other users did after a test event.",
    "random": "Random pairs: models train on a user's later events and are tested on earlier ones.",
    "user": "Whole users: nothing of a test user is trained on; times of others may be later.",
    "given": "The dataset's own split: the shares below say what it leaks.",
}
"""One sentence on what each kind of split leaks."""


@dataclass(frozen=True)
class Leakage:
    """What training could know of the test part. Shares are in [0, 1].

    Attributes:
        sentence: What this kind of split leaks, in one line.
        counts: Events per part, what valid and test users did before (`past`), and dropped.
        future: Train events later than the earliest test event, of the train events; None without
            times.
        cold_users, cold_items: Test users and items that no train event has, of the distinct ones.
        repeated: Test events whose (user, item) pair is also in train.
        tied: Test events at the very time of a train or valid event of their user, whose order
            therefore rests on the raw file; None without times.
    """

    sentence: str
    counts: dict[str, int]
    future: float | None
    cold_users: float
    cold_items: float
    repeated: float
    tied: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def leakage(dataset: Dataset, parts: np.ndarray, spec: SplitSpec | None = None) -> Leakage:
    """Measures what a split lets training know of the test part.

    Args:
        dataset: What was split.
        parts: From `split`, int8 `[n_events]`.
        spec: How it was split, for the sentence; None for a split from elsewhere.
    """
    events = dataset.events()
    train, test = parts == TRAIN, parts == TEST
    pair = events.user * dataset.n_items + events.item
    future = tied = None
    if events.time is not None and test.any():
        future = _share(events.time[train] > events.time[test].min())
        moment = _codes(events.user, events.time)
        known = np.isin(parts, (TRAIN, VALID))
        tied = _share(np.isin(moment[test], moment[known]))
    return Leakage(
        sentence=LEAKS[spec.kind if spec else "given"],
        counts={
            **{name: int((parts == part).sum()) for part, name in enumerate(PARTS)},
            **({"past": int((parts == PAST).sum())} if (parts == PAST).any() else {}),
            "dropped": int((parts == DROPPED).sum()),
        },
        future=future,
        cold_users=_cold(events.user, train, test),
        cold_items=_cold(events.item, train, test),
        repeated=_share(np.isin(pair[test], pair[train])),
        tied=tied,
    )


def _codes(user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """One number per distinct (user, time), for events sorted by user and time."""
    return np.cumsum((np.diff(user, prepend=-1) != 0) | (np.diff(time, prepend=0) != 0))


def _cold(ids: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    return _share(~np.isin(np.unique(ids[test]), ids[train]))


def _share(mask: np.ndarray) -> float:
    return float(mask.mean()) if len(mask) else 0.0
