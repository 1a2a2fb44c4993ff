"""Whom questions are about: users in three groups, none of whom is in two, and what they did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from tastebench.data.dataset import Dataset
from tastebench.data.labelled import in_order
from tastebench.data.questions.spec import PARTS, QuestionSpec
from tastebench.errors import DataError
from tastebench.ragged import Ragged

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True, eq=False)
class People:
    """Users with a history and something after it, in the order of the users index.

    Attributes:
        user: Row in `Dataset.user_ids`, int64 `[n]`, ascending.
        history: x_1 .. x_n of each, int32 items.
        next: x_(n+1) of each, int32 `[n]`.
        part: 0 train, 1 valid, 2 test, int8 `[n]`.
        asked: Long enough to be asked about, bool `[n]`.
        cut: Whether earlier events were left out, bool `[n]`.
        left_out: Users by reason.
    """

    user: np.ndarray
    history: Ragged
    next: np.ndarray
    part: np.ndarray
    asked: np.ndarray
    cut: np.ndarray
    left_out: dict[str, int]

    @property
    def lengths(self) -> np.ndarray:
        """Events of each history, int64."""
        return self.history.lengths

    def at(self, who: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The items at places 0 .. n - 1 of some people's histories."""
        items: np.ndarray = self.history.values[self.history.offsets[who] + place]
        return items


def people_of(dataset: Dataset, spec: QuestionSpec) -> People:
    """The users of a dataset as `spec` takes them.

    Events are in the order of their times, and of the raw rows where these are equal. Users of one
    event have no history; users that are too long are left out or cut; users that are too short
    keep their history, for models to learn from, and are not asked about.

    Raises:
        DataError: Nothing says what came first.
    """
    if not in_order(dataset):
        raise DataError(
            "nothing says in which order users took their items, so nothing can be asked of it",
            where=dataset.name,
            fix="questions need times, or interactions in their order",
        )
    events = dataset.events()
    sequences = Ragged.from_rows(events.user, events.item, dataset.n_users)
    length = sequences.lengths - 1
    longest = np.iinfo(np.int64).max if spec.max_length is None else spec.max_length
    too_long = length > longest
    kept = (length >= 1) & ~(too_long & (spec.too_long == "drop"))
    user = np.flatnonzero(kept)
    ends, n = sequences.offsets[1:][user] - 1, np.minimum(length[user], longest)
    asked = n >= spec.min_length
    return People(
        user=user,
        history=Ragged.windows(sequences.values, ends, n),
        next=sequences.values[ends],
        part=hashed_parts(dataset.user_ids[user], spec.ratios, spec.seed),
        asked=asked,
        cut=too_long[user],
        left_out={
            "users_of_one_event": int((length < 1).sum()),
            "users_too_short": int((~asked).sum()),
            "users_too_long": int(too_long.sum()) if spec.too_long == "drop" else 0,
            "users_cut": int(too_long[user].sum()),
        },
    )


def rows_of_test(dataset: Dataset, spec: QuestionSpec) -> np.ndarray:
    """All that users of test did, rows of the interactions table, int64, ascending."""
    people = people_of(dataset, spec)
    events = dataset.events()
    of_test = np.isin(events.user, people.user[people.part == PARTS.index("test")])
    rows: np.ndarray = np.unique(events.row[of_test]).astype(np.int64)
    return rows


def hashed_parts(ids: pl.Series, ratios: tuple[float, float, float], seed: int) -> np.ndarray:
    """The part of each user by a hash of the id: whoever else is there changes nobody's part.

    Args:
        ids: Of users.
        ratios: Of train, valid and test.
        seed: Another one is another division.

    Returns:
        0 train, 1 valid, 2 test, int8 `[n]`.
    """
    share = (hashed(ids, seed) >> np.uint64(11)).astype(np.float64) / 2.0**53
    bounds = np.cumsum(ratios[: len(PARTS) - 1])
    return np.searchsorted(bounds, share, side="right").astype(np.int8)


def hashed(ids: pl.Series, seed: int) -> np.ndarray:
    """A number an id, uint64 `[n]`: its UTF-8 bytes and the seed, mixed as splitmix64 does."""
    words = np.array(ids.cast(pl.Binary).to_list() or [b""], dtype=np.bytes_)[: len(ids)]
    table = words.view(np.uint8).reshape(len(ids), words.itemsize)
    lengths = ids.str.len_bytes().to_numpy().astype(np.uint64)
    state = _mixed(lengths + np.array([seed % 2**32], dtype=np.uint64) * _STEP)
    for column in range(table.shape[1]):
        state = np.where(
            column < lengths, _mixed(state ^ table[:, column].astype(np.uint64)), state
        )
    return state


def _mixed(state: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64; products wrap around 2**64."""
    state = state + _STEP
    state = (state ^ (state >> np.uint64(30))) * _MIX[0]
    state = (state ^ (state >> np.uint64(27))) * _MIX[1]
    mixed: np.ndarray = state ^ (state >> np.uint64(31))
    return mixed
