"""Netflix Prize: 100 million ratings in whole stars, 1998-2005, as Kaggle's four combined files.

Ratings come in blocks: a line `movie:`, then a line `user,rating,date` for each. Titles are latin-1
and may hold commas, so that only the first two commas of a line separate.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import catalogue, need, read_text
from tastebench.data.sources.text_lines import collect_lines, refuse, scan_lines


def read(raw: Path) -> Tables:
    """All four files of ratings, in their order, and the titles of the movies rated.

    The files are read one after another, so that the lines of one at most are in memory.

    Raises:
        DataError: A file is missing or a line is not of its form; names the rows.
    """
    titles, *parts = (need(raw, file) for file in NETFLIX.card.files)
    interactions = pl.concat([_ratings(path) for path in parts]).with_row_index("row")
    return Tables(items=catalogue(interactions, _titles(titles)), interactions=interactions)


def _ratings(path: Path) -> pl.DataFrame:
    """user_id, item_id, rating and time (midnight UTC of the day) of every rating of a file."""
    movie = pl.col("line").str.extract(r"^(\d+):$", 1)
    field = pl.col("line").str.splitn(",", 3).struct
    date = field.field("field_2").str.to_date("%Y-%m-%d", strict=False)
    frame = collect_lines(
        scan_lines(path)
        .filter(pl.col("line").is_not_null())
        .with_columns(movie.alias("heading"), movie.forward_fill().alias("item_id"))
        .filter(pl.col("heading").is_null())
        .select(
            "number",
            field.field("field_0").alias("user_id"),
            "item_id",
            date.cast(pl.Datetime("ms")).cast(pl.Int64).alias("time"),
            field.field("field_1").cast(pl.Float64, strict=False).alias("rating"),
        ),
        path,
    )
    refuse(frame, pl.col("item_id").is_null(), path, "a rating before the first movie")
    unread = pl.any_horizontal(pl.col("time", "rating").is_null(), pl.col("user_id") == "")
    refuse(frame, unread, path, "not a user, a rating and a date")
    return frame.drop("number")


def _titles(path: Path) -> pl.DataFrame:
    """item_id, title and year (null where the file says NULL)."""
    lines = pl.DataFrame({"line": read_text(path, "latin-1").split("\n")})
    lines = lines.with_row_index("number", offset=1).filter(pl.col("line").str.strip_chars() != "")
    fields = pl.col("line").str.extract_groups(
        r"^(?<item_id>\d+),(?<year>\d{4}|NULL),(?<title>.*)$"
    )
    titles = lines.select("number", fields.alias("fields")).unnest("fields")
    refuse(titles, pl.col("item_id").is_null(), path, "not a number, a year and a title")
    return titles.select("item_id", "title", pl.col("year").replace("NULL", None).cast(pl.Int64))


_RATINGS = tuple(RawFile(path=f"combined_data_{number}.txt") for number in range(1, 5))

NETFLIX = Source(
    DatasetCard(
        name="netflix",
        title="Netflix Prize",
        summary="100 million ratings in whole stars of 17,770 movies and series, 1999-2005.",
        source="https://www.kaggle.com/datasets/netflix-inc/netflix-prize-data",
        licence=(
            "Netflix's terms: research use with acknowledgement; no redistribution and no "
            "commercial use without permission"
        ),
        citation="James Bennett and Stan Lanning. 2007. The Netflix Prize. KDD Cup and Workshop.",
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("title", "year"),
        files=(RawFile(path="movie_titles.csv"), *_RATINGS),
        known=Counts(users=480_189, items=17_770, interactions=100_480_507),
        seen_on="format",
        notes=(
            "Times are days. Within a day a user's ratings stand in the order of the movies' "
            "numbers, which is no order of time.",
            "All four files are read, and titles with commas are kept whole; RecBench's own "
            "preparation reads three files and drops these titles.",
            "Reading the whole takes 6 to 7 GB of memory.",
        ),
    ),
    read,
)
