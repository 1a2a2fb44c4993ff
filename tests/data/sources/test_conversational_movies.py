"""Conversational movies: invented dialogues in the form of the real ones, and the real ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.schema import Tables, validate
from tastebench.data.sources.conversational_movies import MOVIES
from tastebench.errors import DataError


def movie(name: str, imdb: str, plot: str = "") -> dict[str, object]:
    return {"name": name, "plot": plot, "imdb_id": imdb, "genre": ["drama"], "director": ["Ann O"]}


RECORDS = {
    "11": movie("Night Ferry (1990)", "tt1", "A ferry at night."),
    "12": movie("The Night Ferry (1990)", "tt2"),
    "13": movie("Owl", "tt3"),
    "14": movie("Owl (1971)", "tt3"),
    "15": movie("Owl (2004)", "tt5"),
    "16": movie("It", "tt6"),
    "17": movie("Gold & Salt", "tt7"),
    "18": movie("Gold & Salt", "tt7"),
}
LINKS = {
    "<http://dbpedia.org/resource/Owl_(2004_American_film)>": 1,
    "<http://dbpedia.org/resource/Owl_(film)>": 2,  # two movies with a record fit
    "<http://dbpedia.org/resource/Gold_&_Salt>": 3,
    "<http://dbpedia.org/resource/Owl_(song)>": 4,
    "<http://dbpedia.org/resource/Nobody%27s_Owl_(2019_film)>": 5,
    "<http://dbpedia.org/resource/Never_named>": 6,
}


def turn(
    number: int,
    context: list[str],
    response: str,
    rec: list[int],
    names: tuple[str, ...] = (),
) -> dict[str, object]:
    return {
        "dialog_id": "test_1",
        "turn_id": number,
        "context": ["", *context],
        "resp": response,
        "rec": rec,
        "entity_name": list(names),
    }


def read(folder: Path, redial: Sequence[object] = (), inspired: Sequence[object] = ()) -> Tables:
    for path, rows in (("redial/test.jsonl", redial), ("inspired/test.jsonl", inspired)):
        (folder / path).parent.mkdir(exist_ok=True)
        filled = rows or [turn(0, [], "Hi", [])]
        (folder / path).write_text("".join(json.dumps(row) + "\n" for row in filled))
    (folder / "inspired/entity2id.json").write_text(json.dumps(LINKS))
    (folder / "ievalm_redial_id2info.json").write_text(json.dumps(RECORDS))
    return validate(MOVIES.read(folder), "conversational-movies")


def relevant(tables: Tables) -> list[tuple[object, ...]]:
    assert tables.relevance is not None
    return tables.relevance.select("query_id", "item_id").rows()


def test_a_query_is_all_that_was_said_before(tmp_path: Path) -> None:
    said = ["Hi &amp; hello", "What do you  like?", " Ferries\n"]
    tables = read(tmp_path, [turn(7, said, "Try Night Ferry (1990) !", [501])])
    assert tables.queries is not None
    assert tables.queries.rows() == [
        ("redial-test_1-7", "Hi & hello What do you like? Ferries", "complex")
    ]


@pytest.mark.parametrize(
    ("response", "counted", "names", "items"),
    [
        ("Try Night Ferry (1990) or Owl (2004)", 2, (), ["11", "15"]),
        ("Try The Night Ferry (1990)", 1, (), ["12"]),  # the longest title, not the one inside it
        ("Owl (2004) , yes Owl (2004)", 1, (), ["15"]),
        ("Hoot Owl (2004)", 1, (), ["15"]),
        ("HootOwl (2004) is unknown, Owl (1971) is not", 1, (), ["14"]),
        ("It or Owl (2004)", 1, ("It", "Owl (2004)"), ["15"]),  # "It" is a word here
        ("It or Owl (2004)", 2, ("It", "Owl (2004)"), ["15", "16"]),
        ("Owl is fine", 1, ("Owl", "fine"), ["14"]),  # the record with the year is kept
    ],
)
def test_redial_movies_are_titles_in_the_turn(
    response: str, counted: int, names: tuple[str, ...], items: list[str], tmp_path: Path
) -> None:
    tables = read(tmp_path, [turn(1, ["Hi"], response, list(range(counted)), names)])
    assert [item for _, item in relevant(tables)] == items


def test_turns_without_words_before_them_or_movies_in_them_are_left_out(tmp_path: Path) -> None:
    turns = [
        turn(1, [], "Have you seen Owl (2004)", [1]),
        turn(2, ["Hi"], "Have you seen Unheard Of (2004)", [1]),
        turn(3, ["Hi"], "Owl (2004)", [1]),
        turn(4, ["Hi"], "Owl (2004)", [1]),  # says the same after the same
        turn(5, ["Hi"], "Owl (1971)", [1]),
    ]
    assert relevant(read(tmp_path, turns)) == [
        ("redial-test_1-3", "15"),
        ("redial-test_1-5", "14"),
    ]


def test_inspired_links_lead_to_the_one_movie_that_fits(tmp_path: Path) -> None:
    tables = read(tmp_path, inspired=[turn(1, ["Hi"], "Well", [1, 2, 3, 4, 5, 3])])
    assert [item for _, item in relevant(tables)] == [
        "15",
        "inspired-2",
        "17",
        "inspired-4",
        "inspired-5",
    ]
    assert tables.items.select("item_id", "title", "description").rows() == [
        ("11", "Night Ferry (1990)", "A ferry at night."),
        ("12", "The Night Ferry (1990)", None),
        ("14", "Owl (1971)", None),
        ("15", "Owl (2004)", None),
        ("16", "It", None),
        ("17", "Gold & Salt", None),
        ("inspired-2", "Owl", None),
        ("inspired-4", "Owl (song)", None),
        ("inspired-5", "Nobody's Owl (2019)", None),
    ]


def test_a_movie_without_a_link(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="movie 99 of turn 1 is not among the links"):
        read(tmp_path, inspired=[turn(1, ["Hi"], "Well", [99])])


def test_a_record_of_no_movie(tmp_path: Path) -> None:
    read(tmp_path)
    (tmp_path / "ievalm_redial_id2info.json").write_text(json.dumps({"1": {"name": "Owl"}}))
    with pytest.raises(DataError, match="not of a movie"):
        MOVIES.read(tmp_path)


def test_real_dialogues(asset: Callable[[str], Path]) -> None:
    tables = validate(MOVIES.read(asset("data/conversational-movies")), "conversational-movies")
    assert tables.queries is not None
    assert tables.relevance is not None
    corpus = pl.col("query_id").str.extract("^([a-z]+)-")
    counts = tables.queries.group_by(corpus).len().sort("query_id")
    assert counts.rows() == [("inspired", 227), ("redial", 3_465)]
    assert (len(tables.items), len(tables.relevance)) == (6_547, 4_939)
    assert tables.items["item_id"].str.starts_with("inspired-").sum() == 91
    first = tables.relevance.filter(pl.col("query_id") == "redial-test_20001-204175")
    titles = first.join(tables.items, on="item_id", maintain_order="left")["title"].to_list()
    assert titles == [
        "Police Academy (1984)",
        "Police Academy 2: Their First Assignment (1985)",
    ]
    assert tables.queries["text"].str.contains("  |^ | $|\n").sum() == 0
