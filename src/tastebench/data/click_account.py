"""The account of how labelled rows were made: every choice, what is there, what was dropped.

Sizes are counted in the finished tables, by RecBench's rule: the items of a part are its candidates
and the latest 20 items of the histories before them; in the list-wise task, the latest 20 items of
each sequence.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tastebench.data.schema import PARTS, Tables
from tastebench.data.split import LEAKS, TEST, TRAIN, VALID, Leakage, cut

if TYPE_CHECKING:
    from tastebench.data.click_draw import Drawn
    from tastebench.data.click_pool import Pool
    from tastebench.data.click_rows import ClickRows
    from tastebench.data.dataset import Dataset

HISTORY = 20
"""Latest items that RecBench shows of a history, and counts."""

_PARTS = {
    "train": ("train",),
    "valid": ("valid",),
    "test": ("test",),
    "finetune": ("train", "valid"),
}


def account(
    tables: Tables, made: Tables, found: Pool, drawn: Drawn, spec: ClickRows
) -> dict[str, Any]:
    """What goes into the manifest.

    Args:
        tables: What the rows were made of.
        made: The finished tables.
        found: The pool they were drawn from.
        drawn: The draw.
        spec: The rules.
    """
    assert made.interactions is not None
    told: dict[str, Any] = {
        "spec": spec.model_dump(),
        "base": _base(tables),
        "items with a record": len(found.catalogue),
        "pool": {
            "users": len(found.users),
            "rows": len(found.rows.user),
            "negatives to draw": int(found.to_draw.sum()),
        },
        "dropped": {reason: n for reason, n in found.dropped.items() if n},
        "targets": {name: target._asdict() for name, target in drawn.targets.items()},
        "parts": {part: count_rows(made, part) for part in _PARTS},
        "repeats": _repeats(made),
        "sequences": {
            "users": made.interactions["user_id"].n_unique(),
            "items": made.interactions["item_id"].n_unique(),
            "events": len(made.interactions),
        },
    }
    return told | {"summary": list(_summary(told))}


def count_rows(tables: Tables, part: str) -> dict[str, int]:
    """Rows, positives, users and items of `train`, `valid`, `test` or `finetune` (train and valid).

    Args:
        tables: With impressions that have a column `part`, and histories.
        part: One of the four.
    """
    shown, past = tables.impressions, tables.histories
    assert shown is not None and past is not None
    rows = shown.filter(pl.col("part").is_in(_PARTS[part]))
    seen = past.join(rows.select("user_id"), on="user_id", how="semi")
    seen = seen.select(pl.col("item_ids").list.tail(HISTORY).explode())
    return {
        "rows": len(rows),
        "positives": int(rows["label"].sum()),
        "users": rows["user_id"].n_unique(),
        "items": pl.concat([rows["item_id"], seen.to_series().rename("item_id")]).n_unique(),
    }


def count_sequences(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Sequences and items of `test` and `finetune` in the list-wise split of the dataset's card."""
    events = dataset.events()
    parts = cut(dataset, events, dataset.card.splits["seqrec"])
    ends = np.flatnonzero(np.append(np.diff(events.user) != 0, True))
    # Who is in a part has their last event in it.
    of_user = np.full(dataset.n_users, -1, dtype=np.int8)
    of_user[events.user[ends]] = parts[ends]
    end = np.zeros(dataset.n_users, dtype=np.int64)
    end[events.user[ends]] = ends
    latest = end[events.user] - np.arange(len(events.user)) < HISTORY
    counts = {}
    for name, wanted in (("test", (TEST,)), ("finetune", (TRAIN, VALID))):
        mine = np.isin(of_user, wanted)
        items = np.unique(events.item[latest & mine[events.user]])
        counts[name] = {"sequences": int(mine.sum()), "items": len(items)}
    return counts


def rows_leakage(shown: pl.DataFrame) -> Leakage:
    """What training could know of the test part of impressions that bring their parts.

    Cold are test users and candidates that are in no train row; a pair of both is repeated.
    """
    train, test = (shown.filter(pl.col("part") == part) for part in ("train", "test"))

    def unseen(columns: list[str]) -> float:
        asked = test.select(columns).unique()
        return len(asked.join(train, on=columns, how="anti")) / max(len(asked), 1)

    pair = ["user_id", "item_id"]
    repeated = len(test.join(train, on=pair, how="semi")) / max(len(test), 1)
    future = None
    if not shown["time"].null_count() and len(test):
        later = train.filter(pl.col("time") > test["time"].min())
        future = len(later) / max(len(train), 1)
    parts = dict(shown["part"].value_counts().iter_rows())
    return Leakage(
        sentence=LEAKS["given"],
        counts={part: int(parts.get(part, 0)) for part in PARTS} | {"dropped": 0},
        future=future,
        cold_users=unseen(["user_id"]),
        cold_items=unseen(["item_id"]),
        repeated=repeated,
        tied=None,
    )


def _base(tables: Tables) -> dict[str, int]:
    """Sizes of what the rows were made of."""
    frame, shown = tables.interactions, tables.impressions
    counts = {"items": len(tables.items)}
    if frame is not None:
        counts |= {"users": frame["user_id"].n_unique(), "interactions": len(frame)}
    return counts if shown is None else counts | {"impressions": len(shown)}


def _repeats(made: Tables) -> dict[str, int]:
    """Rows whose item is in the history too: taken again, or shown again to who had taken it."""
    assert made.impressions is not None and made.histories is not None
    past = made.histories.explode("item_ids").rename({"item_ids": "item_id"})
    again = made.impressions.join(past, on=["user_id", "item_id"], how="semi")
    positives, users = int(again["label"].sum()), again["user_id"].n_unique()
    return {"rows": len(again), "positives": positives, "users": users}


def _summary(told: dict[str, Any]) -> Iterator[str]:
    """The account in lines for a person."""
    for part in ("train", "valid", "test"):
        n = told["parts"][part]
        yield (
            f"{part}: {n['rows']:,} rows of {n['users']:,} users, {n['positives']:,} positive, "
            f"{n['items']:,} items"
        )
    for part, target in told["targets"].items():
        if not target["reached"]:
            got = told["parts"][part]["rows"]
            yield f"{part}: {target['asked']:,} rows were wanted, there are users for {got:,}"
    for reason, n in told["dropped"].items():
        yield f"dropped, {reason}: {n:,}"
    again = told["repeats"]
    if again["rows"]:
        yield f"{again['rows']:,} rows of {again['users']:,} users have an item of the history"
