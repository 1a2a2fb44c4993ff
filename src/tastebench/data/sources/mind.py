"""MIND: news shown and clicked on Microsoft News in six weeks of 2019, small and large release.

`behaviors.tsv` has a line per impression list: what was shown, what of it was clicked, and what the
user had clicked before the release's days. All times are taken as UTC; the release names no zone.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl

from tastebench.data.card import DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, find, need, read_delimited

_SITE = "https://mind201910small.blob.core.windows.net/release"
_MIRROR = "https://recodatasets.z20.web.core.windows.net/newsrec"
_BEHAVIOR = {
    "impression_id": pl.String(),
    "user_id": pl.String(),
    "time": pl.String(),
    "history": pl.String(),
    "shown": pl.String(),
}
_NEWS = {
    "item_id": pl.String(),
    "category": pl.String(),
    "subcategory": pl.String(),
    "title": pl.String(),
    "abstract": pl.String(),
    "url": pl.String(),
    "title_entities": pl.String(),
    "abstract_entities": pl.String(),
}
_CLOCK = "%m/%d/%Y %I:%M:%S %p"
_VALID_FROM = 1_573_689_600_000  # 2019-11-14T00:00Z, the last day of the train part
_TEST_FROM = 1_573_776_000_000  # 2019-11-15T00:00Z, the day of the dev part


def read(raw: Path, size: str) -> Tables:
    """The train part and, where it is there, the dev part, as one.

    `train-` and `dev-` begin the ids of their impression lists. Interactions are the clicks. A
    user's history is the one given with the first part they are in: what the later one adds are
    clicks of the earlier part. News that was shown but has no record stays in the catalogue,
    without text.
    """
    train, train_news, dev, dev_news = files(size)
    behaviors = [_behaviors(need(raw, train), "train")]
    news = [_news(need(raw, train_news))]
    later, more = find(raw, dev), find(raw, dev_news)
    if later is not None and more is not None:
        behaviors.append(_behaviors(later, "dev"))
        news.append(_news(more))
    lists = pl.concat(behaviors)
    impressions = _impressions(lists)
    histories = (
        lists.select("user_id", pl.col("history").str.split(" ").alias("item_ids"))
        .drop_nulls()
        .unique("user_id", keep="first", maintain_order=True)
    )
    clicks = impressions.filter(pl.col("label") == 1).select("user_id", "item_id", "time")
    return Tables(
        items=_catalogue(pl.concat(news), impressions, histories),
        interactions=clicks.with_row_index("row"),
        impressions=impressions,
        histories=histories,
    )


def _behaviors(path: Path, part: str) -> pl.DataFrame:
    frame = read_delimited(
        path,
        _BEHAVIOR,
        path=path,
        separator="\t",
        header=False,
        quote=None,
        needed=("impression_id", "user_id", "time", "shown"),
    )
    time = pl.col("time").str.to_datetime(_CLOCK, strict=False, time_unit="ms")
    timed = frame.with_columns(time.cast(pl.Int64))
    late = timed["time"].is_null().arg_true()
    if len(late):
        raise bad_rows(path, (late + 1).to_list(), f"time is not of the form {_CLOCK}")
    unlabelled = (~frame["shown"].str.contains(r"^\S+-[01]( \S+-[01])*$")).arg_true()
    if len(unlabelled):
        raise bad_rows(path, (unlabelled + 1).to_list(), "impressions are not news-0 or news-1")
    return timed.with_columns((pl.lit(f"{part}-") + pl.col("impression_id")).alias("impression_id"))


def _news(path: Path) -> pl.DataFrame:
    frame = read_delimited(
        path,
        _NEWS,
        path=path,
        separator="\t",
        header=False,
        quote=None,
        needed=("item_id",),
    )
    return frame.select("item_id", "title", "abstract", "category", "subcategory")


def _impressions(lists: pl.DataFrame) -> pl.DataFrame:
    """A row per news shown; `position` counts from 0 within its list."""
    shown = lists.select(
        "impression_id", "user_id", "time", pl.col("shown").str.split(" ").alias("item_id")
    )
    rows = shown.with_columns(pl.int_ranges(pl.col("item_id").list.len()).alias("position"))
    rows = rows.explode("item_id", "position")
    return rows.select(
        "impression_id",
        "user_id",
        pl.col("item_id").str.head(-2),
        "time",
        "position",
        pl.col("item_id").str.tail(1).cast(pl.Int8).alias("label"),
    )


def _catalogue(
    news: pl.DataFrame, impressions: pl.DataFrame, histories: pl.DataFrame
) -> pl.DataFrame:
    """All news with a record, in file order, then all that were only shown or in a history."""
    news = news.unique("item_id", keep="first", maintain_order=True)
    met = pl.concat([impressions["item_id"], histories["item_ids"].explode()])
    bare = met.unique(maintain_order=True).to_frame("item_id").join(news, "item_id", how="anti")
    return pl.concat([news, bare], how="diagonal")


def files(size: str) -> tuple[RawFile, ...]:
    """Behaviours and news of the train and the dev part."""

    def part(name: str, table: str, *also: str, required: bool) -> RawFile:
        archive = f"MIND{size}_{name}.zip"
        return RawFile(
            path=f"MIND{size}_{name}/{table}",
            also=(f"{name}/{table}", *also),
            url=f"{_SITE}/{archive}",
            mirrors=(f"{_MIRROR}/{archive}",),
            unpack=True,
            required=required,
        )

    tables = ("behaviors.tsv", "news.tsv")
    train = [part("train", table, table, required=True) for table in tables]
    dev = [part("dev", table, f"valid/{table}", required=False) for table in tables]
    return (*train, *dev)


def _source(size: str, summary: str) -> Source:
    card = DatasetCard(
        name=f"mind-{size}",
        title=f"MIND {size}",
        summary=summary,
        source="https://msnews.github.io/",
        licence="Microsoft Research License Terms: non-commercial research; no redistribution",
        citation=(
            "Fangzhao Wu et al. 2020. MIND: A Large-scale Dataset for News Recommendation. ACL."
        ),
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("title", "abstract", "category", "subcategory"),
        splits={"ctr": SplitSpec(kind="time", valid_from=_VALID_FROM, test_from=_TEST_FROM)},
        files=files(size),
        seen_on="real" if size == "small" else "format",
        notes=(
            "A user in both parts has the history of train; clicks of the train week are "
            "interactions, and in no history. Legommenders does the same.",
            "Interactions are clicks. The same person may meet and click a news item again.",
            "The zone of the times is not stated; they are taken as UTC.",
            "The labelled parts are train and dev; the test part has no labels and is not read.",
        ),
    )
    return Source(card, partial(read, size=size))


SMALL = _source("small", "News impressions and clicks of 50,000 people, with titles and abstracts.")
LARGE = _source("large", "News impressions and clicks of a million people, titles and abstracts.")
