"""PENS: news shown and clicked on Microsoft News in June and July 2019, with whole articles.

A line of `train.tsv` or `valid.tsv` is one visit: what the user had clicked before, what was shown
now and clicked (`pos`) or not (`neg`), and from when to when. All times are taken as UTC; the
release names no zone. The release's test part, of rewritten headlines, has no clicks.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, need, read_delimited

_VISIT = {
    "UserID": "user_id",
    "start": "time",
    "ClicknewsID": "clicked",
    "exposure_time": "exposed",
    "pos": "pos",
    "neg": "neg",
}
_NEWS = {
    "News ID": "item_id",
    "Headline": "title",
    "News body": "body",
    "Category": "category",
    "Topic": "topic",
}
_CLOCK = "%m/%d/%Y %I:%M:%S %p"
_PARTS = {"train": "train", "valid": "test"}
_BREAK = "#TAB#"


def read(raw: Path) -> Tables:
    """The visits of both files as impression lists; interactions are the clicks.

    `train-` and `valid-` begin the ids of the lists, then comes the number of the visit in its
    file. A user's history is the one given with their first visit (the earliest start; of equal
    ones train before valid, then the first line), and of that what had been shown before the visit
    began: no list that is scored has its own clicks, or later ones, in the history.

    Raises:
        DataError: A file is missing or a row is not of its form; names the rows.
    """
    news, *files = (need(raw, file) for file in PENS.card.files)
    paths = dict(zip(_PARTS, files, strict=True))
    visits = pl.concat([_visits(path, name) for name, path in paths.items()])
    clicks = visits.select("user_id", pl.col("pos").alias("item_id"), "time")
    clicks = clicks.explode("item_id").drop_nulls("item_id")
    impressions, histories = _impressions(visits), _histories(visits, paths)
    return Tables(
        items=_catalogue(_news(news), impressions, histories),
        interactions=clicks.with_row_index("row"),
        impressions=impressions,
        histories=histories,
    )


def _visits(path: Path, name: str) -> pl.DataFrame:
    """A row a visit: lists of ids (`clicked`, `pos`, `neg`) and of times (`exposed`)."""
    frame = read_delimited(
        path,
        dict.fromkeys(_VISIT, pl.String()),
        path=path,
        separator="\t",
        quote=None,
        needed=("UserID", "start"),
    )
    frame = frame.rename(_VISIT).with_row_index("visit", offset=1)
    ids = [pl.col(c).fill_null("").str.extract_all(r"\S+") for c in ("clicked", "pos", "neg")]
    texts = pl.col("exposed").fill_null("").str.split(_BREAK)
    visits = frame.with_columns(
        *ids,
        _moment(pl.col("time")),
        texts.list.filter(pl.element() != "").alias("exposed"),
        pl.lit(name).alias("file"),
    )
    shown = pl.col("pos").list.len() + pl.col("neg").list.len()
    for bad, what in (
        (pl.col("time").is_null(), f"start is not of the form {_CLOCK}"),
        (shown == 0, "nothing was shown"),
        (
            pl.col("clicked").list.len() != pl.col("exposed").list.len(),
            "not as many times as clicked news in the history",
        ),
    ):
        _refuse(visits.filter(bad), path, what)
    return visits


def _refuse(visits: pl.DataFrame, path: Path, what: str) -> None:
    if len(visits):
        raise bad_rows(path, (visits["visit"] + 1).to_list(), what)  # the header is row 1


def _moment(text: pl.Expr) -> pl.Expr:
    return text.str.to_datetime(_CLOCK, strict=False, time_unit="ms").cast(pl.Int64)


def _impressions(visits: pl.DataFrame) -> pl.DataFrame:
    """A row per news shown, clicked ones first; the order on the page is not known."""
    label = pl.concat_list(
        pl.lit(1, pl.Int8()).repeat_by(pl.col("pos").list.len()),
        pl.lit(0, pl.Int8()).repeat_by(pl.col("neg").list.len()),
    )
    lists = visits.select(
        pl.format("{}-{}", "file", "visit").alias("impression_id"),
        "user_id",
        pl.concat_list("pos", "neg").alias("item_id"),
        "time",
        label.alias("label"),
        pl.col("file").replace_strict(_PARTS).alias("part"),
    )
    return lists.explode("item_id", "label")


def _histories(visits: pl.DataFrame, paths: dict[str, Path]) -> pl.DataFrame:
    first = visits.sort("time", maintain_order=True).unique(
        "user_id", keep="first", maintain_order=True
    )
    clicked = first.explode("clicked", "exposed").drop_nulls("clicked")
    clicked = clicked.with_columns(_moment(pl.col("exposed")))
    for name, path in paths.items():
        bad = clicked.filter(pl.col("exposed").is_null(), pl.col("file") == name)
        bad = bad.unique("visit").sort("visit")
        _refuse(bad, path, f"exposure_time is not of the form {_CLOCK}")
    before = clicked.filter(pl.col("exposed") < pl.col("time"))
    return before.group_by("user_id", maintain_order=True).agg(pl.col("clicked").alias("item_ids"))


def _news(path: Path) -> pl.DataFrame:
    frame = read_delimited(
        path,
        dict.fromkeys(_NEWS, pl.String()),
        path=path,
        separator="\t",
        quote=None,
        needed=("News ID",),
    )
    return frame.rename(_NEWS)


def _catalogue(
    news: pl.DataFrame, impressions: pl.DataFrame, histories: pl.DataFrame
) -> pl.DataFrame:
    """All news with a record, in file order, then all that were only shown or in a history."""
    met = pl.concat([impressions["item_id"], histories["item_ids"].explode()])
    bare = met.drop_nulls().unique(maintain_order=True).to_frame("item_id")
    bare = bare.join(news, on="item_id", how="anti", maintain_order="left")
    return pl.concat([news, bare], how="diagonal")


PENS = Source(
    DatasetCard(
        name="pens",
        title="PENS (Microsoft News)",
        summary="500,000 visits to Microsoft News in 2019: news shown and clicked, with bodies.",
        source="https://msnews.github.io/pens.html",
        licence="Microsoft Research License Terms, as far as known; no redistribution",
        citation=(
            "Xiang Ao, Xiting Wang, Ling Luo, Ying Qiao, Qing He and Xing Xie. 2021. PENS: A "
            "Dataset and Generic Framework for Personalized News Headline Generation. ACL-IJCNLP. "
            "https://doi.org/10.18653/v1/2021.acl-long.7"
        ),
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("title", "body", "category", "topic"),
        files=(RawFile(path="news.tsv"), RawFile(path="train.tsv"), RawFile(path="valid.tsv")),
        known=Counts(items=113_762),
        about=Counts(users=445_000, items=113_762, interactions=1_000_000),
        seen_on="format",
        notes=(
            "Impressions of train.tsv are train and those of valid.tsv are test (column part); "
            "there is no valid part.",
            "A user with several visits has the history of the first one, less what was shown in "
            "it or later; what they clicked in it and after are interactions. RecBench takes the "
            "history of one of their visits for all.",
            "Interactions are clicks, at the start of their visit: within a visit they have one "
            "time, and the order in which the release has them.",
            "The zone of the times is not stated; they are taken as UTC.",
            "News that has no record stays in the catalogue, without text.",
        ),
    ),
    read,
)
