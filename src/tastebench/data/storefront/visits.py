"""What happens in the shop: who buys what when, and what was shown and clicked.

A purchase is one draw from the weights of `preference`. The draw is made by rejection: a candidate
from the shopper's whole catalogue, accepted if it is on sale and not yet theirs, and within a visit
with the chance that the errand gives it. That is exact and costs no pass over the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tastebench.data.storefront.calendar import DAY, DAYS, END, PERIODS, START, VISIT, period_of
from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.preference import (
    ERRAND,
    EXAMINED,
    NOISE,
    affinity,
    attraction,
    same_scene,
    weight,
)

PAGE = len(EXAMINED)
_DRAWN = 32  # candidates for a page, of which the first ten different ones are shown
_PAGES = 4  # per shopper, on average

# How many purchases a shopper makes: one of these, all equally likely. Mean 24, median 16.
_LENGTHS = (
    *(5, 5, 6, 6, 7, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    *(16, 17, 18, 20, 22, 24, 26, 28, 31, 34, 38, 43, 49, 57, 70, 95),
)

# The hour of a visit, UTC: rarely at night, most often in the evening.
_HOURS = (
    *(0, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 12, 12, 12, 13, 14),
    *(15, 16, 17, 17, 18, 18, 19, 19, 19, 20, 20, 20, 21, 21, 22, 23),
)


@dataclass(frozen=True)
class World:
    """What choices depend on; the arrays that the dataset keeps as its truth.

    Attributes:
        traits: int16 `[items, slots]`.
        taste: int8 `[users, periods, traits]`.
        popularity: int64 `[periods, items]`.
        launch: Milliseconds, int64 `[items]`.
    """

    traits: np.ndarray
    taste: np.ndarray
    popularity: np.ndarray
    launch: np.ndarray

    def affinity(self, users: np.ndarray, period: int | np.ndarray) -> np.ndarray:
        """Affinity of shoppers for every item in a period, int16 `[n, items]`."""
        taste = self.taste[users, period]
        return affinity(np.pad(taste, ((0, 0), (0, 1))), self.traits)

    def weights(self, users: np.ndarray, period: int | np.ndarray) -> np.ndarray:
        """Affinity's weight times popularity, int64 `[n, items]`."""
        weights: np.ndarray = weight(self.affinity(users, period)) * self.popularity[period]
        return weights


@dataclass(frozen=True)
class Purchases:
    """Sorted by user and time: user, item and time in milliseconds, int64 `[n]` each."""

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class Pages:
    """One row a place: page, user, item, time, position from 1, and whether it was clicked."""

    page: np.ndarray
    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    position: np.ndarray
    label: np.ndarray


def times(n_users: int, draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """When purchases are made: user and time, int64, sorted.

    Half of the shoppers are there from the first day, the others join within fifteen months; one
    purchase in three follows the one before within the same visit, a few minutes later.
    """
    length = np.array(_LENGTHS)[draws.below(len(_LENGTHS), "length", n_users)]
    late = draws.below(2, "joins late", n_users)
    joined = late * draws.below(DAYS - 91, "joined", n_users)
    user = np.repeat(np.arange(n_users), length)
    n = len(user)
    day = joined[user] + draws.below(DAYS - joined[user], "day", n)
    hour = np.array(_HOURS)[draws.below(len(_HOURS), "hour", n)]
    visit = START + day * DAY + hour * 3_600_000 + draws.below(3_600_000, "minute", n)
    first = np.ones(n, dtype=bool)
    first[1:] = user[1:] != user[:-1]
    follows = (draws.below(3, "follows", n) == 0) & ~first
    # A purchase that follows happens 1 to 12 minutes after the one before it in the list.
    leader = np.maximum.accumulate(np.where(follows, 0, np.arange(n)))
    delay = np.where(follows, 60_000 + draws.below(660_000, "delay", n), 0)
    waited = np.cumsum(delay)
    time = np.minimum(visit[leader] + waited - waited[leader], END - 1)
    order = np.lexsort((time, user))
    return user[order], time[order]


def purchases(world: World, draws: Draws) -> Purchases:
    """Every purchase of the eighteen months; nobody buys the same item twice."""
    n_users, n_items = len(world.taste), len(world.traits)
    user, time = times(n_users, draws)
    period = period_of(time)
    begins = np.searchsorted(user, np.arange(n_users))
    place = np.arange(len(user)) - begins[user]
    item = np.full(len(user), -1, dtype=np.int64)
    owned = np.zeros((n_users, n_items), dtype=bool)
    visit = np.zeros(len(user), dtype=bool)
    visit[1:] = (user[1:] == user[:-1]) & (time[1:] - time[:-1] <= VISIT)
    for now in range(PERIODS):
        ladder = _Ladder(world.weights(np.arange(n_users), now))
        rows = np.flatnonzero(period == now)
        rows = rows[np.argsort(place[rows], kind="stable")]
        # All shoppers' next purchases at once: the k-th purchases of everybody, in rising k.
        for step in np.split(rows, np.flatnonzero(np.diff(place[rows])) + 1):
            last = np.where(visit[step], item[step - 1], -1)
            item[step] = _choose(world, ladder, user[step], time[step], last, owned, step, draws)
            owned[user[step], item[step]] = True
    return Purchases(user, item, time)


def _choose(
    world: World,
    ladder: _Ladder,
    user: np.ndarray,
    time: np.ndarray,
    last: np.ndarray,
    owned: np.ndarray,
    event: np.ndarray,
    draws: Draws,
) -> np.ndarray:
    """One item for each shopper; `last` is the pick before in the same visit, or -1."""
    chosen = np.full(len(user), -1, dtype=np.int64)
    noise = draws.below(NOISE, f"noise/{event[0]}", len(user)) == 0
    open_ = np.arange(len(user))
    attempt = 0
    while len(open_):
        name = f"choose/{event[0]}/{attempt}"
        bits = draws.bits(name, len(open_))
        who = user[open_]
        any_item = (bits % np.uint64(len(world.launch))).astype(np.int64)
        found = np.where(noise[open_], any_item, ladder.pick(who, bits))
        fits = (world.launch[found] <= time[open_]) & ~owned[who, found]
        errand = (last[open_] >= 0) & ~noise[open_]
        related = same_scene(world.traits, last[open_], found)
        lucky = draws.below(ERRAND, f"{name}/errand", len(open_)) == 0
        fits &= ~errand | related | lucky
        chosen[open_[fits]] = found[fits]
        open_ = open_[~fits]
        attempt += 1
    return chosen


class _Ladder:
    """Cumulated weights of many shoppers end to end: one binary search picks for all.

    A weight is at most 2 ** 29 times a popularity of 1,224, so that the weights of 1,500
    shoppers for 2,000 items stay below 2 ** 62 together.
    """

    def __init__(self, weights: np.ndarray) -> None:
        self._n_items = weights.shape[1]
        self._steps = np.cumsum(weights.ravel())
        self._base = np.concatenate(([0], self._steps[self._n_items - 1 :: self._n_items]))

    def pick(self, row: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """An item for each row, with a chance in proportion to its weight; int64, like `bits`."""
        total = (self._base[row + 1] - self._base[row]).astype(np.uint64)
        at = self._base[row] + (bits % total).astype(np.int64)
        found: np.ndarray = np.searchsorted(self._steps, at, side="right") - row * self._n_items
        return found


def pages(world: World, bought: Purchases, draws: Draws) -> Pages:
    """Pages of ten items, shown minutes before a purchase, and which of them were clicked.

    A candidate comes from the shopper's own weights or from popularity alone, at the toss of a
    coin, and the ten are shuffled: a better place does not mean a better item. A click needs two
    independent things: the place is looked at, and the item tempts.
    """
    n = _PAGES * len(world.taste)
    event = draws.below(len(bought.user), "page/event", n)
    user = bought.user[event]
    time = np.maximum(bought.time[event] - 60_000 - draws.below(540_000, "page/time", n), START)
    order = np.lexsort((user, time))
    user, time = user[order], time[order]
    period = period_of(time)
    everybody = np.arange(len(world.taste))
    shown, pulls = [], []
    for now in range(PERIODS):
        here = np.flatnonzero(period == now)
        points = world.affinity(everybody, now)
        ladder = _Ladder(weight(points) * world.popularity[now])
        bits = draws.bits(f"page/items/{now}", len(here), _DRAWN)
        who = user[here, None]
        own = draws.below(2, f"page/own/{now}", *bits.shape) == 0
        popular = _Ladder(world.popularity[now : now + 1]).pick(np.zeros_like(who), bits)
        mixed = np.where(own, ladder.pick(who, bits), popular)
        shown.append(_first_different(mixed, world.launch[mixed] <= time[here, None]))
        pulls.append(attraction(points[who, shown[-1]]))
    # Among different items, those drawn first tend to be the heavier ones: shuffle.
    shuffled = np.argsort(draws.bits("page/place", n, PAGE), axis=1, kind="stable")
    items = np.take_along_axis(np.concatenate(shown), shuffled, axis=1)
    pull = np.take_along_axis(np.concatenate(pulls), shuffled, axis=1)
    looked = draws.below(256, "page/looked", n, PAGE) < EXAMINED
    tempted = draws.below(256, "page/tempted", n, PAGE) < pull
    full = (items >= 0).all(axis=1)
    return Pages(
        page=np.repeat(np.arange(int(full.sum())), PAGE),
        user=np.repeat(user[full], PAGE),
        item=items[full].ravel(),
        time=np.repeat(time[full], PAGE),
        position=np.tile(np.arange(1, PAGE + 1), int(full.sum())),
        label=(looked & tempted)[full].ravel(),
    )


def _first_different(candidates: np.ndarray, fits: np.ndarray) -> np.ndarray:
    """The first ten different candidates that fit, in order, `[n, 10]`; -1 where too few do."""
    equal = candidates[:, :, None] == candidates[:, None, :]
    seen = (equal & fits[:, None, :] & np.tri(candidates.shape[1], k=-1, dtype=bool)).any(axis=2)
    kept = fits & ~seen
    place = np.cumsum(kept, axis=1) - 1
    out = np.full((len(candidates), PAGE), -1, dtype=np.int64)
    row, column = np.nonzero(kept & (place < PAGE))
    out[row, place[row, column]] = candidates[row, column]
    return out
