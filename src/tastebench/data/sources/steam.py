"""Steam: who owns which games, from two releases that have nothing to do with each other.

`steam` is the large one of SCGRec's paper, which RecBench uses: a line of games per user. Of its
titles some were written as UTF-8, read as Latin-1 and written again; these are mended, and others
are left as they are. `steam-200k` is the small one from Kaggle as Case Recommender numbers it, with
the hours played.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import (
    bad_rows,
    catalogue,
    collect,
    find,
    need,
    read_delimited,
    read_text,
)

_APP = r'^ *(?<item_id>\d+) *,(?:"(?<quoted>(?:[^"]|"")*)"|(?<plain>[^,]*))(?:,.*)?$'
_ABSENT = "\x1f"  # a separator that no line has, so that lines are read whole


def read(raw: Path) -> Tables:
    """Every game on every line; the order of a line is taken for the order of its user."""
    interactions = _owned(need(raw, _OWNED))
    items = _apps(need(raw, _APPS))
    for column, file in _ABOUT.items():
        path = find(raw, file)
        if path is not None:
            items = items.join(_said(path, column), on="item_id", how="left", maintain_order="left")
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def _owned(path: Path) -> pl.DataFrame:
    """`user,game,game,...` per line."""
    lines = (
        pl.scan_csv(
            path, has_header=False, separator=_ABSENT, quote_char=None, schema={"line": pl.String()}
        )
        .with_row_index("number", offset=1)
        .with_columns(pl.col("line").str.strip_chars())
        .filter(pl.col("line") != "")
    )
    bad = collect(lines.filter(~pl.col("line").str.contains(r"^[^,\s]+(,[^,\s]+)*,?$")), path)
    if len(bad):
        raise bad_rows(path, bad["number"].to_list(), "not a user and their games between commas")
    fields = pl.col("line").str.strip_suffix(",").str.split(",")
    taken = lines.select(
        fields.list.first().alias("user_id"), fields.list.slice(1).alias("item_id")
    ).explode("item_id")
    return collect(taken.drop_nulls("item_id"), path).with_row_index("row")


def _apps(path: Path) -> pl.DataFrame:
    """Id and title, the first two fields of a line; titles hold no commas unless quoted."""
    lines = pl.DataFrame({"line": read_text(path).split("\n")}).with_row_index("number", offset=1)
    lines = lines.filter(pl.col("line").str.strip_chars() != "")
    apps = lines.with_columns(pl.col("line").str.extract_groups(_APP).alias("f")).unnest("f")
    bad = apps.filter(pl.col("item_id").is_null())["number"].to_list()
    if bad:
        raise bad_rows(path, bad, "not the number of a game, a comma and its title")
    quoted = pl.col("quoted").str.replace_all('""', '"', literal=True)
    title = pl.coalesce(quoted, "plain").str.strip_chars()
    frame = apps.select("item_id", pl.when(title != "").then(title).alias("title"))
    return frame.with_columns(mended(frame["title"]))


def _said(path: Path, column: str) -> pl.DataFrame:
    """`game,value` a line: all genres of a game, and of makers the first that is named."""
    lines = pl.DataFrame({"line": read_text(path).split("\n")}).with_row_index("number", offset=1)
    lines = lines.with_columns(pl.col("line").str.strip_chars()).filter(pl.col("line") != "")
    parts = pl.col("line").str.splitn(",", 2).struct.rename_fields(["item_id", "value"])
    pairs = lines.with_columns(parts.alias("pair")).unnest("pair")
    bad = pairs.filter(~pl.col("item_id").str.contains(r"^\d+$") | pl.col("value").is_null())
    if len(bad):
        raise bad_rows(
            path, bad["number"].to_list(), "not the number of a game, a comma and a word"
        )
    pairs = pairs.with_columns(mended(pairs["value"].str.strip_chars().str.strip_chars('"')))
    pairs = pairs.filter(pl.col("value") != "").unique(["item_id", "value"], maintain_order=True)
    every = pl.col("value") if column == "genres" else pl.col("value").first()
    return pairs.group_by("item_id", maintain_order=True).agg(every.alias(column))


def mended(titles: pl.Series) -> pl.Series:
    """Titles whose UTF-8 was taken for Latin-1 or Windows-1252, as they were meant.

    Only a text that is UTF-8 throughout once it is bytes again is changed; "Pokémon" and "®", or
    characters that those encodings do not have, stay.
    """
    rows = titles.fill_null("").str.contains(r"[^\x00-\x7F]").arg_true()
    if rows.is_empty():
        return titles
    return titles.clone().scatter(rows, [_meant(title) for title in titles.gather(rows)])


def _meant(title: str) -> str:
    r"""What a text was before its bytes were misread.

    >>> _meant("CafÃ©"), _meant("Doomâ„¢"), _meant("Pokémon"), _meant("Łódź")
    ('Café', 'Doom™', 'Pokémon', 'Łódź')
    """
    for encoding in ("latin-1", "cp1252"):
        try:
            return title.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue  # it never was such bytes
    return title


def read_200k(raw: Path) -> Tables:
    """Purchases with the hours played, null where a game was never started.

    A user's games stand in the order of their hours, which is no order of time.
    """
    path = need(raw, _PURCHASES)
    pair: dict[str, pl.DataType] = {"User_ID": pl.String(), "Game_ID": pl.String()}
    bought = read_delimited(path, pair, path=path, separator="\t", needed=list(pair))
    played = find(raw, _PLAYED)
    hours = pl.DataFrame(schema=pair | {"Hours": pl.Float64()})
    if played is not None:
        columns = pair | {"Hours": pl.Float64()}
        hours = read_delimited(played, columns, path=played, separator="\t", needed=list(columns))
    # A few games were played in two accounts of hours.
    hours = hours.group_by("User_ID", "Game_ID").agg(pl.col("Hours").sum())
    names = need(raw, _NAMES)
    about: dict[str, pl.DataType] = {"Game_ID": pl.String(), "Game Name": pl.String()}
    items = read_delimited(
        names, about, path=names, separator="\t", quote=None, needed=("Game_ID",)
    )
    interactions = bought.join(
        hours, on=["User_ID", "Game_ID"], how="left", maintain_order="left"
    ).select(
        pl.col("User_ID").alias("user_id"),
        pl.col("Game_ID").alias("item_id"),
        pl.col("Hours").alias("hours"),
        pl.lit(0).alias("row"),
    )
    items = items.rename({"Game_ID": "item_id", "Game Name": "title"})
    return Tables(items=catalogue(interactions, items), interactions=interactions)


_OWNED = RawFile(path="train_game.txt", also=("steam_data/train_game.txt",))
_APPS = RawFile(path="App_ID_Info.txt", also=("steam_data/App_ID_Info.txt",))
_ABOUT = {
    column: RawFile(path=f"{name}.txt", also=(f"steam_data/{name}.txt",), required=False)
    for column, name in (
        ("genres", "Games_Genres"),
        ("developer", "Games_Developers"),
        ("publisher", "Games_Publishers"),
    )
}

STEAM = Source(
    DatasetCard(
        name="steam",
        title="Steam libraries",
        summary="Which games people on Steam own, a line a person, with titles: SCGRec's data.",
        source="https://github.com/YangLiangwei/SCGRec",
        licence="no licence stated",
        citation=(
            "Liangwei Yang, Zhiwei Liu, Yu Wang, Chen Wang, Ziwei Fan and Philip S. Yu. 2022. "
            "Large-scale Personalized Video Game Recommendation via Social-aware Contextualized "
            "Graph Neural Network. WWW. https://doi.org/10.1145/3485447.3512273"
        ),
        tasks=("seqrec", "cf", "ctr"),
        files=(_OWNED, _APPS, *_ABOUT.values()),
        about=Counts(users=3_900_000, items=2_700, interactions=95_000_000),
        seen_on="format",
        notes=(
            "Whether a line has its games in the order in which they were bought is not stated; "
            "RecBench takes it so, and so does this reader.",
            "The release's own valid and test games, which are not in train_game.txt, are not "
            "read.",
            "Genres, developers and publishers are read where their files are there, by the layout "
            "that the release's own code reads.",
            "Games that are owned but not described stay in the catalogue, without text.",
        ),
    ),
    read,
)


def _numbered(name: str, required: bool = True) -> RawFile:
    return RawFile(
        path=f"{name}.dat",
        also=(f"steam/{name}.dat",),
        url="https://raw.githubusercontent.com/caserec/Datasets-for-Recommender-Systems"
        "/4180b4dc4103452c591a1718560d29bdf1f48540/Processed%20Datasets/Steam/steam.zip",
        unpack=True,
        required=required,
    )


_PURCHASES = _numbered("game_purchase")
_PLAYED = _numbered("game_play", required=False)
_NAMES = _numbered("item_info")
_SPLIT = SplitSpec(kind="random", by="all")

STEAM_200K = Source(
    DatasetCard(
        name="steam-200k",
        title="Steam 200K",
        summary="Games that 12,393 people on Steam bought, with the hours played; no times.",
        source="https://www.kaggle.com/datasets/tamber/steam-video-games",
        licence="see the page of the dataset on Kaggle; not checked",
        citation=(
            "Tamber. 2016. Steam Video Games. Kaggle. Numbered by Arthur Fortes da Costa for Case "
            "Recommender (github.com/caserec/Datasets-for-Recommender-Systems)."
        ),
        tasks=("cf", "ctr"),
        splits={"cf": _SPLIT, "ctr": _SPLIT},
        files=(_PURCHASES, _PLAYED, _NAMES),
        known=Counts(users=12_393, items=5_155, interactions=129_511),
        seen_on="real",
        notes=(
            "There is no order: each person's games are sorted by the hours played.",
            "`hours` is the time played in all; it is null for games that were never started.",
            "128,804 of the 129,511 purchases are of different people or games.",
            "Ids are Case Recommender's numbers; its user_info.dat has Kaggle's numbers of users.",
        ),
    ),
    read_200k,
)
