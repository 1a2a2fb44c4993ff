"""CoLLM's click set of MovieLens 1M: its last ratings as clicks, in three parts by time.

CoLLM numbers users and movies anew; movies keep their titles, which are unique in MovieLens 1M, so
that `movies.dat` can add genres. What is read are the release's three tables as JSON lines: the
release itself has them as pickles, which are not opened here.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import PARTS, Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import (
    bad_rows,
    catalogue,
    find,
    lines,
    milliseconds,
    need,
    read_delimited,
    read_json_lines,
    read_text,
)

_ROW: dict[str, pl.DataType] = {
    "uid": pl.Int64(),
    "iid": pl.Int64(),
    "label": pl.Int64(),
    "timestamp": pl.Int64(),
}


def read(raw: Path) -> Tables:
    """The rows of train, valid and test as labelled interactions, and their parts as the split.

    Raises:
        DataError: A file is missing or a row is not of its form; names the rows.
    """
    *parts, titles, genres = COLLM.card.files
    shown = pl.concat(
        [_rows(need(raw, file), part) for part, file in zip(PARTS, parts, strict=True)]
    )
    interactions = shown.drop("part").with_row_index("row")
    items = _titles(need(raw, titles))
    described = find(raw, genres)
    if described is not None:
        items = items.join(_genres(described), on="title", how="left", maintain_order="left")
    return Tables(
        items=catalogue(interactions, items),
        interactions=interactions,
        split=shown.select("user_id", "item_id", "part"),
    )


def _rows(path: Path, part: str) -> pl.DataFrame:
    frame = read_json_lines(path, _ROW, needed=tuple(_ROW))
    bad = (~frame["label"].is_in([0, 1])).arg_true()
    if len(bad):
        numbers = [number for number, _ in lines(path)]
        raise bad_rows(path, [numbers[row] for row in bad], "label is neither 0 nor 1")
    return frame.select(
        pl.col("uid").cast(pl.String).alias("user_id"),
        pl.col("iid").cast(pl.String).alias("item_id"),
        milliseconds("timestamp"),
        "label",
        pl.lit(part).alias("part"),
    )


def _titles(path: Path) -> pl.DataFrame:
    columns = {"iid": pl.String(), "title": pl.String()}
    frame = read_delimited(
        path, columns, path=path, separator="\t", quote=None, needed=("iid", "title")
    )
    return frame.rename({"iid": "item_id"})


def _genres(path: Path) -> pl.DataFrame:
    """Titles and genres from MovieLens 1M's `number::title::genre|genre`."""
    movies = pl.DataFrame({"line": read_text(path, "latin-1").split("\n")})
    movies = movies.with_row_index("number", offset=1).filter(pl.col("line") != "")
    fields = pl.col("line").str.extract_groups(r"^\d+::(?<title>.+)::(?<genres>.*)$")
    movies = movies.select("number", fields.alias("fields")).unnest("fields")
    bad = movies.filter(pl.col("title").is_null())["number"].to_list()
    if bad:
        raise bad_rows(path, bad, "not the fields of a movie")
    genres = pl.col("genres").str.split("|").list.filter(pl.element() != "")
    return movies.select("title", genres).unique("title", keep="first", maintain_order=True)


_PARTS = tuple(RawFile(path=f"collm_{part}.jsonl", also=(f"{part}.jsonl",)) for part in PARTS)

COLLM = Source(
    DatasetCard(
        name="collm-movielens",
        title="MovieLens 1M as CoLLM's click set",
        summary="51,623 ratings of 3,255 movies by 838 people, 2001-2003, as clicks with a split.",
        source="https://github.com/zyang1580/CoLLM",
        licence=(
            "GroupLens terms: research use with acknowledgement; no redistribution and no "
            "commercial use without permission"
        ),
        citation=(
            "Yang Zhang et al. 2023. CoLLM: Integrating Collaborative Embeddings into Large "
            "Language Models for Recommendation. arXiv:2310.19488. F. Maxwell Harper and Joseph A. "
            "Konstan. 2015. The MovieLens Datasets: History and Context. ACM TiiS 5, 4, Article 19."
        ),
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("title", "genres"),
        files=(
            *_PARTS,
            RawFile(path="collm_item_titles.tsv", also=("item_titles.tsv",)),
            RawFile(path="movies.dat", required=False),
        ),
        known=Counts(users=838, items=3_255, interactions=51_623),
        seen_on="real",
        notes=(
            "Each table of the release as JSON lines with uid, iid, label, timestamp (seconds) and "
            "his, and the titles as a table of iid and title.",
            "A label of 1 is a rating above 3, as the paper says; the ratings are not in the set.",
            "The parts follow each other in time: train to 2002-03-31, valid to 2002-08-31.",
            "The histories that the release gives (his) are not read: without the 0 that begins "
            "each they equal, in all 51,623 rows, the user's rows with label 1 that come before in "
            "the order of time and row over all three parts. In 21.0 % of the rows that takes in "
            "some of the same second.",
            "CoLLM numbers people anew: users.dat of MovieLens 1M does not say who is who.",
        ),
    ),
    read,
)
