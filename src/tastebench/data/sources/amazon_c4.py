"""Amazon-C4 (BLaIR): needs in a buyer's words, rewritten from reviews, and the product bought.

One product is right for each query; the pool is the union of 50 products a query, drawn from the
category of the right one. The review that a query was made from gives the answer away: neither it
nor its rating is read.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.amazon_2023 import read_categories
from tastebench.data.sources.product_pool import CATEGORIES, METADATA, TEXT_NOTE, read_pool
from tastebench.data.sources.reading import collect, find, need, refuse_empty, scan_table

_GROUP = "complex"
_COLUMNS = ("qid", "query", "item_id")


def read(raw: Path) -> Tables:
    """The queries, and the pool, without products of no category where categories are there.

    Raises:
        DataError: A file is missing or not of its form.
    """
    path = need(raw, _QUERIES)
    rows = collect(scan_table(path, _COLUMNS).select(pl.col(_COLUMNS).cast(pl.String)), path)
    refuse_empty(rows, _COLUMNS, path)
    rows = rows.rename({"qid": "query_id"})
    pool = read_pool(raw, _POOL)
    known = find(raw, CATEGORIES)
    if known is not None:
        pool = pool.join(read_categories(known), on="item_id", how="semi", maintain_order="left")
    return Tables(
        items=pool,
        queries=rows.select(
            "query_id", pl.col("query").alias("text"), pl.lit(_GROUP).alias("group")
        ),
        relevance=rows.select("query_id", "item_id"),
    )


_QUERIES = RawFile(path="test.csv", also=("test.jsonl", "test.parquet"))
_POOL = RawFile(
    path="C4_titles_only_na2period.jsonl",
    also=("sampled_item_metadata_1M.jsonl", "sampled_item_metadata_1M.jsonl.gz"),
)

AMAZON_C4 = Source(
    DatasetCard(
        name="blair/amazon-c4",
        title="Amazon-C4 complex product search",
        summary=(
            "21,223 needs in a buyer's words, rewritten by a language model from reviews of five "
            "stars, each with the product reviewed, among 1,058,417 products."
        ),
        source="https://github.com/hyp1231/AmazonReviews2023",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Yupeng Hou, Jiacheng Li, Zhankui He, An Yan, Xiusi Chen and Julian McAuley. 2024. "
            "Bridging Language and Items for Retrieval and Recommendation. arXiv:2403.03952."
        ),
        tasks=("search",),
        text_columns=("metadata",),
        text_recipe="title-raw",
        files=(_QUERIES, _POOL, CATEGORIES, *METADATA.values()),
        seen_on="format",
        about=Counts(items=1_058_417),
        notes=(
            TEXT_NOTE,
            "With asin2category.json products that are not in it leave the pool, as in the second "
            "edition of the benchmark.",
            "The reviews that the queries were made from, and their ratings, are never read.",
        ),
    ),
    read,
)
