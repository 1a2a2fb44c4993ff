"""H&M: two years of purchases in a fashion shop, with descriptions of the articles (Kaggle, 2022).

Article numbers have ten digits and begin with 0 in the release. Copies that went through software
which takes them for numbers have lost that zero, in all files or in some; here they get it back, so
that ids agree between files and between copies.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, catalogue, find, need, read_delimited

_DIGITS = 10
_PURCHASE = {
    "t_dat": pl.String(),
    "customer_id": pl.String(),
    "article_id": pl.String(),
    "price": pl.Float64(),
    "sales_channel_id": pl.Int64(),
}
_ARTICLE = {
    "prod_name": "title",
    "detail_desc": "description",
    "product_code": "product_code",
    "product_type_name": "product_type_name",
    "product_group_name": "product_group_name",
    "graphical_appearance_name": "graphical_appearance_name",
    "colour_group_name": "colour_group_name",
    "department_name": "department_name",
    "index_name": "index_name",
    "section_name": "section_name",
    "garment_group_name": "garment_group_name",
}
"""Columns of articles.csv, and what they are called here."""


def read(raw: Path) -> Tables:
    """All purchases, the articles that somebody bought, and the customers where that file is."""
    path = need(raw, _TRANSACTIONS)
    frame = read_delimited(
        path, _PURCHASE, path=path, needed=("t_dat", "customer_id", "article_id")
    )
    frame = _with_article_id(frame, path)
    day = pl.col("t_dat").str.to_datetime("%Y-%m-%d", strict=False, time_unit="ms")
    interactions = frame.select(
        pl.col("customer_id").alias("user_id"),
        "item_id",
        day.dt.timestamp("ms").alias("time"),
        "price",
        "sales_channel_id",
    ).with_row_index("row")
    undated = interactions["time"].is_null().arg_true()
    if len(undated):
        raise bad_rows(path, (undated + 2).to_list(), "t_dat is not YYYY-MM-DD")
    people = find(raw, _CUSTOMERS)
    return Tables(
        items=catalogue(interactions, _articles(need(raw, _ARTICLES))),
        interactions=interactions,
        users=None if people is None else _customers(people),
    )


def _with_article_id(frame: pl.DataFrame, path: Path) -> pl.DataFrame:
    """With `item_id`, the article's number with all its digits.

    Raises:
        DataError: Something is no number of an article; names the rows.
    """
    bad = (~frame["article_id"].str.contains(rf"^\d{{1,{_DIGITS}}}$")).arg_true()
    if len(bad):
        what = f"article_id is not a number of at most {_DIGITS} digits"
        raise bad_rows(path, (bad + 2).to_list(), f"{what} ({frame['article_id'][bad[0]]!r})")
    return frame.with_columns(pl.col("article_id").str.zfill(_DIGITS).alias("item_id"))


def _articles(path: Path) -> pl.DataFrame:
    columns = {name: pl.String() for name in ("article_id", *_ARTICLE)}
    frame = read_delimited(path, columns, path=path, needed=("article_id",))
    texts = (
        pl.when(pl.col(name).str.strip_chars() != "").then(name).alias(ours)
        for name, ours in _ARTICLE.items()
    )
    return _with_article_id(frame, path).select("item_id", *texts)


def _customers(path: Path) -> pl.DataFrame:
    """`fashion_news`: they get the newsletter; `active`: they may be written to."""
    columns = {
        "customer_id": pl.String(),
        "FN": pl.Float64(),
        "Active": pl.Float64(),
        "club_member_status": pl.String(),
        "fashion_news_frequency": pl.String(),
        "age": pl.Float64(),
    }
    frame = read_delimited(path, columns, path=path, needed=("customer_id",))
    return frame.select(
        pl.col("customer_id").alias("user_id"),
        pl.col("age").cast(pl.Int64),
        "club_member_status",
        "fashion_news_frequency",
        # Both are 1 or empty in the release.
        (pl.col("FN").fill_null(0) == 1).alias("fashion_news"),
        (pl.col("Active").fill_null(0) == 1).alias("active"),
    )


_TRANSACTIONS = RawFile(path="transactions_train.csv", also=("transactions_train.csv.gz",))
_ARTICLES = RawFile(path="articles.csv", also=("articles.csv.gz",))
_CUSTOMERS = RawFile(path="customers.csv", also=("customers.csv.gz",), required=False)

HM = Source(
    DatasetCard(
        name="hm",
        title="H&M purchases",
        summary=(
            "What 1.4 million people bought from H&M in two years to September 2020, day by day, "
            "with names, kinds, colours and descriptions of the articles."
        ),
        source="https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations",
        licence="Kaggle competition rules: non-commercial use; do not redistribute",
        citation=(
            "Carlos Garcia Ling et al. 2022. H&M Personalized Fashion Recommendations. Kaggle. "
            "https://kaggle.com/competitions/h-and-m-personalized-fashion-recommendations"
        ),
        tasks=("seqrec", "cf", "ctr"),
        text_columns=(
            "title",
            "description",
            "product_type_name",
            "product_group_name",
            "graphical_appearance_name",
            "colour_group_name",
            "department_name",
            "index_name",
            "section_name",
            "garment_group_name",
        ),
        text_recipe="title+description",
        files=(_TRANSACTIONS, _ARTICLES, _CUSTOMERS),
        known=Counts(users=1_362_281, items=104_547, interactions=31_788_324),
        seen_on="real",
        notes=(
            "Read in the original were one day's first 10,000 purchases, with their articles and "
            "some customers; the whole has the same format.",
            "`title` is prod_name and `description` is detail_desc; some articles have none.",
            "Article numbers that lost their leading 0 get it back: ids have ten digits.",
            "The catalogue is the 104,547 articles that were bought of the 105,542 in "
            "articles.csv; articles differ in colour where products are the same (product_code).",
            "Times have the resolution of a day; within a day the order of the file counts.",
            "An article that was bought twice has two rows, also within a day.",
        ),
    ),
    read,
)
