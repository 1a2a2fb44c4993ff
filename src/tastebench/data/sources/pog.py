"""POG: clothes that people clicked at Alibaba iFashion before they clicked an outfit.

`user_data.txt` has a line `user,item;item;...,outfit`, as often as the user clicked an outfit. The
outfit is no item and is left out. That file has no titles: Chinese ones are in the release's
`item_data.txt`, English ones in RecBench's translations, which are not part of the release.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import find, need, read_delimited, read_text
from tastebench.data.sources.text_lines import collect_lines, refuse, scan_lines
from tastebench.errors import DataError

_TEXTS = ("title_en", "title_zh", "category")


def read(raw: Path) -> Tables:
    """Each user's clicks in order, repeats removed keeping the first, and the titles at hand.

    A user's lines are one history, in the order of the file. Titles are null where neither file
    with titles is there; where both are, the Chinese title is that of the translations.

    Raises:
        DataError: The clicks are missing, or a line is not of its form; names the rows.
    """
    clicks, translated, described = (find(raw, file) for file in POG.card.files)
    interactions = _clicks(clicks or need(raw, POG.card.files[0]))
    items = interactions.select(pl.col("item_id").unique(maintain_order=True))
    known = [_translated(translated)] if translated else []
    known += [_described(described)] if described else []
    for about in known:
        items = items.join(
            about.unique("item_id", keep="first"), on="item_id", how="left", maintain_order="left"
        )
    title = [name for name in ("title_zh", "title_zh_right") if name in items.columns]
    items = items.with_columns(pl.coalesce(title).alias("title_zh") if title else [])
    lacking = [pl.lit(None, pl.String()).alias(n) for n in _TEXTS if n not in items.columns]
    return Tables(
        items=items.with_columns(lacking).select("item_id", *_TEXTS), interactions=interactions
    )


def _clicks(path: Path) -> pl.DataFrame:
    lines = scan_lines(path).filter(pl.col("line").is_not_null())
    shape = r"^[^,;]+,[^,]*,[^,;]+$"
    bad = lines.filter(~pl.col("line").str.contains(shape)).select("number")
    refuse(collect_lines(bad, path), pl.lit(True), path, "not a user, items and an outfit")
    field = pl.col("line").str.splitn(",", 3).struct
    clicked = lines.select(
        field.field("field_0").alias("user_id"),
        field.field("field_1").str.split(";").alias("item_id"),
    )
    clicked = clicked.explode("item_id").filter(pl.col("item_id") != "")
    first = clicked.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    return collect_lines(first, path).with_row_index("row")


def _translated(path: Path) -> pl.DataFrame:
    """item_id, title_zh and title_en: a table of three columns, however its header calls them."""
    header = read_text(path).split("\n", 1)[0].replace('"', "").split(",")
    if len(header) != 3 or len(set(header)) != 3:
        raise DataError(
            f"the header has not three columns but {', '.join(header)}",
            where=f"{path}, row 1",
            fix="the columns are the item's id, its Chinese and its English title",
        )
    columns = dict.fromkeys(header, pl.String())
    frame = read_delimited(path, columns, path=path, needed=header[:1])
    frame.columns = ["item_id", "title_zh", "title_en"]
    return frame


def _described(path: Path) -> pl.DataFrame:
    """item_id, category and title_zh from `item,category,picture,title`; commas in titles stay."""
    field = pl.col("line").str.splitn(",", 4).struct
    lines = scan_lines(path).filter(pl.col("line").is_not_null())
    frame = lines.select(
        "number",
        field.field("field_0").alias("item_id"),
        field.field("field_1").alias("category"),
        field.field("field_3").alias("title_zh"),
    )
    items = collect_lines(frame, path)
    refuse(items, pl.col("title_zh").is_null(), path, "not an item, category, picture and title")
    return items.select("item_id", "category", pl.col("title_zh").replace("", None))


POG = Source(
    DatasetCard(
        name="pog",
        title="POG (Alibaba iFashion)",
        summary="Clothes that 3.6 million people clicked at Alibaba iFashion; order without times.",
        source="https://github.com/wenyuer/POG",
        licence="none stated; released by Alibaba with the paper, for research",
        citation=(
            "Wen Chen et al. 2019. POG: Personalized Outfit Generation for Fashion Recommendation "
            "at Alibaba iFashion. KDD. arXiv:1905.01866."
        ),
        language="zh",
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("title_en", "title_zh"),
        text_recipe="all-text",
        files=(
            RawFile(path="user_data.txt"),
            RawFile(path="pog_translated_titles.csv", required=False),
            RawFile(path="item_data.txt", required=False),
        ),
        known=Counts(users=3_569_112, items=4_463_302),
        about=Counts(users=3_569_112, items=4_463_302, interactions=280_000_000),
        seen_on="format",
        notes=(
            "The clicks have no titles. Chinese ones (title_zh) and a category's number are in the "
            "release's item_data.txt. English ones (title_en), which RecBench takes, are its "
            "translations and not part of the release. Without either file items have no text.",
            "RecBench's text is the recipe title, which reads title_en.",
            "A user's lines are joined in the order of the file, and only the first click on an "
            "item counts; RecBench takes each line for a user.",
            "The last field of a line is an outfit and no item: it is left out.",
            "Every click is a positive; there are no negatives.",
        ),
    ),
    read,
)
