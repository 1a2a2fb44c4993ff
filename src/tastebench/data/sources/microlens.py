"""MicroLens-50k: short videos that people commented on, with their titles.

Two forms are read: the official tables (pairs with times, titles) and DEALRec's numbered sequences,
which have no times but a split of their own. The counts of likes and views that the release also
has are left aside: they include what happened after any test.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import PARTS, Tables
from tastebench.data.sources import Source, dealrec
from tastebench.data.sources.reading import bad_rows, catalogue, need, read_delimited

_SITE = "https://recsys.westlake.edu.cn/MicroLens-50k-Dataset"
_SEQUENCES = tuple(RawFile(path=f"sequential_{part}.txt") for part in PARTS)
_PAIRS = RawFile(
    path="MicroLens-50k_pairs.csv",
    also=(_SEQUENCES[0].path,),
    url=f"{_SITE}/MicroLens-50k_pairs.csv",
    sha256="7ff8b91bcc84f5434ac2c5be7d0b7d7730f5e84f79f9648b5ae67a7641f97bbd",
    bytes=9_431_093,
)
_TITLES = RawFile(
    path="MicroLens-50k_titles.csv",
    also=(dealrec.TITLES.path,),
    url=f"{_SITE}/MicroLens-50k_titles.csv",
    sha256="244aad5380cbbe0fb43458cfcda5ebe820f534384602f80a64dbbcd07dd30e49",
    bytes=2_392_145,
)
_PAIR = {"user": pl.String(), "item": pl.String(), "timestamp": pl.Int64()}
_LEAST = 100_000_000_000  # milliseconds until 1973: a smaller number is one of seconds


def read(raw: Path) -> Tables:
    """Either form, told by the name of the file with the interactions."""
    path = need(raw, _PAIRS)
    if path.name == _SEQUENCES[0].path:
        return dealrec.read(raw, _SEQUENCES)
    pairs = read_delimited(path, _PAIR, path=path, needed=list(_PAIR))
    seconds = (pairs["timestamp"] < _LEAST).arg_true()
    if len(seconds):
        raise bad_rows(path, (seconds + 2).to_list(), "timestamp is not in milliseconds")
    interactions = pairs.select(
        pl.col("user").alias("user_id"),
        pl.col("item").alias("item_id"),
        pl.col("timestamp").alias("time"),
    ).with_row_index("row")
    titles = need(raw, _TITLES)
    about: dict[str, pl.DataType] = {"item": pl.String(), "title": pl.String()}
    items = read_delimited(titles, about, path=titles, needed=("item",))
    return Tables(
        items=catalogue(interactions, items.rename({"item": "item_id"})), interactions=interactions
    )


MICROLENS_50K = Source(
    DatasetCard(
        name="microlens-50k",
        title="MicroLens-50k",
        summary=(
            "Short videos that 50,000 people commented on, 2020-2022, with titles in English, most "
            "of them translated."
        ),
        source="https://github.com/westlake-repl/MicroLens",
        licence="academic research only; do not redistribute",
        citation=(
            "Yongxin Ni et al. 2023. A Content-Driven Micro-Video Recommendation Dataset at Scale. "
            "arXiv:2309.15379. Sequences as released with Xinyu Lin et al. 2024. Data-efficient "
            "Fine-tuning for LLM-based Recommendation. SIGIR."
        ),
        tasks=("seqrec", "cf", "ctr"),
        files=(
            _PAIRS,
            _TITLES,
            *(file.model_copy(update={"required": False}) for file in _SEQUENCES[1:]),
            dealrec.ITEMS,
            dealrec.USERS,
        ),
        known=Counts(users=50_000, items=19_220, interactions=359_708),
        seen_on="real",
        notes=(
            "Known counts are those of the official tables; DEALRec's form has 49,887 people, "
            "19,217 videos and 359,048 interactions.",
            "The official tables were read in their format, DEALRec's form in the original.",
            "Official times are UTC milliseconds. DEALRec's form has order only, no time: a row's "
            "position is its place in time. By its counts its split is one of all pairs, 8:1:1 by "
            "time, less the test pairs of people who are in no other part.",
            "DEALRec's maps were released as pickled arrays, not opened here: bring them as JSON.",
        ),
    ),
    read,
)
