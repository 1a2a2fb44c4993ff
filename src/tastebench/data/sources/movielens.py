"""MovieLens: 100K, 1M, latest-small and latest (GroupLens).

Ratings are kept as they are, all of them as interactions: the sequential and collaborative
literature counts every rating as a visit. Titles keep their year. Times are UTC seconds.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import (
    catalogue,
    find,
    milliseconds,
    need,
    read_delimited,
    read_text,
)

_SITE = "https://files.grouplens.org/datasets/movielens"
_LICENCE = (
    "GroupLens terms: research use with acknowledgement; no redistribution and no commercial use "
    "without permission"
)
_CITATION = (
    "F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. "
    "ACM Transactions on Interactive Intelligent Systems 5, 4, Article 19. "
    "https://doi.org/10.1145/2827872"
)
_GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)


def _archived(
    archive: str, names: tuple[str, ...], sha256: str | None, size: int | None
) -> tuple[RawFile, ...]:
    """Files of one zip; all are needed."""
    url = f"{_SITE}/{archive}.zip"
    return tuple(
        RawFile(path=name, url=url, sha256=sha256, bytes=size, unpack=True) for name in names
    )


def _ratings(user: pl.DataFrame) -> pl.DataFrame:
    return user.with_columns(milliseconds()).with_row_index("row")


def read_100k(raw: Path) -> Tables:
    """u.data (tab), u.item (pipe, latin-1, 19 genre flags), u.user (pipe)."""
    ratings, movies, people = (need(raw, file) for file in ML_100K.card.files)
    interactions = _ratings(
        read_delimited(
            ratings, _RATINGS, path=ratings, separator="\t", header=False, needed=list(_RATINGS)
        )
    )
    about = {"item_id": pl.String(), "title": pl.String(), "release_date": pl.String()}
    rest = {name: pl.String() for name in ("video_date", "imdb_url", *_GENRES_100K)}
    items = read_delimited(
        read_text(movies, "latin-1"),
        about | rest,
        path=movies,
        separator="|",
        header=False,
        quote=None,
        needed=("item_id",),
    )
    flags = [pl.when(pl.col(g) == "1").then(pl.lit(g)) for g in _GENRES_100K]
    genres = pl.concat_list(flags).list.drop_nulls().alias("genres")
    users = read_delimited(
        people,
        {
            "user_id": pl.String(),
            "age": pl.Int64(),
            "gender": pl.String(),
            "occupation": pl.String(),
            "zip_code": pl.String(),
        },
        path=people,
        separator="|",
        header=False,
        needed=("user_id",),
    )
    return Tables(
        items=catalogue(interactions, items.select(*about, genres)),
        interactions=interactions,
        users=users,
    )


def read_1m(raw: Path) -> Tables:
    """ratings.dat, movies.dat and users.dat: fields between double colons, latin-1, no header."""
    ratings, movies, people = (need(raw, file) for file in ML_1M.card.files)
    interactions = _ratings(_double_colon(ratings, _RATINGS, needed=tuple(_RATINGS)))
    items = _double_colon(
        movies,
        {"item_id": pl.String(), "title": pl.String(), "genres": pl.String()},
        needed=("item_id",),
    )
    users = _double_colon(
        people,
        {
            "user_id": pl.String(),
            "gender": pl.String(),
            "age": pl.Int64(),  # the lower end of the age group
            "occupation": pl.String(),
            "zip_code": pl.String(),
        },
        needed=("user_id",),
    )
    return Tables(
        items=catalogue(interactions, items.with_columns(_split_genres())),
        interactions=interactions,
        users=users,
    )


def read_latest(raw: Path) -> Tables:
    """ratings.csv and movies.csv with headers; tags.csv adds the tags given to each movie."""
    files = ML_LATEST.card.files  # both releases have the same names
    ratings, movies, tags = need(raw, files[0]), need(raw, files[1]), find(raw, files[2])
    names = {"userId": "user_id", "movieId": "item_id", "timestamp": "time"}
    columns = {
        "userId": pl.String(),
        "movieId": pl.String(),
        "rating": pl.Float64(),
        "timestamp": pl.Int64(),
    }
    frame = read_delimited(ratings, columns, path=ratings, needed=list(columns))
    interactions = _ratings(frame.rename(names))
    items = read_delimited(
        movies,
        {"movieId": pl.String(), "title": pl.String(), "genres": pl.String()},
        path=movies,
        needed=("movieId",),
    )
    items = items.rename({"movieId": "item_id"}).with_columns(_split_genres())
    if tags is not None:
        items = items.join(_tags(tags), on="item_id", how="left", maintain_order="left")
    return Tables(items=catalogue(interactions, items), interactions=interactions)


_RATINGS = {
    "user_id": pl.String(),
    "item_id": pl.String(),
    "rating": pl.Float64(),
    "time": pl.Int64(),
}


def _double_colon(
    path: Path, columns: dict[str, pl.DataType], needed: tuple[str, ...]
) -> pl.DataFrame:
    # Polars takes separators of one character; the unit separator occurs in no file of these.
    text = read_text(path, "latin-1").replace("::", "\x1f")
    return read_delimited(
        text, columns, path=path, separator="\x1f", header=False, quote=None, needed=needed
    )


def _split_genres() -> pl.Expr:
    none = pl.col("genres") == "(no genres listed)"
    listed = pl.col("genres").fill_null("").str.split("|").list.filter(pl.element() != "")
    return (
        pl.when(none).then(pl.lit([], dtype=pl.List(pl.String))).otherwise(listed).alias("genres")
    )


def _tags(path: Path) -> pl.DataFrame:
    """Each movie's distinct tags in lower case, the most frequent first, ties by alphabet."""
    columns = {"movieId": pl.String(), "tag": pl.String()}
    frame = read_delimited(path, columns, path=path, needed=("movieId",)).drop_nulls()
    counts = frame.with_columns(pl.col("tag").str.to_lowercase()).group_by("movieId", "tag").len()
    ordered = counts.sort(["len", "tag"], descending=[True, False])
    grouped = ordered.group_by("movieId", maintain_order=True).agg(pl.col("tag").alias("tags"))
    return grouped.rename({"movieId": "item_id"})


_SEQUENCES = SplitSpec(kind="last_out")

ML_100K = Source(
    DatasetCard(
        name="movielens-100k",
        title="MovieLens 100K",
        summary="100,000 ratings of 1,682 movies by 943 people, 1997-1998, each with 20 or more.",
        source="https://grouplens.org/datasets/movielens/100k/",
        licence=_LICENCE,
        citation=_CITATION,
        splits={"seqrec": _SEQUENCES, "cf": SplitSpec(kind="random", ratios=(0.8, 0.1, 0.1))},
        files=_archived(
            "ml-100k",
            ("u.data", "u.item", "u.user"),
            "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
            4_924_029,
        ),
        known=Counts(users=943, items=1_682, interactions=100_000),
        seen_on="real",
    ),
    read_100k,
)

ML_1M = Source(
    DatasetCard(
        name="movielens-1m",
        title="MovieLens 1M",
        summary="1,000,209 ratings of 3,706 movies by 6,040 people, 2000-2003.",
        source="https://grouplens.org/datasets/movielens/1m/",
        licence=_LICENCE,
        citation=_CITATION,
        splits={
            "seqrec": _SEQUENCES,
            "cf": SplitSpec(kind="random", ratios=(0.4, 0.3, 0.3), by="user", seed=101),
        },
        history_length=200,
        files=_archived(
            "ml-1m",
            ("ratings.dat", "movies.dat", "users.dat"),
            "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
            None,
        ),
        known=Counts(users=6_040, items=3_706, interactions=1_000_209),
        seen_on="format",
        notes=(
            "The catalogue is the 3,706 rated movies of the 3,883 in movies.dat.",
            "movies.dat and users.dat were read in the original, ratings.dat in its format only.",
        ),
    ),
    read_1m,
)

ML_LATEST_SMALL = Source(
    DatasetCard(
        name="movielens-latest-small",
        title="MovieLens latest-small (2018-09)",
        summary="100,836 ratings in half stars of 9,724 movies by 610 people, with free-text tags.",
        source="https://grouplens.org/datasets/movielens/latest/",
        licence=_LICENCE,
        citation=_CITATION,
        splits={"seqrec": _SEQUENCES, "cf": SplitSpec(kind="random", ratios=(0.8, 0.1, 0.1))},
        files=_archived(
            "ml-latest-small",
            ("ratings.csv", "movies.csv", "tags.csv"),
            "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
            None,
        ),
        known=Counts(users=610, items=9_724, interactions=100_836),
        seen_on="real",
        notes=("The catalogue is the 9,724 rated movies of the 9,742 in movies.csv.",),
    ),
    read_latest,
)

ML_LATEST = Source(
    DatasetCard(
        name="movielens-latest",
        title="MovieLens latest",
        summary="All ratings to date, in half stars; GroupLens replaces it from time to time.",
        source="https://grouplens.org/datasets/movielens/latest/",
        licence=_LICENCE,
        citation=_CITATION,
        splits={"seqrec": _SEQUENCES, "cf": SplitSpec(kind="random", ratios=(0.8, 0.1, 0.1))},
        files=_archived("ml-latest", ("ratings.csv", "movies.csv", "tags.csv"), None, None),
        seen_on="format",
        notes=("The release changes under the same address: quote the fingerprint with a result.",),
    ),
    read_latest,
)
