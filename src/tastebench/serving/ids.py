"""Ids as a user knows them to rows as a recommender does, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import polars as pl

from tastebench.errors import UsageError, counted, did_you_mean
from tastebench.ragged import Ragged

Unknown = Literal["error", "skip"]

_SHOWN = 5


def as_rows(
    lists: Iterable[Sequence[Any]], known: pl.Series, unknown: Unknown, what: str
) -> tuple[Ragged, np.ndarray]:
    """Lists of ids as lists of rows, and how many ids of each list were left out.

    Args:
        lists: Ids as strings or whole numbers, a list a query.
        known: Ids in the order of their rows.
        unknown: `error`, or `skip` to leave out ids that nobody knows.
        what: What the lists are, for messages.

    Raises:
        UsageError: These are no lists of ids, or an id is unknown and may not be.
    """
    if unknown not in ("error", "skip"):
        raise UsageError(f"unknown={unknown!r} means nothing", fix="unknown='error' or 'skip'")
    rows = _checked(lists, what)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    ids = pl.Series("id", [str(one) for one in chain.from_iterable(rows)], dtype=pl.String)
    found = _places(ids, known)
    there = found >= 0
    if unknown == "error" and not there.all():
        raise _unknown(ids.filter(pl.Series(~there)), known, what)
    of = np.repeat(np.arange(len(rows)), lengths)
    left = np.bincount(of[~there], minlength=len(rows))
    values = found[there].astype(np.int32)
    return Ragged.from_lengths(values, lengths - left), left


def user_rows(users: Sequence[Any], known: pl.Series, n: int) -> np.ndarray:
    """Users as rows of the users index, int64 `[n]`.

    Raises:
        UsageError: Not one a list, or an unknown user.
    """
    if isinstance(users, str) or len(users) != n:
        raise UsageError(
            f"users names {counted(len(users), 'id')}, and there are {n:,} lists",
            fix="give one user id a list, or leave users out",
        )
    ids = pl.Series("id", [str(one) for one in users], dtype=pl.String)
    found = _places(ids, known)
    if (found < 0).any():
        raise _unknown(ids.filter(pl.Series(found < 0)), known, "users")
    return found


def distinct(lists: Ragged, n_items: int) -> Ragged:
    """Each list without repeats, ascending."""
    pairs = np.unique(lists.rows.astype(np.int64) * n_items + lists.values)
    row, item = np.divmod(pairs, n_items)
    return Ragged.from_lengths(item.astype(np.int32), np.bincount(row, minlength=len(lists)))


def _checked(lists: Iterable[Sequence[Any]], what: str) -> list[Sequence[Any]]:
    fix = f"{what} is a list of lists of item ids, e.g. [['12', '7'], ['9']]"
    if isinstance(lists, (str, bytes)):
        raise UsageError(f"{what} is one text", fix=fix)
    rows = list(lists)
    for place, row in enumerate(rows):
        if isinstance(row, (str, bytes)) or not hasattr(row, "__len__"):
            raise UsageError(f"{what}[{place}] is {row!r}, which is no list of ids", fix=fix)
    if not rows:
        raise UsageError(f"{what} is empty", fix=fix)
    return rows


def _places(ids: pl.Series, known: pl.Series) -> np.ndarray:
    """The row of each id, int64; -1 where there is none."""
    table = pl.DataFrame({"id": known.cast(pl.String)}).with_row_index("row")
    joined = ids.to_frame("id").join(table, on="id", how="left", maintain_order="left")
    places: np.ndarray = joined["row"].cast(pl.Int64).fill_null(-1).to_numpy(writable=True)
    return places


def _unknown(ids: pl.Series, known: pl.Series, what: str) -> UsageError:
    names = ids.unique(maintain_order=True)
    shown = ", ".join(repr(name) for name in names[:_SHOWN].to_list())
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    hint = did_you_mean(str(names[0]), known.cast(pl.String).to_list())
    fix = f"check the ids ({hint})"
    return UsageError(
        f"{counted(len(names), 'id')} of {what} nobody knows: {shown}{more}",
        fix=fix if what == "users" else f"{fix}, or unknown='skip' to leave them out",
    )
