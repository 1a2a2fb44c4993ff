"""Reddit-Movie: invented turns in the form of the release, one rule of BLaIR's at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data.schema import Tables, validate
from tastebench.data.sources.reddit_movie import REDDIT_MOVIE
from tastebench.errors import DataError

TITLES = {"tt0000001": "Night Ferry (1990)", "tt0000002": "Owl (2004)", "tt0000003": "Salt (1971)"}
POST: dict[str, Any] = {
    "conv_id": "t3_one_0",
    "turn_id": "t3_one",
    "is_seeker": True,
    "utc_time": 1_600_000_000,
    "upvotes": None,
    "raw": "Something like Salt?",
    "processed": "Something like tt0000003?",
    "context_raw": [],
    "context_turn_ids": [],
}
REPLY: dict[str, Any] = {
    "conv_id": "t3_one_0",
    "turn_id": "t1_a",
    "is_seeker": False,
    "utc_time": 1_600_000_100,
    "upvotes": 21,
    "raw": "Owl, or Night Ferry. Owl!",
    "processed": "tt0000002, or tt0000001. tt0000002!",
    "context_raw": ["Something like  Salt?", "I &amp; a friend\nask"],
    "context_turn_ids": ["t3_zero", "t3_one"],
}
QUERY = "Something like Salt? I & a friend ask"


def read(
    folder: Path,
    test: list[dict[str, Any]],
    train: list[dict[str, Any]] | None = None,
    kind: str = "csv",
    titles: dict[str, str] | None = None,
) -> Tables:
    for part, rows in (("train", train or [REPLY]), ("valid", [REPLY]), ("test", test)):
        path = folder / f"{part}.{kind}"
        if kind == "jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
            continue
        frame = pl.DataFrame(rows, infer_schema_length=None)
        lists = [c for c, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
        if kind == "csv":
            written = [pl.Series(c, [repr(row[c]) for row in rows]) for c in lists]
            frame.with_columns(written).write_csv(path)
        else:
            frame.write_parquet(path)
    (folder / "reddit_movie_id2name.json").write_text(json.dumps(titles or TITLES))
    return validate(REDDIT_MOVIE.read(folder), "blair/reddit-movie")


def pairs(tables: Tables) -> list[tuple[Any, ...]]:
    assert tables.queries is not None
    assert tables.relevance is not None
    joined = tables.relevance.join(tables.queries, on="query_id", maintain_order="left")
    return joined.select("text", "item_id").rows()


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_reply_to_the_seeker(kind: str, tmp_path: Path) -> None:
    tables = read(tmp_path, [POST, REPLY], kind=kind)
    assert tables.queries is not None
    assert tables.queries.rows() == [("t3_one_0-t1_a", QUERY, "complex")]
    assert pairs(tables) == [(QUERY, "tt0000002"), (QUERY, "tt0000001")]
    assert tables.items.rows() == list(TITLES.items())  # the movie asked about stays in the pool


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_turn_may_come_with_its_speaker(kind: str, tmp_path: Path) -> None:
    spoken = {**REPLY, "context_raw": [["USER", "Some"], ["USER", "owls"]]}
    assert pairs(read(tmp_path, [POST, spoken], kind=kind))[0][0] == "Some owls"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"upvotes": 20}, False),
        ({"upvotes": 22.0}, True),
        ({"upvotes": None}, False),
        ({"upvotes": -4}, False),
        ({"processed": REPLY["raw"]}, False),  # no movie is linked
        ({"processed": "tt9999999!"}, False),  # no movie of the map
        ({"context_turn_ids": []}, False),
        ({"context_turn_ids": ["t3_one", "t1_other"]}, False),  # the last is not the seeker's
        ({"conv_id": "t3_two_0"}, False),  # nobody asks in that thread
        ({"conv_id": "t3_one_17"}, True),  # another branch below the same post
        ({"context_raw": ["", " "]}, False),
    ],
)
def test_which_turns_count(change: dict[str, Any], kept: bool, tmp_path: Path) -> None:
    """T16: 20 upvotes are too few, 21 are enough."""
    other = {
        **REPLY,
        "turn_id": "t1_b",
        "raw": "Salt",
        "processed": "tt0000003",
        "context_raw": ["Other"],
    }
    found = pairs(read(tmp_path, [POST, {**REPLY, **change}, other]))
    assert found == [*([(QUERY, "tt0000002"), (QUERY, "tt0000001")] if kept else []),
                     ("Other", "tt0000003")]  # fmt: skip


@pytest.mark.parametrize("part", ["train", "test"])
def test_who_asks_is_known_from_all_parts(part: str, tmp_path: Path) -> None:
    rows = {"train": [REPLY], "test": [REPLY]}
    rows[part].insert(0, POST)
    assert len(pairs(read(tmp_path, rows["test"], rows["train"]))) == 2


def test_turns_that_reply_to_one_text_are_one_query(tmp_path: Path) -> None:
    more = {**REPLY, "turn_id": "t1_c", "raw": "Salt or Owl", "processed": "tt0000003 or tt0000002"}
    again = {**REPLY, "turn_id": "t1_d"}  # says the same after the same: one turn
    assert pairs(read(tmp_path, [POST, REPLY, more, again])) == [
        (QUERY, "tt0000002"),
        (QUERY, "tt0000001"),
        (QUERY, "tt0000003"),
    ]


def test_titles_may_lead_to_ids(tmp_path: Path) -> None:
    titles = {title: item for item, title in TITLES.items()}
    assert read(tmp_path, [POST, REPLY], titles=titles).items.rows() == list(TITLES.items())


def test_no_list_is_ever_run_as_code(tmp_path: Path) -> None:
    code = f"[open({str(tmp_path / 'harm')!r}, 'w')]"
    read(tmp_path, [POST, REPLY])
    frame = pl.read_csv(tmp_path / "test.csv", infer_schema=False)
    frame.with_columns(context_turn_ids=pl.lit(code)).write_csv(tmp_path / "test.csv")
    with pytest.raises(DataError, match="context_turn_ids is no list") as caught:
        REDDIT_MOVIE.read(tmp_path)
    assert caught.value.where is not None
    assert caught.value.where.endswith("test.csv, row 2")
    assert not (tmp_path / "harm").exists()


def test_upvotes_that_are_no_number(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="failed in column 'upvotes'"):
        read(tmp_path, [POST, {**REPLY, "upvotes": "many"}])


def test_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no column processed "):
        read(tmp_path, [{k: v for k, v in REPLY.items() if k != "processed"}])


def test_no_turn_is_kept(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no turn with more than 20 upvotes"):
        read(tmp_path, [POST])


@pytest.mark.parametrize("content", ["[]", "{}", '{"tt0000001": 3}'])
def test_a_map_that_is_none(content: str, tmp_path: Path) -> None:
    read(tmp_path, [POST, REPLY])
    (tmp_path / "reddit_movie_id2name.json").write_text(content)
    with pytest.raises(DataError, match="no object of movies"):
        REDDIT_MOVIE.read(tmp_path)


def test_real_map_of_movies(asset: Callable[[str], Path], tmp_path: Path) -> None:
    names = asset("data/conversational-movies/reddit/entity2id.json")
    read(tmp_path, [POST, REPLY])
    (tmp_path / "reddit_movie_id2name.json").unlink()
    (tmp_path / "entity2id.json").symlink_to(names)
    known = {**REPLY, "processed": "tt0079540"}
    (tmp_path / "test.csv").unlink()
    (tmp_path / "test.jsonl").write_text(json.dumps(POST) + "\n" + json.dumps(known) + "\n")
    tables = validate(REDDIT_MOVIE.read(tmp_path), "blair/reddit-movie")
    assert len(tables.items) == 7_506
    title = tables.items.filter(pl.col("item_id") == "tt0079540")["title"].item()
    assert title == "Meatballs (1979)"
    assert pairs(tables) == [(QUERY, "tt0079540")]
