"""EB-NeRD: news shown and clicked at Ekstra Bladet in May and June 2023, in Danish.

Two weeks of impressions, one a part: train and validation. Each part brings the clicks of the three
weeks before it. Times name no zone and are taken as UTC. The release's test part has no clicks.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, collect, need, scan_table

_PARTS = {"train": "train", "validation": "test"}
_ARTICLE = {
    "article_id": "item_id",
    "title": "title",
    "subtitle": "subtitle",
    "body": "body",
    "category_str": "category",
}
_LIST = {
    "impression_id": "impression_id",
    "user_id": "user_id",
    "impression_time": "time",
    "article_ids_inview": "shown",
    "article_ids_clicked": "clicked",
}
_HISTORY = {"user_id": "user_id", "article_id_fixed": "item_ids"}


def read(raw: Path, size: str) -> Tables:
    """Both parts as one: impression lists, clicks and histories.

    `train-` and `validation-` begin the ids of the impression lists. Interactions are the clicks. A
    user's history is the one given with the first part they are in: what the later one adds are
    clicks of the earlier part. Articles that were shown but have no record stay in the catalogue,
    without text.

    Raises:
        DataError: A file is missing, lacks a column, or a row lacks a value; names the rows.
    """
    articles, *parts = (need(raw, file) for file in files(size))
    lists = pl.concat([_lists(path, name) for name, path in zip(_PARTS, parts[::2], strict=True)])
    given = pl.concat([_columns(path, _HISTORY) for path in parts[1::2]])
    histories = given.unique("user_id", keep="first", maintain_order=True)
    histories = histories.filter(pl.col("item_ids").list.len() > 0)
    clicks = lists.select("user_id", pl.col("clicked").alias("item_id"), "time")
    clicks = clicks.explode("item_id").drop_nulls("item_id")
    impressions = _impressions(lists)
    return Tables(
        items=_catalogue(_columns(articles, _ARTICLE), impressions, clicks, histories),
        interactions=_named(clicks).with_row_index("row"),
        impressions=_named(impressions),
        histories=histories.cast({"user_id": pl.String, "item_ids": pl.List(pl.String)}),
    )


def _columns(path: Path, names: dict[str, str]) -> pl.DataFrame:
    """The named columns of a table under our names; the first of them, its key, may not be null."""
    frame = collect(scan_table(path, list(names)).select(list(names)), path).rename(names)
    key = next(iter(names))
    lacking = frame[names[key]].is_null().arg_true()
    if len(lacking):
        raise bad_rows(path, (lacking + 1).to_list(), f"{key} is missing")
    return frame


def _lists(path: Path, name: str) -> pl.DataFrame:
    """A row an impression list, numbered over its part; user and articles are still numbers."""
    frame = _columns(path, _LIST)
    for column, ours in _LIST.items():
        lacking = frame[ours].is_null().arg_true()
        if len(lacking):
            raise bad_rows(path, (lacking + 1).to_list(), f"{column} is missing")
    return frame.with_columns(
        pl.format("{}-{}", pl.lit(name), "impression_id").alias("impression_id"),
        pl.col("time").cast(pl.Datetime("ms")).cast(pl.Int64),
        pl.lit(_PARTS[name]).alias("part"),
    )


def _impressions(lists: pl.DataFrame) -> pl.DataFrame:
    """A row per article shown. The release shuffles each list: there are no positions."""
    numbered = lists.with_row_index("list")
    shown = numbered.select(
        "list", "impression_id", "user_id", pl.col("shown").alias("item_id"), "time", "part"
    )
    clicked = numbered.select("list", pl.col("clicked").alias("item_id")).explode("item_id")
    rows = shown.explode("item_id").drop_nulls("item_id")
    rows = rows.join(
        clicked.unique().with_columns(pl.lit(1, pl.Int8()).alias("label")),
        on=["list", "item_id"],
        how="left",
        maintain_order="left",
    )
    return rows.drop("list").with_columns(pl.col("label").fill_null(0))


def _named(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("user_id", "item_id").cast(pl.String))


def _catalogue(
    articles: pl.DataFrame,
    impressions: pl.DataFrame,
    clicks: pl.DataFrame,
    histories: pl.DataFrame,
) -> pl.DataFrame:
    """All articles with a record, in file order, then all that were only met."""
    named = articles["item_id"].dtype
    met = (impressions["item_id"], clicks["item_id"], histories["item_ids"].explode())
    unknown = pl.concat([ids.cast(named) for ids in met]).drop_nulls().unique(maintain_order=True)
    bare = unknown.to_frame("item_id").join(
        articles, on="item_id", how="anti", maintain_order="left"
    )
    return pl.concat([articles, bare], how="diagonal").cast({"item_id": pl.String})


def files(size: str) -> tuple[RawFile, ...]:
    """The articles; then behaviours and histories of train and of validation."""
    tables = [f"{part}/{table}.parquet" for part in _PARTS for table in ("behaviors", "history")]
    return tuple(
        RawFile(path=f"ebnerd_{size}/{table}", also=(table,))
        for table in ("articles.parquet", *tables)
    )


def _source(size: str, summary: str, about: Counts) -> Source:
    card = DatasetCard(
        name=f"eb-nerd-{size}",
        title=f"EB-NeRD {size}",
        summary=summary,
        source="https://recsys.eb.dk/",
        licence="Ekstra Bladet's terms, agreed to on registration; research use, as far as known",
        citation=(
            "Johannes Kruse et al. 2024. EB-NeRD: A Large-Scale Dataset for News Recommendation. "
            "RecSys Challenge. arXiv:2410.03432."
        ),
        language="da",
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("title", "subtitle", "body", "category"),
        text_recipe="title-raw",
        files=files(size),
        about=about,
        seen_on="format",
        notes=(
            "Impressions of train are train and those of validation are test (column part); there "
            "is no valid part.",
            "A user in both parts has the history of train; clicks of the train week are "
            "interactions. RecBench takes one of the two, as it comes.",
            "Interactions are clicks. The same person may meet and click an article again.",
            "The release's counts of views and read times reach past the impressions, and are not "
            "read.",
            "The zone of the times is not stated; they are taken as UTC.",
        ),
    )
    return Source(card, partial(read, size=size))


_SUMMARY = "Danish news impressions and clicks of two weeks in 2023 at Ekstra Bladet, "
DEMO = _source(
    "demo",
    f"{_SUMMARY}the smallest bundle.",
    Counts(users=1_900, items=11_800, interactions=50_000),
)
SMALL = _source(
    "small",
    f"{_SUMMARY}the middle bundle.",
    Counts(users=18_000, items=20_700, interactions=480_000),
)
LARGE = _source(
    "large",
    f"{_SUMMARY}the whole of train and validation.",
    Counts(users=900_000, items=125_500, interactions=25_000_000),
)
