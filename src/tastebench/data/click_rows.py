"""RecBench's pair-wise rows: from a dataset's raw tables to labelled rows in three parts.

Liu et al. 2025, "Benchmarking LLMs in Recommendation Tasks" (arXiv:2503.05493), ask whether a user
takes an item, of users that nothing was trained on. `click_rows` makes such rows of any dataset, as
the impressions of a dataset of its own with their part in the column `part`, and beside them the
sequences of the list-wise task.

`behaviour: reference` keeps what the published code does where that harms no one: negatives with
replacement, repeated rows, sequences of one item. What it leaves to chance is seeded here in both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tastebench.data.click_account import account
from tastebench.data.click_draw import Drawn, draw
from tastebench.data.click_pool import Pool, pool
from tastebench.data.schema import PARTS, Tables
from tastebench.data.split import TRAIN


class ClickRows(BaseModel):
    """How labelled rows are made of a dataset.

    Attributes:
        family: Where negatives come from: impressions (`given`), low ratings or labels
            (`explicit`), or a draw from what the user never took (`sampled`).
        positives: Last positives of a user that are candidates; what was before is history.
        negatives: Drawn negatives, of a user or of a positive (`negatives_per`); `sampled` only.
        threshold: Ratings above it are positive, below it negative, equal ones are dropped; None
            takes the column `label`. `explicit` only.
        negatives_after_history: Explicit negatives only from after the last item of the history.
        history_cap: Latest items kept of a history.
        test_rows, finetune_rows: A part is filled user by user until it has so many rows.
        cap: Most rows of a user, half of them of either label.
        valid_share: Of the finetune users, who validate.
        behaviour: `fixed` has an item once a user, positive if it was taken anywhere, and draws
            without replacement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    family: Literal["given", "explicit", "sampled"]
    positives: int = Field(2, ge=1)
    negatives: int = Field(2, ge=1)
    negatives_per: Literal["user", "positive"] = "user"
    threshold: float | None = 3.0
    negatives_after_history: bool = False
    history_cap: int = Field(100, ge=1)
    test_rows: int = Field(20_000, ge=0)
    finetune_rows: int = Field(100_000, ge=0)
    cap: int = Field(20, ge=2)
    valid_share: float = Field(0.1, gt=0, lt=1)
    seed: int = 2025
    behaviour: Literal["fixed", "reference"] = "fixed"

    @model_validator(mode="after")
    def _can_be_meant(self) -> ClickRows:
        if not self.test_rows and not self.finetune_rows:
            raise ValueError("neither test_rows nor finetune_rows is above 0")
        if self.behaviour == "reference" and self.negatives_after_history:
            raise ValueError("the reference takes negatives of any time")
        return self

    @property
    def per_label(self) -> int:
        """Most rows of a user with one label."""
        return self.cap // 2

    @property
    def to_draw(self) -> int:
        """Negatives to draw of each user."""
        each = self.negatives * (self.positives if self.negatives_per == "positive" else 1)
        return each if self.family == "sampled" else 0

    @property
    def min_sequence(self) -> int:
        """Items that a sequence needs: `fixed` asks for nothing without a history."""
        return 2 if self.behaviour == "fixed" else 1


def click_rows(
    tables: Tables,
    spec: ClickRows,
    rng: np.random.Generator | None = None,
    *,
    known: pl.Expr | None = None,
    where: str = "this dataset",
) -> tuple[Tables, dict[str, Any]]:
    """The tables of a dataset of labelled rows, and the account of how they were made.

    Args:
        tables: Canonical tables of the dataset that it is made of.
        spec: How.
        rng: All randomness; None for one seeded with `spec.seed`.
        known: Which items there are, over the items table; all where None.
        where: The dataset, for messages.

    Returns:
        `impressions` with the column `part`; `histories` of the users in them; `interactions`, the
        positives of all users in order; `items` that any of these names; `users`. And the manifest.

    Raises:
        DataError: A table is missing, no user is left, or nobody for validation.
    """
    exists = np.ones(len(tables.items), dtype=bool)
    if known is not None:
        exists = tables.items.select(known.fill_null(False)).to_series().to_numpy()
    found = pool(tables, spec, exists, where)
    drawn = draw(found, spec, rng or np.random.default_rng(spec.seed), where)
    shown, past = _impressions(tables, found, drawn, spec), _histories(tables, found, drawn)
    made = _restricted(tables, shown, past, found.sequences)
    return made, account(tables, made, found, drawn, spec)


def _impressions(tables: Tables, found: Pool, drawn: Drawn, spec: ClickRows) -> pl.DataFrame:
    """The rows as impressions; where the data have no lists, each user is one."""
    rows = drawn.rows
    frame = pl.DataFrame(
        {
            "user_id": found.users.gather(rows.user),
            "item_id": tables.items["item_id"].gather(rows.item),
            "label": rows.label,
            "part": pl.Series(PARTS).gather(drawn.part[rows.user]),
        }
    )
    if spec.family == "given":
        assert tables.impressions is not None
        own = tables.impressions.select("impression_id", "time", "position")[rows.row]
        return pl.concat([own, frame], how="horizontal")
    if spec.family == "explicit":
        assert tables.interactions is not None
        frame = frame.with_columns(time=tables.interactions["time"].gather(rows.row))
    return frame.with_columns(impression_id=pl.col("user_id"))


def _histories(tables: Tables, found: Pool, drawn: Drawn) -> pl.DataFrame:
    """What the users with rows took before."""
    held = np.flatnonzero(drawn.part >= TRAIN)
    history = found.history[held]
    flat = pl.DataFrame(
        {
            "user_id": found.users.gather(held).gather(history.rows),
            "item_ids": tables.items["item_id"].gather(history.values),
        }
    )
    return flat.group_by("user_id", maintain_order=True).agg("item_ids")


def _restricted(
    tables: Tables, impressions: pl.DataFrame, histories: pl.DataFrame, sequences: pl.DataFrame
) -> Tables:
    """These tables with the items and users that they name."""
    named = [impressions["item_id"], histories["item_ids"].explode(), sequences["item_id"]]
    items = pl.concat(series.rename("item_id") for series in named).unique().to_frame()
    users = pl.concat([impressions["user_id"], sequences["user_id"]]).unique().to_frame()
    made = Tables(
        items=tables.items.join(items, on="item_id", how="semi", maintain_order="left"),
        interactions=sequences,
        impressions=impressions,
        histories=histories,
    )
    if tables.users is None:
        return made
    about = tables.users.join(users, on="user_id", how="semi", maintain_order="left")
    return replace(made, users=about)
