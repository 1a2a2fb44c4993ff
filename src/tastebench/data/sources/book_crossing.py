"""Book-Crossing: books that a community read and rated, collected in 2004 by C.-N. Ziegler.

Two forms are read: the original dump (semicolons, quotation marks, backslash escapes, latin-1) and
Case Recommender's cleaned one (tabs, renumbered users, readers of 20 and books of 10 or more).
There are no times. A rating of 0 in the dump means "read, not rated" and becomes no rating.
"""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import (
    bad_rows,
    catalogue,
    find,
    need,
    read_delimited,
    read_text,
)

_URL = "http://www2.informatik.uni-freiburg.de/~cziegler/BX/BX-CSV-Dump.zip"
_NO_ORDER = pl.lit(0).alias("row")  # the files are sorted by user: their order is no history
_BOOK = {
    "ISBN": "item_id",
    "Book-Title": "title",
    "Book-Author": "author",
    "Year-Of-Publication": "year",
    "Publisher": "publisher",
}


def read(raw: Path) -> Tables:
    """Either form, told by the name of the file with the interactions."""
    path = need(raw, _RATINGS)
    return _read_dump(raw, path) if path.suffix == ".csv" else _read_cleaned(raw, path)


def _read_dump(raw: Path, path: Path) -> Tables:
    columns = {"User-ID": pl.String(), "ISBN": pl.String(), "Book-Rating": pl.Float64()}
    ratings = read_delimited(
        _unescaped(path), columns, path=path, separator=";", needed=list(columns)
    )
    interactions = ratings.select(
        pl.col("User-ID").alias("user_id"),
        pl.col("ISBN").alias("item_id"),
        pl.when(pl.col("Book-Rating") > 0).then("Book-Rating").alias("rating"),
        _NO_ORDER,
    )
    books = need(raw, _BOOKS)
    names = [*_BOOK, "Image-URL-S", "Image-URL-M", "Image-URL-L"]
    items = read_delimited(
        _unescaped(books),
        {name: pl.String() for name in names},
        path=books,
        separator=";",
        needed=("ISBN",),
    )
    people = find(raw, _PEOPLE)
    users = None if people is None else _read_people(_unescaped(people), people, ";", "NULL")
    return Tables(
        items=catalogue(interactions, _shifted(items).rename(_BOOK).select(_BOOK.values())),
        interactions=interactions,
        users=users,
    )


def _unescaped(path: Path) -> str:
    r"""The dump with `\"` as `""`, which is what CSV readers know, and `\\` as `\`."""
    text = read_text(path, "latin-1").replace("\\\\", "\x00").replace('\\"', '""')
    return text.replace("\x00", "\\")


def _shifted(books: pl.DataFrame) -> pl.DataFrame:
    """Mends the few rows whose title ran into its author, which moved all later fields left.

    In the dump their titles end in an escaped quotation mark, so that the separator after it reads
    as part of the title.
    """
    title = pl.col("Book-Title").str.splitn('";', 2)
    ran_on = pl.col("Image-URL-L").is_null() & pl.col("Book-Title").str.contains('";', literal=True)
    shifted = {
        "Book-Title": title.struct.field("field_0"),
        "Book-Author": title.struct.field("field_1"),
        "Year-Of-Publication": pl.col("Book-Author"),
        "Publisher": pl.col("Year-Of-Publication"),
    }
    return books.with_columns(
        pl.when(ran_on).then(new).otherwise(pl.col(name)).alias(name)
        for name, new in shifted.items()
    )


def _read_people(source: str, path: Path, separator: str, missing: str) -> pl.DataFrame:
    columns = {"User-ID": pl.String(), "Location": pl.String(), "Age": pl.String()}
    frame = read_delimited(source, columns, path=path, separator=separator, needed=("User-ID",))
    age = pl.when(pl.col("Age") != missing).then("Age").cast(pl.Int64, strict=False)
    return frame.select(
        pl.col("User-ID").alias("user_id"), pl.col("Location").alias("location"), age.alias("age")
    )


def _read_cleaned(raw: Path, path: Path) -> Tables:
    columns: dict[str, pl.DataType] = {"user": pl.String(), "item": pl.String()}
    history = read_delimited(path, columns, path=path, separator="\t", needed=list(columns))
    rated = find(raw, _CLEANED_RATINGS)
    if rated is None:
        history = history.with_columns(pl.lit(None, dtype=pl.Float64).alias("rating"))
    else:
        columns |= {"rating": pl.Float64()}
        ratings = read_delimited(rated, columns, path=rated, separator="\t", needed=list(columns))
        history = history.join(ratings, on=["user", "item"], how="left", maintain_order="left")
    interactions = history.select(
        pl.col("user").alias("user_id"), pl.col("item").alias("item_id"), "rating", _NO_ORDER
    )
    people = find(raw, _PEOPLE)
    users = None
    if people is not None:
        # Every row but the header ends in a tab.
        rows = re.sub(r"\t$", "", read_text(people), flags=re.MULTILINE)
        users = _read_people(rows, people, "\t", "NULL")
    return Tables(
        items=catalogue(interactions, _read_cleaned_books(need(raw, _BOOKS))),
        interactions=interactions,
        users=users,
    )


def _read_cleaned_books(path: Path) -> pl.DataFrame:
    """The books, with the semicolons put back that the cleaning made into tabs.

    They stood in `&amp;` and in titles. What follows the title is told by its form: a year, a
    publisher and an address.
    """
    text = re.sub(r"&(#?\w+)\t", r"&\1;", read_text(path))
    rows = pl.DataFrame({"line": text.split("\n")[1:]}).with_row_index("number", offset=2)
    rows = rows.filter(pl.col("line") != "")
    fields = pl.col("line").str.extract_groups(
        r"^(?<item_id>\d+)\t(?<isbn>\S+)\t(?<title>.*)\t(?<author>[^\t]*)\t(?<year>\d{1,4})\t"
        r"(?<publisher>[^\t]*)\thttp"
    )
    books = rows.with_columns(fields.alias("fields")).unnest("fields")
    bad = books.filter(pl.col("item_id").is_null())["number"].to_list()
    if bad:
        raise bad_rows(path, bad, "not the fields of a book")
    return books.drop("number", "line").with_columns(
        pl.col("title").str.replace_all("\t", ";", literal=True)
    )


def _dumped(name: str, cleaned: str, required: bool = True) -> RawFile:
    return RawFile(
        path=f"BX-{name}.csv",
        also=(f"book_crossing/{cleaned}.dat", f"{cleaned}.dat"),
        url=_URL,
        unpack=True,
        required=required,
    )


_RATINGS = _dumped("Book-Ratings", "book_history")
_BOOKS = _dumped("Books", "items_info")
_PEOPLE = _dumped("Users", "users_info", required=False)
_CLEANED_RATINGS = RawFile(
    path="book_ratings.dat", also=("book_crossing/book_ratings.dat",), required=False
)

BOOK_CROSSING = Source(
    DatasetCard(
        name="book-crossing",
        title="Book-Crossing",
        summary="What readers of a book-sharing community read and partly rated, 2004; no times.",
        source="http://www2.informatik.uni-freiburg.de/~cziegler/BX/",
        licence="free for research with acknowledgement",
        citation=(
            "Cai-Nicolas Ziegler, Sean M. McNee, Joseph A. Konstan and Georg Lausen. 2005. "
            "Improving Recommendation Lists Through Topic Diversification. WWW."
        ),
        tasks=("cf",),
        text_columns=("title", "author", "publisher"),
        splits={"cf": SplitSpec(kind="random", ratios=(0.4, 0.3, 0.3), by="user", seed=101)},
        files=(_RATINGS, _BOOKS, _PEOPLE, _CLEANED_RATINGS),
        known=Counts(users=105_283, items=340_556, interactions=1_149_780),
        seen_on="real",
        notes=(
            "Known counts are those of the original dump; Case Recommender's cleaned form has "
            "2,946 readers, 17,384 books and 272,678 interactions.",
            "The dump was read in its format, the cleaned form in the original.",
            "Books that were rated but are not described stay in the catalogue, without text.",
        ),
    ),
    read,
)
