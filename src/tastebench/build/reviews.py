"""Reviews to write queries from: read, joined to the items, filtered as for Amazon-C4, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from tastebench.build.words import as_text, words
from tastebench.data.cells import ImportOptions, Understood, interactions_table
from tastebench.data.dataset import Dataset
from tastebench.data.fingerprint import frame_fingerprint
from tastebench.data.mapping import check_map, map_columns
from tastebench.data.split import cutoffs
from tastebench.data.tables_io import read_table
from tastebench.data.text import clean
from tastebench.data.times import read_times
from tastebench.errors import DataError, UsageError, counted
from tastebench.training.seeds import generator

COLUMNS = ("user_id", "item_id", "text", "rating", "time")
"""Columns of reviews; those that a source does not have are missing."""
OWN = ("text", "review_text")
"""Columns of a dataset's own interactions that hold reviews."""


class ReviewFilters(BaseModel):
    """Which reviews may become queries; the defaults are Amazon-C4's.

    Attributes:
        min_rating: Rated at least so, where there are ratings.
        min_characters: At least so long.
        since: Written at this time or later, milliseconds; None takes any time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_rating: float = 5.0
    min_characters: int = Field(100, ge=1)
    since: int | None = None


@dataclass(frozen=True, eq=False)
class Reviews:
    """Reviews, each with a number of what fell away before.

    Attributes:
        frame: Some of `COLUMNS`, `item_id` and `text` always.
        dropped: Reason to number of rows.
        notes: What else there is to say.
    """

    frame: pl.DataFrame
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def read(self) -> int:
        """How many there were before any fell away."""
        return len(self.frame) + sum(self.dropped.values())

    def fingerprint(self) -> str:
        """Of the values, 64 hex digits."""
        return frame_fingerprint(self.frame)


def read_reviews(
    path: Path, mapping: Mapping[str, str] | None = None, options: ImportOptions | None = None
) -> Reviews:
    """A file of reviews.

    Args:
        path: CSV, TSV, JSON lines or Parquet, one row a review. The files in which Amazon's reviews
            of 2014, 2018 and 2023 were published need no mapping.
        mapping: Meaning (user, item, text, rating, time) to column.
        options: How to read it.

    Raises:
        DataError: It cannot be read, or has no column for the item or the text.
        UsageError: An unknown meaning.
    """
    options = options or ImportOptions()
    raw = read_table(
        path, encoding=options.encoding, delimiter=options.delimiter, bad_rows=options.bad_rows
    )
    check_map(mapping or {}, {"reviews": raw})
    mapped = map_columns("reviews", raw, mapping or {})
    understood = Understood()
    frame = interactions_table(mapped, options, understood)
    dropped = {reason: found["rows"] for reason, found in understood.dropped.items()}
    if raw.skipped:
        dropped["unreadable rows"] = len(raw.skipped)
    frame = frame.with_columns(pl.col("text").cast(pl.String))
    return Reviews(frame.select(c for c in COLUMNS if c in frame.columns), dropped)


def own_reviews(dataset: Dataset) -> Reviews | None:
    """The reviews among a dataset's interactions; None where there are none."""
    frame = dataset.tables.interactions
    name = None if frame is None else next((c for c in OWN if c in frame.columns), None)
    if frame is None or name is None:
        return None
    given = frame.select(
        "user_id",
        "item_id",
        pl.col(name).cast(pl.String).alias("text"),
        *(c for c in ("rating", "time") if not frame[c].is_null().all()),
    )
    return Reviews(given)


def find_reviews(
    dataset: Dataset,
    path: Path | None,
    mapping: Mapping[str, str] | None = None,
    options: ImportOptions | None = None,
) -> Reviews:
    """The reviews in a file, or the dataset's own where none is given.

    Raises:
        UsageError: There is neither.
        DataError: As `read_reviews`.
    """
    found = own_reviews(dataset) if path is None else read_reviews(path, mapping, options)
    if found is None:
        raise UsageError(
            f"{dataset.name} keeps no reviews: its interactions have no column {' or '.join(OWN)}",
            fix="--reviews FILE, one row a review with item and text",
        )
    return found


def since_when(text: str, dataset: Dataset) -> int | None:
    """The time that `test`, `any` or a time in words means, milliseconds; None for any time.

    Raises:
        UsageError: It is none of these.
    """
    if text == "any":
        return None
    if text == "test":
        return begin_of_test(dataset)
    try:
        times = read_times(pl.Series([text]))
    except DataError:
        times = None
    if times is None or times.unit == "order":
        raise UsageError(f"--since {text}: this is no time", fix="--since test, any or 2024-01-31")
    return int(times.values[0])


def begin_of_test(dataset: Dataset) -> int | None:
    """The first millisecond of a dataset's test part; None where it has no times.

    The cut-off of its own split by time, or, where its splits are others, the time after which a
    tenth of the events lie.
    """
    times = dataset.events().time
    if times is None or not len(times):
        return None
    given = [s for s in dataset.card.splits.values() if s.kind == "time"]
    if given and given[0].test_from is not None:
        return given[0].test_from
    return cutoffs(times, given[0].ratios if given else (0.8, 0.1, 0.1))[1]


def select(reviews: Reviews, dataset: Dataset, filters: ReviewFilters) -> Reviews:
    """The reviews of known items that pass the filters, in their order.

    Raises:
        DataError: None passes; says how many fell to what.
    """
    frame, dropped, notes = reviews.frame, dict(reviews.dropped), []

    def keep(condition: pl.Expr, reason: str) -> None:
        nonlocal frame
        kept = frame.filter(condition.fill_null(False))
        if len(kept) < len(frame):
            dropped[reason] = len(frame) - len(kept)
        frame = kept

    text = pl.col("text").str.strip_chars()
    keep(text != "", "without text")
    keep(pl.col("item_id").is_in(dataset.item_ids.implode()), "of items that the dataset lacks")
    titled = dataset.tables.items.filter(has_title(dataset))["item_id"]
    keep(pl.col("item_id").is_in(titled.implode()), "of items without a title")
    rating, least = filters.min_rating, filters.min_characters
    if "rating" in frame.columns:
        keep(pl.col("rating") >= rating, f"rated below {rating:g}")
    else:
        notes.append("the reviews have no ratings: all are taken")
    keep(text.str.len_chars() >= least, f"shorter than {least} characters")
    if filters.since is not None and "time" in frame.columns:
        keep(pl.col("time") >= filters.since, f"before {date(filters.since)}")
    elif "time" not in frame.columns:
        notes.append("the reviews have no times: all are taken")
    # Variants of a product share reviews: one text would be a query with several right answers.
    first = clean(frame["text"]).is_first_distinct()
    keep(pl.lit(first), "with a text that was there before")
    if frame.is_empty():
        told = "; ".join(f"{rows:,} {reason}" for reason, rows in dropped.items())
        raise DataError(
            f"none of {counted(reviews.read, 'review')} can become a query: {told}",
            where=f"reviews of {dataset.name}",
            fix="weaken --min-rating, --min-characters or --since, or check the --map",
        )
    return Reviews(frame, dropped, tuple(notes))


def title_column(dataset: Dataset) -> str:
    """The item column that holds the titles: `title`, else the first text column."""
    columns = dataset.tables.items.columns
    return "title" if "title" in columns else dataset.card.text_columns[0]


def has_title(dataset: Dataset) -> pl.Series:
    """Whether each item has a title: without one nobody can tell whether a query repeats it."""
    found = words(as_text(dataset.tables.items[title_column(dataset)]))
    return found.list.len() > 0


def draw(reviews: Reviews, n: int, seed: int) -> pl.DataFrame:
    """`n` reviews drawn uniformly without replacement, all of them if there are no more.

    A larger `n` only adds to a smaller one, so that what was paid for the smaller one is not paid
    again.
    """
    order = generator(seed, "reviews").permutation(len(reviews))
    return reviews.frame[order[:n]]


def date(milliseconds: int) -> str:
    """A time as people write it, UTC.

    >>> date(1_600_000_000_000), date(0)
    ('2020-09-13T12:26:40', '1970-01-01')
    """
    text: Any = np.datetime_as_string(np.datetime64(milliseconds, "ms"), unit="s")
    return str(text).removesuffix("T00:00:00")
