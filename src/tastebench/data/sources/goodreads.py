"""Goodreads (UCSD Book Graph, 2017): the shelves of 876,145 people, and the works they hold.

People shelve editions; what one reads is a work. `goodreads_book_works.json` names one edition of
each work, the best one, so from the shelves and the works alone only what was shelved in its best
edition is known to be that work: every other edition is a book of its own, without text.
`goodreads_books.json` names the work of every edition; with it all editions of a work are one item.
Either way the item of a work has the id of its best edition, so ids mean the same with and without.

An interaction is a book on a shelf at the time it was put there; its label is whether it was read.
Times are local with their offset and become UTC.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.json_lines import refuse, select_json_lines
from tastebench.data.sources.reading import catalogue, find, need

_SITES = (
    "https://mcauleylab.ucsd.edu/public_datasets/gdrive/goodreads",
    "https://datarepo.eng.ucsd.edu/mcauley_group/gdrive/goodreads",
)
_CLOCK = "%a %b %d %H:%M:%S %z %Y"  # Thu May 10 10:29:19 -0700 2012
_SHELVED = {
    "user_id": pl.String(),
    "book_id": pl.String(),
    "is_read": pl.Boolean(),
    "rating": pl.Float64(),
    "date_added": pl.String(),
}
_WORK = {"work_id": pl.String(), "best_book_id": pl.String(), "original_title": pl.String()}
_EDITION = {
    "book_id": pl.String(),
    "work_id": pl.String(),
    "title": pl.String(),
    "description": pl.String(),
}


def read(raw: Path) -> Tables:
    """Every book on every shelf, and the works; editions count as works where that is known."""
    works = _works(need(raw, _WORKS))
    path = find(raw, _BOOKS)
    editions = None if path is None else _editions(path)
    shelved = _shelved(need(raw, _INTERACTIONS))
    if editions is not None:
        of_edition = editions.join(works, on="work_id", how="inner", maintain_order="left")
        shelved = shelved.join(
            of_edition.select("book_id", "best_book_id"),
            on="book_id",
            how="left",
            maintain_order="left",
        ).with_columns(pl.coalesce("best_book_id", "book_id").alias("book_id"))
    interactions = shelved.select(
        "user_id", pl.col("book_id").alias("item_id"), "time", "rating", "label"
    ).with_row_index("row")
    return Tables(items=catalogue(interactions, _items(works, editions)), interactions=interactions)


def _shelved(path: Path) -> pl.DataFrame:
    """user_id, book_id, label, rating, time; not rated is 0 in the file and null here."""
    date = pl.col("date_added").str.strip_chars()
    time = date.str.to_datetime(_CLOCK, time_unit="ms", time_zone="UTC", strict=False)
    frame = select_json_lines(
        path,
        _SHELVED,
        (
            pl.col("user_id"),
            pl.col("book_id"),
            pl.col("is_read").cast(pl.Int8).alias("label"),
            pl.when(pl.col("rating") > 0).then("rating").alias("rating"),
            time.dt.timestamp("ms").alias("time"),
            ((date != "") & time.is_null()).alias("unreadable"),
        ),
        needed=("user_id", "book_id", "label"),
    )
    refuse(path, frame["unreadable"].fill_null(False), f"date_added is not of the form {_CLOCK}")
    return frame.drop("unreadable")


def _works(path: Path) -> pl.DataFrame:
    """The works that have a best edition, each once."""
    frame = select_json_lines(path, _WORK, [_full(name) for name in _WORK], needed=("work_id",))
    return frame.drop_nulls("best_book_id").unique("work_id", keep="first", maintain_order=True)


def _editions(path: Path) -> pl.DataFrame:
    frame = select_json_lines(
        path, _EDITION, [_full(name) for name in _EDITION], needed=("book_id",)
    )
    return frame.unique("book_id", keep="first", maintain_order=True)


def _full(column: str) -> pl.Expr:
    """What is not blank; many works have no original title."""
    text = pl.col(column).str.strip_chars()
    return pl.when(text != "").then(text).alias(column)


def _items(works: pl.DataFrame, editions: pl.DataFrame | None) -> pl.DataFrame:
    """A record per work under the id of its best edition, then the editions that are of no work.

    The title is the work's original one; where it has none, and for editions, the edition's.
    """
    items = works.select(
        pl.col("best_book_id").alias("item_id"), pl.col("original_title").alias("title")
    )
    if editions is None:
        return items
    alone = editions.join(works, on="work_id", how="anti", maintain_order="left")
    items = pl.concat([items, alone.select(pl.col("book_id").alias("item_id"))], how="diagonal")
    about = editions.select(
        pl.col("book_id").alias("item_id"), pl.col("title").alias("edition_title"), "description"
    )
    items = items.join(about, on="item_id", how="left", maintain_order="left")
    return items.with_columns(pl.coalesce("title", "edition_title").alias("title")).drop(
        "edition_title"
    )


def _hosted(name: str, required: bool = True) -> RawFile:
    file = f"{name}.json.gz"
    urls = [f"{site}/{file}" for site in _SITES]
    return RawFile(
        path=file, also=(f"{name}.json",), url=urls[0], mirrors=(urls[1],), required=required
    )


_INTERACTIONS = _hosted("goodreads_interactions_dedup")
_WORKS = _hosted("goodreads_book_works")
_BOOKS = _hosted("goodreads_books", required=False)

GOODREADS = Source(
    DatasetCard(
        name="goodreads",
        title="Goodreads shelves",
        summary=(
            "229 million books on the public shelves of 876,145 people in 2017, read or to be "
            "read, with the titles of the works."
        ),
        source="https://mengtingwan.github.io/data/goodreads.html",
        licence="academic use only; no commercial use, no redistribution",
        citation=(
            "Mengting Wan and Julian McAuley. 2018. Item Recommendation on Monotonic Behavior "
            "Chains. RecSys. Mengting Wan, Rishabh Misra, Ndapa Nakashole and Julian McAuley. "
            "2019. Fine-Grained Spoiler Detection from Large-Scale Review Corpora. ACL."
        ),
        tasks=("seqrec", "cf", "ctr"),
        files=(_INTERACTIONS, _WORKS, _BOOKS),
        known=Counts(users=876_145, interactions=228_648_342),
        seen_on="format",
        notes=(
            "All of the file is read: some 40 GB of memory. For less, cut the file first, by user "
            "and not by line, and say so.",
            "A label of 1 is a book that was read, 0 one that was shelved and not read; the time "
            "is when it was put on the shelf (date_added), with the offset of its zone.",
            "goodreads_books.json maps editions to works; it also has descriptions, and titles "
            "for works without an original one. Without it only best editions have text, and "
            "other editions are items of their own.",
            "Books of which nothing is known stay in the catalogue, without text.",
        ),
    ),
    read,
)
