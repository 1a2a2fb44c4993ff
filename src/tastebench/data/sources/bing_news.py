"""Bing News, the sample that was released with DKN: titles shown to people, clicked or not.

A line is a user, a title in lower case without its stop words, a label and the entities in the
title. There are no ids of news: the title is what identifies it. There are no times either.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, need, read_delimited, read_text

_SHOWN: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "title": pl.String(),
    "label": pl.Int8(),
    "entities": pl.String(),
}
_SITE = (
    "https://raw.githubusercontent.com/hwwang55/DKN/90a188021a82ddaadffc44f6d87e1e72b1c3db9a/data"
)


def read(raw: Path) -> Tables:
    """The labelled rows of both files as interactions, and which file each came from as the split.

    The row of an interaction is 0 in the train file and 1 in the test file: that is all the order
    there is. Most of a user's lines in the train file stand sorted by label, so that a history made
    in the order of the lines would tell it.

    Raises:
        DataError: A file is missing or a line is not of its form; names the rows.
    """
    parts = zip(("train", "test"), BING_NEWS.card.files, strict=True)
    shown = pl.concat([_shown(need(raw, file), part) for part, file in parts])
    titles = shown["title"].unique(maintain_order=True)
    ids = pl.DataFrame({"title": titles, "item_id": [_id(title) for title in titles]})
    shown = shown.join(ids, on="title", how="left", maintain_order="left")
    names = pl.col("entities").fill_null("").str.extract_all(r"[^;]+")
    about = shown.group_by("item_id", "title", maintain_order=True).agg(
        # Entities of one title differ from line to line: all of them, in order of appearance.
        names.list.eval(pl.element().str.replace(r"^\d+:", ""))
        .explode()
        .drop_nulls()
        .unique(maintain_order=True)
    )
    split = shown.select("user_id", "item_id", "part").unique(maintain_order=True)
    interactions = shown.select(
        "user_id", "item_id", "label", pl.col("part").replace_strict(_ROW).alias("row")
    )
    return Tables(items=about, interactions=interactions, split=split)


_ROW = {"train": 0, "test": 1}


def _shown(path: Path, part: str) -> pl.DataFrame:
    frame = read_delimited(
        read_text(path),
        _SHOWN,
        path=path,
        separator="\t",
        header=False,
        quote=None,
        needed=("user_id", "title", "label"),
    )
    bad = (~frame["label"].is_in([0, 1])).arg_true()
    if len(bad):
        raise bad_rows(path, (bad + 1).to_list(), "label is neither 0 nor 1")
    return frame.with_columns(pl.lit(part).alias("part"))


def _id(title: str) -> str:
    """A title's id: 64 bits of its BLAKE2b hash, which a million titles share by rare chance."""
    return blake2b(title.encode(), digest_size=8).hexdigest()


def _file(name: str, sha256: str, size: int) -> RawFile:
    return RawFile(
        path=f"raw_{name}.txt", url=f"{_SITE}/news/raw_{name}.txt", sha256=sha256, bytes=size
    )


BING_NEWS = Source(
    DatasetCard(
        name="bing-news",
        title="Bing News (DKN's sample)",
        summary="News titles that 469 people were shown at Bing News, with clicks; no times.",
        source="https://github.com/hwwang55/DKN",
        licence="code of DKN: MIT; the sample of Bing News: terms unclear; do not redistribute",
        citation=(
            "Hongwei Wang, Fuzheng Zhang, Xing Xie and Minyi Guo. 2018. DKN: Deep Knowledge-Aware "
            "Network for News Recommendation. WWW. arXiv:1801.08284."
        ),
        tasks=("ctr",),
        text_columns=("title", "entities"),
        files=(
            _file(
                "train", "9a699aac3bc2e95437ea943f36771764e45dc2b16ff86db6aee54e38010fd839", 884_718
            ),
            _file(
                "test", "5698c122c7643b0f5937e109fb2fc9a7716147fb3e15ab10c70eb4f76f2eefc9", 39_532
            ),
        ),
        known=Counts(users=469, items=9_075, interactions=10_863),
        seen_on="real",
        notes=(
            "The split is the release's: train and test, no valid part. None of the 407 titles of "
            "test is in train: what is known of them is their text.",
            "An item's id is a hash of its title. Titles are in lower case and lack stop words.",
            "162 pairs of a user and a title occur twice or more, 133 of them with both labels; "
            "every line is kept, and no pair is in both parts.",
            "There are no times. Of the 444 people with both labels in train, 349 have all their "
            "lines with 0 before those with 1: the order of lines tells the label and is not "
            "taken for an order of time. Test counts as after train.",
        ),
    ),
    read,
)
