"""Draws of RecBench's pair-wise split: who is tested, who is trained on, and on which rows.

All of it hangs on one explicit generator, with a stream of its own for each thing that is drawn, so
that another number of negatives leaves the users as they are. Users are in one part only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tastebench.data.click_pool import Pool, Rows, among
from tastebench.data.split import DROPPED, TEST, TRAIN, VALID
from tastebench.errors import DataError

if TYPE_CHECKING:
    from tastebench.data.click_rows import ClickRows


class Target(NamedTuple):
    """How many rows a part was to have, and was given.

    Attributes:
        asked: The spec's number.
        aimed: What was aimed at: less where all users together have too few rows for both parts.
        reached: Whether there were users enough for all that was asked.
    """

    asked: int
    aimed: int
    reached: bool


class Drawn(NamedTuple):
    """The split.

    Attributes:
        rows: Those that were drawn, in order of user and item.
        part: Part of each of the pool's users, int8 `[n_users]`; -1 for who is in none.
        targets: Rows asked for and reached, of `test` and `finetune`.
    """

    rows: Rows
    part: np.ndarray
    targets: dict[str, Target]


def draw(pool: Pool, spec: ClickRows, rng: np.random.Generator, where: str) -> Drawn:
    """Users into parts, and of each at most `cap // 2` rows of either label.

    Args:
        pool: What there is.
        spec: Targets, cap and share of validation.
        rng: All randomness; it is split into streams, not drawn from.
        where: The dataset, for messages.

    Raises:
        DataError: There is a finetune part, and no user of it is for validation.
    """
    order, keys, items, held_out = rng.spawn(4)
    part, targets = _parts(_sizes(pool, spec), spec, order, held_out, where)
    chosen = part != DROPPED
    rows = pool.rows.of(chosen[pool.rows.user])
    rows = rows.of(_up_to(rows, spec.per_label, keys))
    amount = np.where(chosen, np.minimum(pool.to_draw, spec.per_label), 0)
    drawn = _negatives(pool, amount, items, distinct=spec.behaviour == "fixed")
    rows = Rows(*(np.concatenate(both) for both in zip(rows, drawn, strict=True)))
    # By item, not by label: nothing may follow from the order of a user's rows.
    return Drawn(rows.of(np.lexsort((rows.row, rows.item, rows.user))), part, targets)


def _sizes(pool: Pool, spec: ClickRows) -> np.ndarray:
    """Rows that each user will have, int64 `[n_users]`."""
    n, rows = len(pool.users), pool.rows
    of_label = [np.bincount(rows.user[rows.label == label], minlength=n) for label in (0, 1)]
    of_label[0] += pool.to_draw
    return np.minimum(of_label[0], spec.per_label) + np.minimum(of_label[1], spec.per_label)


def _parts(
    sizes: np.ndarray,
    spec: ClickRows,
    order: np.random.Generator,
    held_out: np.random.Generator,
    where: str,
) -> tuple[np.ndarray, dict[str, Target]]:
    """Users in random order: test until its target is reached, then finetune.

    A part stops with the user that reaches its target, so that it may have some rows more.
    """
    shuffled = order.permutation(len(sizes))
    total = np.append(0, np.cumsum(sizes[shuffled]))
    aims = _aims(int(total[-1]), spec)
    test = _users_for(total, aims[0], 0)
    end = _users_for(total, aims[1], test)
    finetune = shuffled[test:end]
    valid = _floor(len(finetune) * spec.valid_share)
    if spec.finetune_rows and not valid:
        raise DataError(
            f"no user is left for validation: {spec.valid_share:g} of {len(finetune)} users",
            where=where,
            fix="give more users, or a larger valid_share",
        )
    part = np.full(len(sizes), DROPPED, dtype=np.int8)
    part[shuffled[:test]] = TEST
    part[finetune] = TRAIN
    part[held_out.permutation(finetune)[:valid]] = VALID
    return part, {
        "test": Target(spec.test_rows, aims[0], int(total[test]) >= spec.test_rows),
        "finetune": Target(
            spec.finetune_rows, aims[1], int(total[end] - total[test]) >= spec.finetune_rows
        ),
    }


def _aims(rows: int, spec: ClickRows) -> tuple[int, int]:
    """Rows to aim at; where there are too few for both parts, `fixed` shares them alike.

    A test part that is asked for then has a row at least. `reference` gives test what it asks for
    and finetune the rest, which may be nothing.
    """
    asked = spec.test_rows + spec.finetune_rows
    if rows >= asked or spec.behaviour == "reference":
        return spec.test_rows, spec.finetune_rows
    test = max(_floor(rows * spec.test_rows / asked), min(spec.test_rows, 1))
    return test, min(spec.finetune_rows, rows - test)


def _users_for(total: np.ndarray, target: int, begin: int) -> int:
    """Where the users end who reach a target from `begin` on; all if it is out of reach.

    `total` has the rows of the first 0, 1, 2, ... users.
    """
    if not target:
        return begin
    return min(int(np.searchsorted(total, total[begin] + target)), len(total) - 1)


def _up_to(rows: Rows, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most `most` rows of each user and label, without replacement; bool `[n]`."""
    order = np.lexsort((rng.random(len(rows.user)), rows.label, rows.user))
    group = (rows.user * 2 + rows.label)[order]
    place = np.arange(len(group)) - np.searchsorted(group, group)
    kept = np.empty(len(group), dtype=bool)
    kept[order] = place < most
    return kept


def _negatives(pool: Pool, amount: np.ndarray, rng: np.random.Generator, *, distinct: bool) -> Rows:
    """Items that a user never took, uniformly, `amount` of each user.

    A draw is repeated where the user took the item or, if `distinct`, has it already: the same
    distribution as drawing one after another without replacement.
    """
    user = np.repeat(np.arange(len(amount)), amount)
    pair = np.empty(len(user), dtype=np.int64)
    todo = np.arange(len(user))
    while len(todo):
        item = pool.catalogue[rng.integers(len(pool.catalogue), size=len(todo))]
        pair[todo] = user[todo] * pool.n_items + item
        bad = among(pair[todo], pool.taken)
        if distinct:
            bad |= _again(pair, todo)[todo]
        todo = todo[bad]
        pair[todo] = -1 - todo  # an empty slot equals nothing
    none = np.full(len(user), -1, dtype=np.int64)
    return Rows(user, pair - user * pool.n_items, np.zeros(len(user), dtype=np.int8), none)


def _again(pair: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """Whether each pair has another before it: kept ones first, then the fresh ones by place."""
    is_fresh = np.zeros(len(pair), dtype=bool)
    is_fresh[fresh] = True
    order = np.lexsort((is_fresh, pair))
    again = np.zeros(len(pair), dtype=bool)
    again[order[1:]] = pair[order[1:]] == pair[order[:-1]]
    return again


def _floor(value: float) -> int:
    """The whole part of the decimal meant: 0.29 * 100 is 29, whatever the binary says."""
    return int(np.floor(value + 1e-9))
