"""Amazon review data 2018 (UCSD): 5-core reviews and metadata as JSON lines.

One source per category, made on request: `amazon_2018.Gift_Cards` is the source of that category.
The metadata were scraped with faults: pieces of markup stand where a title or a price belongs, and
products repeat.
"""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.categories import AMAZON_2018, slug, words
from tastebench.data.sources.reading import (
    catalogue,
    find,
    milliseconds,
    need,
    read_json_lines,
)

_SITE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2"
_MIRRORS = (
    "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_v2",
    "https://jmcauley.ucsd.edu/data/amazon_v2",
)
_REVIEW = {
    "reviewerID": pl.String(),
    "asin": pl.String(),
    "overall": pl.Float64(),
    "unixReviewTime": pl.Int64(),
}
_ITEM = {
    "asin": pl.String(),
    "title": pl.String(),
    "feature": pl.List(pl.String()),
    "description": pl.List(pl.String()),
    "category": pl.List(pl.String()),
    "brand": pl.String(),
    "price": pl.String(),
}


def read(raw: Path, category: str, reviews: RawFile | None = None) -> Tables:
    """Reviews and, where there is one, the metadata of one category; other reviews if given."""
    core, meta = files(category)
    frame = read_json_lines(need(raw, reviews or core), _REVIEW, needed=list(_REVIEW))
    interactions = frame.select(
        pl.col("reviewerID").alias("user_id"),
        pl.col("asin").alias("item_id"),
        milliseconds("unixReviewTime"),
        pl.col("overall").alias("rating"),
    ).with_row_index("row")
    items = read_items(find(raw, meta))
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def read_items(path: Path | None) -> pl.DataFrame:
    """The metadata; texts that are markup left over from scraping become null."""
    empty = pl.DataFrame(schema=_ITEM)
    frame = read_json_lines(path, _ITEM, needed=("asin",)) if path else empty
    return frame.select(
        pl.col("asin").alias("item_id"),
        _words("title"),
        _full("feature").alias("features"),
        _full("description"),
        _full("category").alias("categories"),
        _words("brand"),
        _dollars(),
    )


def _words(column: str) -> pl.Expr:
    """Without what is empty or an opening tag and nothing else."""
    text = pl.col(column).str.strip_chars()
    return pl.when((text != "") & ~text.str.contains(r"^<\w+\b[^>]*$")).then(text)


def _full(column: str) -> pl.Expr:
    """Without the empty strings that pad many lists."""
    return pl.col(column).list.filter(pl.element().str.strip_chars() != "")


def _dollars() -> pl.Expr:
    """`$1,250.00` as a number; ranges and style sheets, which also occur, as null."""
    plain = pl.col("price").str.strip_chars().str.extract(r"^\$(\d[\d,]*(?:\.\d+)?)$")
    return plain.str.replace_all(",", "", literal=True).cast(pl.Float64).alias("price")


def files(category: str) -> tuple[RawFile, RawFile]:
    """Reviews and metadata of a category; the full reviews serve where the 5-core is not there."""
    core, full, meta = f"{category}_5.json", f"{category}.json", f"meta_{category}.json"

    def hosted(path: str) -> tuple[str, ...]:
        return tuple(f"{site}/{path}.gz" for site in (_SITE, *_MIRRORS))

    at = hosted(f"categoryFilesSmall/{core}"), hosted(f"metaFiles2/{meta}")
    return (
        RawFile(
            path=f"{core}.gz",
            also=(core, f"{full}.gz", full),
            url=at[0][0],
            mirrors=at[0][1:],
        ),
        RawFile(path=f"{meta}.gz", also=(meta,), url=at[1][0], mirrors=at[1][1:], required=False),
    )


@cache
def source(category: str) -> Source:
    """The source of one category, spelled as in the file names."""
    card = DatasetCard(
        name=f"amazon-2018-{slug(category)}",
        title=f"Amazon 2018 {words(category)}, 5-core",
        summary=(
            f"Reviews of {words(category)} on Amazon up to October 2018 by people and of products "
            "with five or more, with product metadata."
        ),
        source="https://nijianmo.github.io/amazon/",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Jianmo Ni, Jiacheng Li and Julian McAuley. 2019. Justifying Recommendations using "
            "Distantly-Labeled Reviews and Fine-Grained Aspects. EMNLP."
        ),
        text_columns=("title", "features", "description", "categories", "brand"),
        splits={"seqrec": SplitSpec(kind="last_out")},
        files=files(category),
        known=Counts(interactions=AMAZON_2018[category]),
        seen_on="real"
        if category in ("Gift_Cards", "Magazine_Subscriptions", "All_Beauty")
        else "format",
        notes=(
            "Times have the resolution of a day.",
            "Titles that are left-over markup count as missing.",
            "Products without metadata stay in the catalogue, without text.",
        ),
    )
    return Source(card, partial(read, category=category))


def __getattr__(name: str) -> Source:
    if name in AMAZON_2018:
        return source(name)
    raise AttributeError(name)
