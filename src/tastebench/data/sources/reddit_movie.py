"""Reddit-Movie (He et al.) as the BLaIR benchmark asks it: what a post says, and the movies named.

Every row of the release is a turn of a conversation, with what was said before it. Kept are turns
of the test part that reply to the one who asks, got enough votes and name a movie. The pool is the
map of movies to titles.
"""

from __future__ import annotations

import ast
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, collect, need, read_json, scan_table
from tastebench.errors import DataError
from tastebench.files import parse_json

UPVOTES = 20
"""A turn needs more than these."""
_GROUP = "complex"
_MOVIE = "tt[0-9]{6,9}"
_TURN = ("conv_id", "turn_id")
_SAID = ("raw", "processed", "context_raw", "context_turn_ids")
_THREAD = pl.col("conv_id").cast(pl.String).str.replace("_[^_]*$", "").alias("thread")
"""A conversation is one branch below a post; without the last part of its id it is the post's."""


def read(raw: Path) -> Tables:
    """All movies with a title, and the turns kept; those that reply to one text are one query.

    Raises:
        DataError: A file is missing or not of its form, or no turn is kept.
    """
    *parts, names = (need(raw, file) for file in REDDIT_MOVIE.card.files)
    movies = _movies(names)
    turns = _replies(parts[-1], _asked(parts))
    turns = turns.unique(pl.concat_str("raw", "context_raw"), keep="first", maintain_order=True)
    turns = turns.with_columns(
        _texts(turns["context_raw"], turns["number"], parts[-1]),
        pl.col("processed").str.extract_all(_MOVIE).alias("item_id"),
    )
    pairs = (
        turns.select("text", pl.concat_str(_TURN, separator="-").alias("query_id"), "item_id")
        .explode("item_id")
        .join(movies, on="item_id", how="semi", maintain_order="left")
        .filter(pl.col("text") != "")
        .with_columns(pl.col("query_id").first().over("text"))
    )
    if pairs.is_empty():
        raise DataError(
            f"no turn with more than {UPVOTES} upvotes replies to a seeker and names a movie",
            where=str(parts[-1]),
            fix="check that the files are those of the original release",
        )
    return Tables(
        items=movies,
        queries=pairs.select("query_id", "text", pl.lit(_GROUP).alias("group")).unique(
            "query_id", keep="first", maintain_order=True
        ),
        relevance=pairs.select("query_id", "item_id").unique(maintain_order=True),
    )


def _movies(path: Path) -> pl.DataFrame:
    """Ids and titles, from a map of either into the other."""
    content = read_json(path)
    pairs = list(content.items()) if isinstance(content, dict) else []
    if pairs and not str(pairs[0][0]).startswith("tt"):
        pairs = [(item, title) for title, item in pairs]
    if not pairs or not all(isinstance(text, str) for pair in pairs for text in pair):
        raise bad_rows(path, [1], "no object of movies and their titles")
    schema = {"item_id": pl.String(), "title": pl.String()}
    return pl.DataFrame(pairs, schema=schema, orient="row").unique(
        "item_id", keep="first", maintain_order=True
    )


def _asked(parts: Sequence[Path]) -> pl.DataFrame:
    """The turns of those who ask, of all parts: thread and turn."""
    spoken = pl.col("is_seeker").cast(pl.String).str.to_lowercase().is_in(["true", "1"])
    found = []
    for path in parts:
        turns = scan_table(path, (*_TURN, "is_seeker")).filter(spoken)
        last = pl.col("turn_id").cast(pl.String).alias("last")
        found.append(collect(turns.select(_THREAD, last), path))
    return pl.concat(found).unique()


def _replies(path: Path, asked: pl.DataFrame) -> pl.DataFrame:
    """The turns that count, with their number in the file; what was said before as text."""
    turns = scan_table(path, (*_TURN, *_SAID, "upvotes")).with_row_index("number", offset=1)
    voted = turns.filter(
        pl.col("upvotes").cast(pl.Float64) > UPVOTES, pl.col("processed") != pl.col("raw")
    )
    frame = collect(voted.select("number", _THREAD, *_TURN, *_SAID), path)
    frame = frame.with_columns(
        pl.col(_TURN).cast(pl.String), *(_as_text(frame[c]) for c in _SAID[2:])
    )
    turn_ids = _lists(frame["context_turn_ids"], frame["number"], path)
    last = pl.Series("last", [str(ids[-1]) if ids else None for ids in turn_ids], dtype=pl.String)
    return frame.with_columns(last).join(
        asked, on=["thread", "last"], how="semi", maintain_order="left"
    )


def _texts(contexts: pl.Series, numbers: pl.Series, path: Path) -> pl.Series:
    """All turns before in one text; a turn is its words, or a pair of speaker and words."""
    texts = []
    for turns in _lists(contexts, numbers, path):
        words = (turn[-1] if isinstance(turn, list | tuple) and turn else turn for turn in turns)
        texts.append(" ".join(html.unescape(" ".join(map(str, words))).split()))
    return pl.Series("text", texts, dtype=pl.String)


def _lists(texts: pl.Series, numbers: Iterable[int], path: Path) -> list[list[Any]]:
    """Lists written as JSON or as Python; a missing one is empty."""
    lists = [[] if text is None else _literal(text) for text in texts]
    bad = [number for number, value in zip(numbers, lists, strict=True) if value is None]
    if bad:
        raise bad_rows(path, bad, f"{texts.name} is no list")
    return [value for value in lists if value is not None]


def _literal(text: str) -> list[Any] | None:
    try:
        value = parse_json(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def _as_text(column: pl.Series) -> pl.Series:
    """Lists as JSON, so that lists and texts of lists are read alike."""
    if column.dtype == pl.String:
        return column
    values = [None if value is None else json.dumps(value) for value in column.to_list()]
    return pl.Series(column.name, values, dtype=pl.String)


def _part(name: str, *others: str) -> RawFile:
    names = [f"{n}.{kind}" for n in (name, *others) for kind in ("csv", "parquet", "jsonl")]
    return RawFile(path=names[0], also=tuple(names[1:]))


REDDIT_MOVIE = Source(
    DatasetCard(
        name="blair/reddit-movie",
        title="Reddit-Movie complex movie search (BLaIR)",
        summary=(
            "Posts that ask for movies on Reddit, 2012 to 2022, and the movies named in answers "
            "that readers voted for: the test part of Reddit-Movie (large)."
        ),
        source="https://github.com/AaronHeee/LLMs-as-Zero-Shot-Conversational-RecSys",
        licence="research use, as its makers say; do not redistribute",
        citation=(
            "Zhankui He et al. 2023. Large Language Models as Zero-Shot Conversational "
            "Recommenders. arXiv:2308.10053."
        ),
        tasks=("search",),
        text_recipe="title-raw",
        files=(
            _part("train"),
            _part("valid", "validation"),
            _part("test"),
            RawFile(
                path="reddit_movie_id2name.json",
                also=("id2name.json", "entity2id.json", "reddit/entity2id.json"),
            ),
        ),
        seen_on="format",
        about=Counts(items=7_500),
        notes=(
            "A query is all that was said before a turn that replies to the seeker, has more than "
            f"{UPVOTES} upvotes and names a movie of the map; those movies are relevant.",
            "BLaIR takes every movie of every such turn for a query of its own; here turns that "
            "reply to the same text are one query with several right answers, and "
            "ndcg_pairwise@100 is the mean over its pairs. A movie that two answers name counts "
            "once.",
            "Movies that the query already names stay relevant and in the pool.",
            "The map of movies was read in the original, the turns in their format only.",
        ),
    ),
    read,
)
