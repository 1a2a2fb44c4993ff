"""Amazon product data 2014 (UCSD): 5-core reviews as JSON lines, metadata as Python literals.

One source per category, made on request: `amazon_2014.Beauty` is the source of that category.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Set
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.categories import AMAZON_2014, slug, words
from tastebench.data.sources.reading import (
    bad_rows,
    catalogue,
    find,
    lines,
    milliseconds,
    need,
    read_json_lines,
)

_SITE = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles"
_REVIEW = {
    "reviewerID": pl.String(),
    "asin": pl.String(),
    "overall": pl.Float64(),
    "unixReviewTime": pl.Int64(),
}
_ITEM: dict[str, pl.DataType] = {
    "item_id": pl.String(),
    "title": pl.String(),
    "description": pl.String(),
    "categories": pl.List(pl.String()),
    "brand": pl.String(),
    "price": pl.Float64(),
}
_ASIN = re.compile(r"""['"]asin['"]: ['"]([^'"]+)['"]""")


def read(raw: Path, category: str) -> Tables:
    """Reviews and, where there is one, the metadata of one category."""
    reviews, meta = files(category)
    frame = read_json_lines(need(raw, reviews), _REVIEW, needed=list(_REVIEW))
    interactions = frame.select(
        pl.col("reviewerID").alias("user_id"),
        pl.col("asin").alias("item_id"),
        milliseconds("unixReviewTime"),
        pl.col("overall").alias("rating"),
    ).with_row_index("row")
    items = read_items(find(raw, meta), set(interactions["item_id"].unique()))
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def read_items(path: Path | None, wanted: Set[str]) -> pl.DataFrame:
    """The metadata of the wanted products, one Python literal per line.

    A line is parsed only if its product is wanted, or cannot be told: the related products that
    fill most lines make parsing all of them slow.

    Raises:
        DataError: A line that had to be parsed is no literal of a mapping; names the rows.
    """
    records: list[dict[str, Any]] = []
    bad: list[int] = []
    for number, line in lines(path) if path else ():
        asin = _ASIN.search(line)
        if asin is not None and asin[1] not in wanted:
            continue
        try:
            record = ast.literal_eval(line.strip())
            if record["asin"] in wanted:
                records.append(_item(record))
        except (ValueError, SyntaxError, TypeError, KeyError):
            bad.append(number)
    if path and bad:
        raise bad_rows(path, bad, "no Python literal of a product")
    return pl.DataFrame(records, schema=_ITEM)


def _item(record: dict[str, Any]) -> dict[str, Any]:
    paths = record.get("categories") or []
    price = record.get("price")
    return {
        "item_id": record["asin"],
        "title": record.get("title"),
        "description": record.get("description"),
        # The first path is the one the shop shows; the rest are further shelves.
        "categories": [str(name) for name in paths[0]] if paths else None,
        "brand": record.get("brand"),
        "price": float(price) if isinstance(price, (int, float)) else None,
    }


def files(category: str) -> tuple[RawFile, RawFile]:
    """Reviews and metadata of a category; the full reviews serve where the 5-core is not there."""
    core, full = f"reviews_{category}_5.json", f"reviews_{category}.json"
    meta = f"meta_{category}.json"
    return (
        RawFile(path=f"{core}.gz", also=(core, f"{full}.gz", full), url=f"{_SITE}/{core}.gz"),
        RawFile(path=f"{meta}.gz", also=(meta,), url=f"{_SITE}/{meta}.gz", required=False),
    )


@cache
def source(category: str) -> Source:
    """The source of one category, spelled as in the file names."""
    card = DatasetCard(
        name=f"amazon-2014-{slug(category)}",
        title=f"Amazon 2014 {words(category)}, 5-core",
        summary=(
            f"Reviews of {words(category)} on Amazon up to July 2014 by people and of products "
            "with five or more, with product metadata."
        ),
        source="https://jmcauley.ucsd.edu/data/amazon/",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Julian McAuley, Christopher Targett, Qinfeng Shi and Anton van den Hengel. 2015. "
            "Image-based Recommendations on Styles and Substitutes. SIGIR."
        ),
        text_columns=("title", "description", "categories", "brand"),
        splits={"seqrec": SplitSpec(kind="last_out")},
        files=files(category),
        known=Counts(interactions=AMAZON_2014[category]),
        seen_on="real" if category in ("Musical_Instruments", "Digital_Music") else "format",
        notes=(
            "Times have the resolution of a day.",
            "Products without metadata stay in the catalogue, without text.",
        ),
    )
    return Source(card, partial(read, category=category))


def __getattr__(name: str) -> Source:
    if name in AMAZON_2014:
        return source(name)
    raise AttributeError(name)
