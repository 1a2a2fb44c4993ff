"""Yelp 2019 as S3-Rec has it, with the names and categories that LETTER has of the businesses."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.amazon_sequences import read_sequences
from tastebench.data.sources.reading import need, read_json
from tastebench.errors import DataError

_SEQUENCES = RawFile(
    path="Yelp.txt",
    also=("data/Yelp.txt",),
    url="https://raw.githubusercontent.com/RUCAIBox/CIKM2020-S3Rec"
    "/2a81540ae18615d88ef88227b0c066e5b74781e5/data/Yelp.txt",
    sha256="724b219106b81dd2349027da997334ddb6da9fe2f152ad6e0d97a93170f7caed",
)
_BUSINESSES = RawFile(
    path="Yelp.item.json",
    also=("data/Yelp/Yelp.item.json",),
    url="https://raw.githubusercontent.com/HonghuiBao2000/LETTER"
    "/8d0154e28de37dbb6e24871c508ad8ddb1921cda/data/Yelp/Yelp.item.json",
    sha256="8f58a9d54111fc10ccd675f99e6f2afe988cd0ee70b40f1e37d04f9aea764c2d",
)


def read(raw: Path) -> Tables:
    """Sequences that count businesses from 1, and businesses that are counted from 0."""
    interactions = read_sequences(need(raw, _SEQUENCES))
    items = interactions.select(pl.col("item_id").unique()).sort(pl.col("item_id").cast(pl.Int64))
    path = need(raw, _BUSINESSES)
    content = read_json(path)
    try:
        about = pl.DataFrame(
            [
                (str(int(number) + 1), business["title"], business["description"].split(", "))
                for number, business in content.items()
            ],
            schema={"item_id": pl.String, "title": pl.String, "categories": pl.List(pl.String)},
            orient="row",
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"this is no map of numbers to businesses with title and description: {error!r}",
            where=str(path),
            fix="get the original file again",
        ) from error
    return Tables(
        items=items.join(about, on="item_id", how="left", maintain_order="left"),
        interactions=interactions,
    )


YELP_S3REC = Source(
    DatasetCard(
        name="yelp-s3rec",
        title="Yelp 2019 sequences",
        summary=(
            "Businesses that people reviewed on Yelp in 2019 (5-core), in order and without times: "
            "the data of S3-Rec's and LETTER's tables."
        ),
        source="https://github.com/RUCAIBox/CIKM2020-S3Rec",
        licence="Yelp Dataset User Agreement: academic use, do not redistribute",
        citation=(
            "Kun Zhou et al. 2020. S3-Rec: Self-Supervised Learning for Sequential Recommendation "
            "with Mutual Information Maximization. CIKM. Names from Wenjie Wang et al. 2024. "
            "Learnable Item Tokenization for Generative Recommendation. CIKM."
        ),
        text_columns=("title", "categories"),
        splits={"seqrec": SplitSpec(kind="last_out")},
        files=(_SEQUENCES, _BUSINESSES),
        known=Counts(users=30_431, items=20_033, interactions=316_354),
        seen_on="real",
        notes=(
            "There is order only, no time: a row's position is its place in time.",
            "People who reviewed a business again have it again.",
        ),
    ),
    read,
)
