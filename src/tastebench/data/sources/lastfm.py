"""Last.fm 1K: everything that 992 people listened to until May 2009, by Ò. Celma.

One line a play, each person's latest first: user, time, artist id, artist, track id, track. The ids
are MusicBrainz's and may be missing. An item is a track id, so that two songs of one name are two
items and a song under two spellings is one.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import need
from tastebench.data.sources.text_lines import collect_lines, refuse, scan_lines

NO_TRACK = "without-track-id"
"""Stands for the item of plays without a track id: no item has it, so they are dropped, counted."""

_ID = r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
# Names may hold tabs: the track id is the first field after the artist that is one, or is empty.
# Where the end of a line was stripped, the empty fields that it had are missing.
_PLAY = (
    r"^(?<user_id>[^\t]+)\t(?<time>[^\t]+)\t(?:" + _ID + r")?\t"
    r"(?:(?<artist_name>.*?)\t(?<item_id>" + _ID + r")?(?:\t(?<track_name>.*))?|[^\t]*)$"
)
_CLOCK = "%Y-%m-%dT%H:%M:%SZ"


def read(raw: Path) -> Tables:
    """Every play, oldest first within a person; tracks with the first names that they have.

    Plays without a track id are left in with the id `NO_TRACK`, which no item has: preparing the
    dataset drops and counts them as interactions of unknown items.

    Raises:
        DataError: The file is missing, or a line is no play; names the rows.
    """
    path = need(raw, LASTFM_1K.card.files[0])
    lines = scan_lines(path).filter(pl.col("line").is_not_null())
    plays = lines.select("number", pl.col("line").str.extract_groups(_PLAY).alias("fields"))
    plays = plays.unnest("fields").with_columns(
        pl.col("time").str.to_datetime(_CLOCK, strict=False, time_unit="ms").cast(pl.Int64)
    )
    taken = collect_lines(plays.select("number", "user_id", "item_id", "time"), path)
    refuse(taken, pl.col("user_id").is_null(), path, "not the fields of a play")
    refuse(taken, pl.col("time").is_null(), path, f"time is not of the form {_CLOCK}")
    # The latest play stands first: turned round, the row decides rightly between equal times.
    interactions = taken.reverse().select("user_id", pl.col("item_id").fill_null(NO_TRACK), "time")
    return Tables(
        items=collect_lines(_tracks(plays), path), interactions=interactions.with_row_index("row")
    )


def _tracks(plays: pl.LazyFrame) -> pl.LazyFrame:
    """The tracks in order of the file, each with the first name of its own and of its artist."""
    named = plays.filter(pl.col("item_id").is_not_null())
    names = [
        pl.when(pl.col(name).str.strip_chars() != "").then(name).drop_nulls().first().alias(name)
        for name in ("track_name", "artist_name")
    ]
    return named.group_by("item_id", maintain_order=True).agg(names)


_PLAYS = "userid-timestamp-artid-artname-traid-traname.tsv"

LASTFM_1K = Source(
    DatasetCard(
        name="lastfm-1k",
        title="Last.fm 1K users",
        summary="All that 992 people listened to on Last.fm until May 2009, play by play.",
        source="http://ocelma.net/MusicRecommendationDataset/lastfm-1K.html",
        licence="non-commercial use, with Last.fm's permission; commercial use by agreement",
        citation=(
            "Òscar Celma. 2010. Music Recommendation and Discovery: The Long Tail, Long Fail, and "
            "Long Play in the Digital Music Space. Springer."
        ),
        language="mul",
        tasks=("ctr", "seqrec", "cf"),
        text_columns=("track_name", "artist_name"),
        text_recipe="all-text",
        files=(
            RawFile(
                path=_PLAYS,
                also=(f"lastfm-dataset-1K/{_PLAYS}",),
                url="http://mtg.upf.edu/static/datasets/last.fm/lastfm-dataset-1K.tar.gz",
                unpack=True,
            ),
        ),
        known=Counts(users=992),
        about=Counts(users=992, items=960_000, interactions=17_000_000),
        seen_on="format",
        notes=(
            "An item is a MusicBrainz track id. Plays without one are no item's: they are dropped "
            "and counted (interactions of unknown items). The release has 19,150,868 plays in all.",
            "A track's names are the first that the file has for its id.",
            "People play a track again and again: repeats are events of their own.",
            "Every play is a positive; there are no negatives.",
        ),
    ),
    read,
)
