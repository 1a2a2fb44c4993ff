"""Goodreads as ONCE has it: short reading histories and titles, in order and without times.

Its histories were released as a pickled array, which is not opened here; read is its content as a
table of users and the ids of their books. The descriptions are GPT-3.5's, made from the titles.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, catalogue, find, need, read_delimited

_ONCE = (
    "https://raw.githubusercontent.com/Jyonn/ONCE"
    "/8183088381185de5d1859a03348c5d86cb727674/data/goodreads"
)
_HISTORIES = RawFile(path="user_history.tsv")
_BOOKS = RawFile(
    path="book.csv",
    also=("data/goodreads/book.csv",),
    url=f"{_ONCE}/book.csv",
    sha256="e8b52e95bbc52f5a7595df7ac07a40f4d4465311caf90e8471517a8bb1a6b3da",
)
_DESCRIPTIONS = RawFile(
    path="book-desc.csv",
    also=("data/goodreads/book-desc.csv",),
    url=f"{_ONCE}/book-desc.csv",
    sha256="749c7ad7222fd4929d22c81cd0edaf55cefe0fd717eb85e1afb362ed35b89ddc",
    required=False,
)


def read(raw: Path) -> Tables:
    """An interaction for each book of each history, oldest first, and the books."""
    interactions = _interactions(need(raw, _HISTORIES))
    items = _books(need(raw, _BOOKS), "title", separator="\t")
    path = find(raw, _DESCRIPTIONS)
    if path is not None:
        about = _books(path, "desc", separator=",").rename({"desc": "llm_description"})
        about = about.unique("item_id", keep="first")
        items = items.join(about, on="item_id", how="left", maintain_order="left")
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def _interactions(path: Path) -> pl.DataFrame:
    columns: dict[str, pl.DataType] = {"uid": pl.String(), "history_bids": pl.String()}
    frame = read_delimited(path, columns, path=path, separator="\t", needed=("uid",))
    histories = frame.with_columns(pl.col("history_bids").fill_null("").str.strip_chars())
    bad = (~histories["history_bids"].str.contains(r"^(\d+( +\d+)*)?$")).arg_true()
    if len(bad):
        raise bad_rows(path, (bad + 2).to_list(), "history_bids are not the ids of books")
    taken = histories.select(
        pl.col("uid").alias("user_id"),
        pl.col("history_bids").str.extract_all(r"\d+").alias("item_id"),
    ).explode("item_id")
    return taken.drop_nulls().with_row_index("row")


def _books(path: Path, text: str, separator: str) -> pl.DataFrame:
    """item_id and a text, each once per line of the file."""
    columns: dict[str, pl.DataType] = {"bid": pl.String(), text: pl.String()}
    frame = read_delimited(path, columns, path=path, separator=separator, needed=("bid",))
    return frame.rename({"bid": "item_id"})


GOODREADS_ONCE = Source(
    DatasetCard(
        name="goodreads-once",
        title="Goodreads histories",
        summary=(
            "Up to nine books that 23,089 people read, in order and without times, with titles: "
            "the histories of ONCE's Goodreads data."
        ),
        source="https://github.com/Jyonn/ONCE",
        licence="academic use only; no commercial use, no redistribution (UCSD Book Graph)",
        citation=(
            "Mengting Wan and Julian McAuley. 2018. Item Recommendation on Monotonic Behavior "
            "Chains. RecSys. Histories as released with Qijiong Liu, Nuo Chen, Tetsuya Sakai and "
            "Xiao-Ming Wu. 2024. ONCE: Boosting Content-based Recommendation with Both Open- and "
            "Closed-source Large Language Models. WSDM."
        ),
        tasks=("seqrec", "cf", "ctr"),
        files=(_HISTORIES, _BOOKS, _DESCRIPTIONS),
        known=Counts(users=23_089, interactions=180_240),
        seen_on="real",
        notes=(
            "There is order only, no time: a row's position is its place in time.",
            "The catalogue is the 15,441 books in histories of the 16,833 in book.csv.",
            "`llm_description` holds what GPT-3.5 wrote of a book from its title alone, and from "
            "no interaction (ONCE's content summarizer). It is no text column: no recipe reads it "
            "unasked, since what the model knew of the readers of a book cannot be told.",
            "The histories were released as a pickled array, not opened here: bring them as "
            "user_history.tsv with the columns uid and history_bids (ids separated by spaces). "
            "The labelled lists of the release are not in these files.",
        ),
    ),
    read,
)
