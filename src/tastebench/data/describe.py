"""What a dataset is like: sizes, texts, times, repeats, lengths, and what its splits leak.

Everything is computed from the canonical tables, so a user's dataset is described as a public one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from tastebench.data.card import DatasetCard
from tastebench.data.click_account import rows_leakage
from tastebench.data.click_parts import default_cut
from tastebench.data.dataset import Dataset
from tastebench.data.labelled import PART
from tastebench.data.schema import Tables, is_relevant
from tastebench.data.split import Leakage, default_split, leakage, split
from tastebench.errors import UsageError

_UNITS = {
    "day": 86_400_000,
    "hour": 3_600_000,
    "minute": 60_000,
    "second": 1_000,
    "millisecond": 1,
}
_BUCKETS = (0, 1, 2, 5, 10, 20, 50, 100, 500)
_MARKUP = r"<[a-zA-Z/][^>]*>|&(?:#\d+|[a-zA-Z]+);"


@dataclass(frozen=True)
class TextColumn:
    """One text column of the items.

    Attributes:
        coverage: Share of items that have any text in it.
        chars, words: Median and 95th percentile over those items, None if there are none.
        markup: Share of those texts with an HTML tag or entity.
        distinct: Distinct texts over texts.
    """

    name: str
    coverage: float
    chars: tuple[float, float] | None
    words: tuple[float, float] | None
    markup: float
    distinct: float


@dataclass(frozen=True)
class Lengths:
    """How many interactions the users, or the items, have.

    Attributes:
        buckets: `"5-9"` to how many have that many.
    """

    median: float
    mean: float
    p95: float
    longest: int
    buckets: dict[str, int]


@dataclass(frozen=True)
class Times:
    """When interactions happened.

    Attributes:
        first, last: ISO 8601, UTC.
        granularity: The coarsest unit that all times are whole multiples of.
        tied: Share of interactions at the very time of another one of their user, whose order
            therefore rests on the raw file.
    """

    first: str
    last: str
    days: float
    granularity: str
    tied: float


@dataclass(frozen=True)
class Repeats:
    """Interactions that repeat an earlier one, as shares of all.

    Attributes:
        rows: Of the same user, item and time (of the same user and item where there are no times).
        pairs: Of the same user and item at any time.
    """

    rows: float
    pairs: float


@dataclass(frozen=True)
class Ratings:
    """The explicit ratings."""

    low: float
    high: float
    mean: float
    levels: int
    missing: float


@dataclass(frozen=True)
class Queries:
    """One group of search queries.

    Attributes:
        words: Median words of a query.
        judged, relevant: Mean items per query that have a grade, and that are relevant by the
            dataset's card.
    """

    group: str
    n: int
    words: float
    judged: float
    relevant: float


@dataclass(frozen=True)
class Shown:
    """The impressions. A list or user with one class alone, all clicked or nothing, has no AUC.

    Attributes:
        clicked: Share of all rows.
        lists, median_list: What was shown together, and how many rows a list has.
    """

    clicked: float
    lists: int
    median_list: float
    one_class_lists: int
    users: int
    one_class_users: int


@dataclass(frozen=True)
class SplitView:
    """What the default split of a task does to this dataset.

    Attributes:
        leakage: Sizes of the parts and what training could know of the test part; None if the
            dataset cannot be split so, or if labelled rows would have to be made to know.
        problem: Why it cannot be.
    """

    task: str
    kind: str
    leakage: Leakage | None
    problem: str | None = None


@dataclass(frozen=True)
class Description:
    """All that `tastebench data show` says of a dataset.

    Attributes:
        counts: Table to rows, besides `users`, which counts those who interacted.
        density: Distinct (user, item) pairs over all possible ones; None without interactions.
        ordered: Whether times or the order of rows say what came first.
        shown: The impressions; None where there are none.
        differences: Where the counts are not those the source publishes.
        repairs: What was dropped when it was prepared, and how often.
    """

    card: DatasetCard
    fingerprint: str
    counts: dict[str, int]
    density: float | None
    text: tuple[TextColumn, ...]
    times: Times | None
    ordered: bool
    repeats: Repeats | None
    ratings: Ratings | None
    per_user: Lengths | None
    per_item: Lengths | None
    shown: Shown | None
    queries: tuple[Queries, ...]
    splits: tuple[SplitView, ...]
    differences: tuple[str, ...]
    repairs: dict[str, int]
    made: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"card": self.card.model_dump(mode="json")}


def describe(dataset: Dataset) -> Description:
    """Looks at every table of `dataset` once."""
    tables = dataset.tables
    interactions = tables.interactions
    has_any = len(dataset.events().user) > 0
    return Description(
        card=dataset.card,
        fingerprint=dataset.fingerprint,
        counts=_counts(dataset),
        density=_density(dataset) if has_any else None,
        text=tuple(_text_column(tables.items, name) for name in dataset.card.text_columns),
        times=_times(dataset) if has_any else None,
        ordered=has_any and _is_ordered(dataset),
        repeats=_repeats(interactions) if interactions is not None and has_any else None,
        ratings=_ratings(interactions) if interactions is not None else None,
        per_user=_lengths(np.bincount(dataset.events().user)) if has_any else None,
        per_item=_lengths(np.bincount(dataset.events().item, minlength=dataset.n_items))
        if has_any
        else None,
        shown=_shown(tables.impressions),
        queries=_queries(tables, dataset.card.min_grade),
        splits=tuple(
            _split_view(dataset, task)
            for task in dataset.card.tasks
            if task != "search" and (has_any or (task == "ctr" and tables.impressions is not None))
        ),
        differences=tuple(dataset.manifest.get("differs", ())),
        repairs=dict(dataset.manifest.get("repairs", {})),
        made=dataset.manifest.get("raw", {}).get("how"),
    )


def _counts(dataset: Dataset) -> dict[str, int]:
    """Rows by table; `users` are those who interacted, whether or not there is a users table."""
    rows: dict[str, int] = {
        name: len(frame) for name, frame in dataset.tables.frames() if name != "users"
    }
    users = {} if dataset.tables.interactions is None else {"users": dataset.n_users}
    impressions = dataset.tables.impressions
    lists = {} if impressions is None else {"lists": impressions["impression_id"].n_unique()}
    return {**users, **rows, **lists}


def _density(dataset: Dataset) -> float:
    events = dataset.events()
    pairs = len(np.unique(events.user * dataset.n_items + events.item))
    return pairs / (dataset.n_users * dataset.n_items)


def _text_column(items: pl.DataFrame, name: str) -> TextColumn:
    if name not in items.columns:
        return TextColumn(name, 0.0, None, None, 0.0, 0.0)
    column = items[name]
    if isinstance(column.dtype, pl.List):
        column = column.list.drop_nulls().list.join(" ")
    texts = column.cast(pl.String).str.strip_chars()
    texts = texts.filter((texts.str.len_bytes() > 0).fill_null(False))
    coverage = len(texts) / len(items)
    if texts.is_empty():
        return TextColumn(name, 0.0, None, None, 0.0, 0.0)
    return TextColumn(
        name,
        coverage,
        _median_p95(texts.str.len_chars()),
        _median_p95(texts.str.count_matches(r"\S+")),
        _mean(texts.str.contains(_MARKUP)),
        texts.n_unique() / len(texts),
    )


def _median_p95(lengths: pl.Series) -> tuple[float, float]:
    values = lengths.to_numpy()
    return float(np.median(values)), float(np.quantile(values, 0.95))


def _mean(series: pl.Series) -> float:
    return float(series.cast(pl.Float64).to_numpy().mean())


def _times(dataset: Dataset) -> Times | None:
    events = dataset.events()
    if events.time is None:
        return None
    first, last = int(events.time.min()), int(events.time.max())
    shared = int(np.gcd.reduce(events.time))
    unit = next(name for name, size in _UNITS.items() if shared % size == 0)
    same = (np.diff(events.time) == 0) & (np.diff(events.user) == 0)
    tied = np.append(same, False) | np.append(False, same)
    return Times(_iso(first), _iso(last), (last - first) / _UNITS["day"], unit, float(tied.mean()))


def _is_ordered(dataset: Dataset) -> bool:
    events, interactions = dataset.events(), dataset.tables.interactions
    assert interactions is not None
    return events.time is not None or interactions["row"].n_unique() > 1


def _iso(milliseconds: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def _repeats(interactions: pl.DataFrame) -> Repeats:
    n = len(interactions)
    rows = interactions.select("user_id", "item_id", "time").n_unique()
    pairs = interactions.select("user_id", "item_id").n_unique()
    return Repeats(1 - rows / n, 1 - pairs / n)


def _ratings(interactions: pl.DataFrame) -> Ratings | None:
    given = interactions["rating"].drop_nulls()
    if given.is_empty():
        return None
    values = given.to_numpy()
    missing = 1 - len(given) / len(interactions)
    return Ratings(
        float(values.min()), float(values.max()), float(values.mean()), given.n_unique(), missing
    )


def _lengths(counts: np.ndarray) -> Lengths:
    edges = np.append(_BUCKETS, np.iinfo(np.int64).max)
    held, _ = np.histogram(counts, edges)
    names = [_bucket(low, high) for low, high in pairwise(edges)]
    return Lengths(
        float(np.median(counts)),
        float(counts.mean()),
        float(np.quantile(counts, 0.95)),
        int(counts.max()),
        {name: int(n) for name, n in zip(names, held, strict=True) if n},
    )


def _bucket(low: int, high: int) -> str:
    if high == np.iinfo(np.int64).max:
        return f"{low}+"
    return f"{low}" if high == low + 1 else f"{low}-{high - 1}"


def _shown(impressions: pl.DataFrame | None) -> Shown | None:
    if impressions is None or impressions.is_empty():
        return None
    lists, users = (_per(impressions, key) for key in ("impression_id", "user_id"))
    return Shown(
        clicked=_mean(impressions["label"]),
        lists=len(lists),
        median_list=float(np.median(lists["rows"].to_numpy())),
        one_class_lists=_one_class(lists),
        users=len(users),
        one_class_users=_one_class(users),
    )


def _per(impressions: pl.DataFrame, key: str) -> pl.DataFrame:
    """Rows and clicks of each list or user."""
    clicks = pl.col("label").cast(pl.Int64).sum().alias("clicks")
    return impressions.group_by(key).agg(pl.len().alias("rows"), clicks)


def _one_class(groups: pl.DataFrame) -> int:
    return int(((groups["clicks"] == 0) | (groups["clicks"] == groups["rows"])).sum())


def _queries(tables: Tables, min_grade: float | None) -> tuple[Queries, ...]:
    if tables.queries is None:
        return ()
    judged = pl.DataFrame(schema={"query_id": pl.String, "grade": pl.Float64})
    if tables.relevance is not None:
        judged = tables.relevance.select("query_id", "grade")
    per_query = judged.group_by("query_id").agg(
        pl.len().alias("judged"), is_relevant(min_grade).sum().alias("relevant")
    )
    frame = tables.queries.join(per_query, on="query_id", how="left").with_columns(
        pl.col("text").str.count_matches(r"\S+").alias("words"),
        pl.col("judged", "relevant").fill_null(0),
    )
    groups = frame.group_by("group", maintain_order=True).agg(
        pl.len(), pl.col("words").median(), pl.col("judged", "relevant").mean()
    )
    return tuple(Queries(*row) for row in groups.iter_rows())


def _split_view(dataset: Dataset, task: str) -> SplitView:
    if task == "ctr":
        return _click_view(dataset)
    spec = default_split(dataset, task)
    try:
        return SplitView(task, spec.kind, leakage(dataset, split(dataset, spec), spec))
    except UsageError as error:  # too small for this split: worth showing, no reason to stop
        return SplitView(task, spec.kind, None, error.what)


def _click_view(dataset: Dataset) -> SplitView:
    """The split of labelled rows; its sizes only where impressions bring their parts.

    Making the rows of a large log takes a while: `tastebench data check` does.
    """
    _, spec = default_cut(dataset)
    shown = dataset.tables.impressions
    if shown is not None and spec.kind == "given" and PART in shown.columns:
        return SplitView("ctr", spec.kind, rows_leakage(shown))
    return SplitView("ctr", spec.kind, None)
