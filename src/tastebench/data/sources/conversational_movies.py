"""ReDial and INSPIRED test dialogues: which movie does the recommender name next?

The rules are those that the BLaIR benchmark makes Reddit-Movie by, as far as the data allow: the
query is everything said before the recommender's turn, the relevant items are the movies named in
it. Turns with nothing said before them are left out. ReDial's dialogues are kept with the titles
that stood in them, INSPIRED's movies are links into DBpedia.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl

from tastebench.data.card import DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, need, read_json, read_json_lines
from tastebench.errors import DataError

_GROUP = "complex"
_YEAR = re.compile(r" \((\d{4})\)$")
_DATED = re.compile(r"\((?:18|19|20)\d\d\)")
_LONGEST = 200  # characters that a title may have
_LINKED = re.compile(r"(.*?)(?: \((?:(\d{4}) )?[^()]*\bfilm\))?")

_TURNS: dict[str, pl.DataType] = {
    "dialog_id": pl.String(),
    "turn_id": pl.String(),
    "context": pl.List(pl.String()),
    "resp": pl.String(),
    "rec": pl.List(pl.Int64()),
    "entity_name": pl.List(pl.String()),
}


@dataclass(frozen=True)
class _Turn:
    """A recommender's turn: what was said before, and the items it names."""

    query_id: str
    text: str
    response: str
    items: tuple[str, ...]


def read(raw: Path) -> Tables:
    """The movies with a record, then those that only INSPIRED's links name; both corpora's turns.

    Raises:
        DataError: A file is missing or not of its form.
    """
    redial, inspired, links, records = (need(raw, f) for f in MOVIES.card.files)
    movies, ids = _movies(records)
    turns = list(_redial(redial, ids))
    linked = _links(links, ids)
    turns += _inspired(inspired, linked)
    named = {item for turn in turns for item in turn.items}
    bare = {item: title for item, title in linked.values() if item in named}
    known = set(movies["item_id"])
    rest = pl.DataFrame(
        [(item, title) for item, title in bare.items() if item not in known],
        schema={"item_id": pl.String, "title": pl.String},
        orient="row",
    )
    frame = pl.DataFrame(
        [(t.query_id, t.text, t.response, list(t.items)) for t in turns if t.text and t.items],
        schema={
            "query_id": pl.String,
            "text": pl.String,
            "response": pl.String,
            "item_id": pl.List(pl.String),
        },
        orient="row",
    ).unique(["text", "response"], keep="first", maintain_order=True)
    return Tables(
        items=pl.concat([movies, rest], how="diagonal"),
        queries=frame.select("query_id", "text", pl.lit(_GROUP).alias("group")),
        relevance=frame.select("query_id", "item_id").explode("item_id"),
    )


# ------------------------------------------------------------------------------------- movies


def _movies(path: Path) -> tuple[pl.DataFrame, dict[str, str]]:
    """The movies with a record, one item each, and the item of each of their names.

    Two records are one movie if they have the same IMDb id and the same title but for the year; the
    one with the year is kept. The IMDb ids alone cannot say so: some are of another movie.
    """
    content = read_json(path)
    try:
        frame = pl.DataFrame(
            [
                (number, *(record[key] for key in ("name", "plot", "imdb_id", "genre", "director")))
                for number, record in content.items()
            ],
            schema={
                "item_id": pl.String,
                "title": pl.String,
                "description": pl.String,
                "imdb_id": pl.String,
                "genres": pl.List(pl.String),
                "directors": pl.List(pl.String),
            },
            orient="row",
        )
    except (AttributeError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"a record is not of a movie with name, plot, imdb_id, genre and director ({error})",
            where=str(path),
            fix="get the original file again",
        ) from error
    frame = frame.with_columns(
        pl.col("description").replace("", None),
        pl.col("title").str.to_lowercase().str.replace(_YEAR.pattern, "").alias("bare"),
        pl.col("title").str.contains(_YEAR.pattern).alias("dated"),
    )
    movie = ["imdb_id", "bare"]
    first = pl.col("item_id").sort_by("dated", descending=True, maintain_order=True).first()
    frame = frame.with_columns(first.over(movie).alias("kept"))
    kept = frame.filter(pl.col("item_id") == pl.col("kept")).drop("bare", "dated", "kept")
    return kept, dict(zip(frame["title"], frame["kept"], strict=True))


def _links(path: Path, ids: dict[str, str]) -> dict[int, tuple[str, str]]:
    """INSPIRED's numbers to item and title: a movie with a record where exactly one fits."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise bad_rows(path, [1], "no object of links")
    exact: dict[str, str] = {}
    bare: dict[str, set[str]] = {}
    for name, item in ids.items():
        exact[name.casefold()] = item
        bare.setdefault(_YEAR.sub("", name).casefold(), set()).add(item)
    linked = {}
    for link, number in content.items():
        name = unquote(link.strip("<>").rpartition("/resource/")[2]).replace("_", " ")
        found = _LINKED.fullmatch(name)
        assert found is not None  # the first group takes anything
        title, year = found.groups()
        if year is not None:
            title = f"{title} ({year})"
            fits = {exact[title.casefold()]} if title.casefold() in exact else set()
        else:
            fits = bare.get(title.casefold(), set())
        item = next(iter(fits)) if len(fits) == 1 else f"inspired-{number}"
        linked[number] = (item, title)
    return linked


# -------------------------------------------------------------------------------------- turns


def _redial(path: Path, ids: dict[str, str]) -> Iterator[_Turn]:
    """Movies are the titles with a year in the turn.

    Where ReDial counts more movies than that, names of the turn that are a title without a year are
    taken too; elsewhere they are words such as "It".
    """
    for row in _rows(path):
        names = list(dict.fromkeys(_dated_titles(row["resp"], ids)))
        if len(names) < len(row["rec"]):
            names += [n for n in row["entity_name"] if n in ids and not _YEAR.search(n)]
        yield _turn("redial", row, (ids[name] for name in names))


def _inspired(path: Path, linked: dict[int, tuple[str, str]]) -> Iterator[_Turn]:
    for row in _rows(path):
        unknown = [number for number in row["rec"] if number not in linked]
        if unknown:
            raise DataError(
                f"movie {unknown[0]} of turn {row['turn_id']} is not among the links",
                where=str(path),
                fix="take both files from the same release",
            )
        yield _turn("inspired", row, (linked[number][0] for number in row["rec"]))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    return read_json_lines(path, _TURNS, needed=tuple(_TURNS)).iter_rows(named=True)


def _turn(corpus: str, row: dict[str, Any], items: Iterable[str]) -> _Turn:
    return _Turn(
        query_id=f"{corpus}-{row['dialog_id']}-{row['turn_id']}",
        text=" ".join(html.unescape(" ".join(row["context"])).split()),
        response=row["resp"],
        items=tuple(dict.fromkeys(items)),
    )


def _dated_titles(text: str, known: Iterable[str]) -> Iterator[str]:
    """The known title that ends at each year in parentheses, the longest where several do."""
    for year in _DATED.finditer(text):
        starts = range(max(0, year.start() - _LONGEST), year.start())
        words = (s for s in starts if s == 0 or not text[s - 1].isalnum())
        titles = (text[s : year.end()] for s in words)
        yield from [title for title in titles if title in known][:1]


# --------------------------------------------------------------------------------------- card

_DIALOGUES = (
    "https://github.com/AaronHeee/LLMs-as-Zero-Shot-Conversational-RecSys/raw/"
    "5a52caa19cd514f8d39811483c41e43107d5927f/data"
)
_RECORDS = (
    "https://github.com/RUCAIBox/iEvaLM-CRS/raw/162e2f442fb0799550af587dce0285a2d5ca897f/"
    "data/redial"
)

MOVIES = Source(
    DatasetCard(
        name="conversational-movies",
        title="Conversational movie search (ReDial, INSPIRED)",
        summary=(
            "What people said to a recommender of movies, and the movies named in answer: the test "
            "dialogues of two corpora over 6,500 movies."
        ),
        source="https://github.com/AaronHeee/LLMs-as-Zero-Shot-Conversational-RecSys",
        licence=(
            "ReDial: CC BY 4.0; INSPIRED: released for research; movie records (iEvaLM-CRS, from "
            "IMDb): none stated"
        ),
        citation=(
            "Zhankui He et al. 2023. Large Language Models as Zero-Shot Conversational "
            "Recommenders. arXiv:2308.10053. Raymond Li et al. 2018. Towards Deep Conversational "
            "Recommendations. arXiv:1812.07617. Shirley Anugrah Hayati et al. 2020. INSPIRED: "
            "Toward Sociable Recommendation Dialog Systems. arXiv:2009.14306. Xiaolei Wang et al. "
            "2023. Rethinking the Evaluation for Conversational Recommendation in the Era of Large "
            "Language Models. arXiv:2305.13112."
        ),
        tasks=("search",),
        text_columns=("title", "description"),
        text_recipe="title-raw",
        files=(
            RawFile(
                path="redial/test.jsonl",
                url=f"{_DIALOGUES}/redial/test.jsonl",
                sha256="11e07db4b9178bd778669baf8be02aa4b3e20291cce6a3a89bc510dc9ecb063b",
                bytes=3_541_940,
            ),
            RawFile(
                path="inspired/test.jsonl",
                url=f"{_DIALOGUES}/inspired/test.jsonl",
                sha256="7b81199fcda6c71ac6efe15c7dc69c5dea43d164d0f05ee49a8015c5c8371bac",
                bytes=438_868,
            ),
            RawFile(
                path="inspired/entity2id.json",
                url=f"{_DIALOGUES}/inspired/entity2id.json",
                sha256="6ea0f59be9da55a78e2b48eff35928bf62a7232d143eb905d350ed38268583d2",
                bytes=1_060_452,
            ),
            RawFile(
                path="ievalm_redial_id2info.json",
                also=("id2info.json",),
                url=f"{_RECORDS}/id2info.json",
                sha256="7bdfe9a9c7f1b4d59aa9a5aeba0029071fd5a7232b61c8257212a335ffe424f7",
                bytes=2_745_351,
            ),
        ),
        seen_on="real",
        notes=(
            "A query is all that was said before one turn of the recommender; the turn's movies "
            "are relevant. Query ids begin with redial- or inspired-.",
            "Made by the rules of BLaIR's Reddit-Movie, but for upvotes, which a dialogue does not "
            "have. Speakers alternate, so the last words before a turn are the seeker's; the "
            "labels User and System in ReDial's prompts are not used, since they are swapped where "
            "the recommender speaks first. Turns that open a dialogue are left out.",
            "Movies that the query already names stay relevant and in the pool.",
            "ReDial: a movie is a title with its year in the turn, or, where more movies are "
            "counted than that, a linked name that is a title. Turns with none of a record are "
            "left out.",
            "INSPIRED: movies are links to DBpedia made by a program, some of them wrong (a song, "
            "a word that is also a title); they are kept. A link is taken for the one movie "
            "with a record whose title, and year where the link has one, it has; else it is an "
            "item without a description.",
            "The pool is every movie with a record and every relevant one. Records of one IMDb id "
            "and one title, with and without the year, are one movie.",
            "The movie records (IMDb's plot, genres, directors) are those of iEvaLM-CRS.",
        ),
    ),
    read,
)
