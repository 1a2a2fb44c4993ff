"""Amazon 2018 Office Products and Industrial and Scientific, as ReRe's files have them.

The one small release with times, brands and descriptions together. Each row of its tables is a
target with at most ten items before it; the training table is not published. Unfolded, the rows
of valid and test are the later life of their users: what each row names is one interaction.

ReRe's numbers of items are not those of the item file (MiniOneRec's, which was shuffled), so items
are described by their title; where a title stands for several items, the title is all there is.
"""

from __future__ import annotations

import ast
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
    read_json,
    read_text,
)
from tastebench.errors import DataError

_RERE = "https://raw.githubusercontent.com/sober-clever/ReRe"
_RERE += "/7d69eeef92f62d55825f1d1f17c0a1fc5091cfd4/data/Amazon"
_MINIONEREC = "https://raw.githubusercontent.com/AkaliKong/MiniOneRec"
_MINIONEREC += "/81b4ba9811cfb152cf161f1c486fe516510d081e/data/Amazon"

_TAKEN = {  # a column of lists, and that of the target that continues it
    "item_asins": "item_asin",
    "history_item_id": "item_id",
    "history_rating": "rating",
    "history_timestamp": "timestamp",
}
_LEFT_OVER = '" />'  # end of the tag from which some titles were scraped


class _Release(NamedTuple):
    """A category's files and their hashes; `shop` is what scraping left where a title belongs."""

    stem: str
    category: str
    shop: str
    sha256: tuple[str, str, str, str]


_OFFICE = _Release(
    "Office_Products_5_2016-10-2018-11",
    "Office_Products",
    "Office Products",
    (
        "da5847ecb789d88a8fb5ed9d8f3d10ad5b540bd6e01673572551a065dac36703",
        "5bc859f03154341ec39319567b7210b68493f9c9b4337b5e9e966ca9fbdd5818",
        "4d8c87c9b5ffd7c424d90859d1ab171985187198efd99efde25b86a40b482cbb",
        "398cb2bb7868bedf2ed8ed6b24d25e172f21b7022554d1f8ea52200478494c1c",
    ),
)
_INDUSTRIAL = _Release(
    "Industrial_and_Scientific_5_1996-10-2018-11",
    "Industrial_and_Scientific",
    "Industrial & Scientific",
    (
        "9a2e00e45a2c02dedf36aa76f2a3804fa563c839ca6f54566309df12b87bbecf",
        "0b9a6b6b6e43cd8ce2546c1df02ad73d3851492b5bc906aa9d42a02762daf582",
        "cb1efc39dc7636e543c01f4d89d07c5d95dfd38b0f35690d186adedd72d36afa",
        "937600c7a03652f55864a1d12d6e9fe8ca3e24ecc4e255a88216b25c5f949496",
    ),
)


def read(raw: Path, release: _Release) -> Tables:
    """Every (user, item, time) that a row of valid or test names, and what describes the items.

    What is named again, or rated twice on one day, keeps its first row: rows go by time, so the
    order of first appearance is the order in which a user's histories have the items.
    """
    valid, test, titles, about = files(release)
    rows = pl.concat([_unfold(need(raw, valid)), _unfold(need(raw, test))])
    taken = rows.unique(["user_id", "item_id", "time"], keep="first", maintain_order=True)
    numbers = taken.select("item_id", "number").unique("item_id", maintain_order=True)
    described = _titles(need(raw, titles)).join(numbers, on="number", how="inner")
    items = _described(described.select("item_id", "title"), find(raw, about))
    left_over = pl.col("title").str.strip_suffix(_LEFT_OVER)
    items = items.with_columns(pl.when(left_over != release.shop).then(left_over).alias("title"))
    interactions = taken.select("user_id", "item_id", "time", "rating").with_row_index("row")
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def _unfold(path: Path) -> pl.DataFrame:
    """What each history and each target names, in order: user_id, item_id, number, time, rating.

    Raises:
        DataError: A list cannot be read or is not as long as its row's others; names the rows.
    """
    names = ["user_id", *_TAKEN, *_TAKEN.values()]
    frame = read_delimited(path, dict.fromkeys(names, pl.String()), path=path, needed=names)
    lists = frame.with_row_index("line", offset=2).select(
        "line",
        "user_id",
        *(
            # Ids and numbers only: what brackets, quotation marks and commas leave.
            pl.concat_list(pl.col(column).str.extract_all(r"[^\[\]'\", ]+"), target).alias(target)
            for column, target in _TAKEN.items()
        ),
    )
    first, *others = (pl.col(target).list.len() for target in _TAKEN.values())
    uneven = lists.filter(pl.any_horizontal(first != other for other in others))["line"]
    if len(uneven):
        raise bad_rows(path, uneven.to_list(), "the lists of a history are not of one length")
    taken = lists.explode(_TAKEN.values()).select(
        "line",
        "user_id",
        pl.col("item_asin").alias("item_id"),
        pl.col("item_id").cast(pl.Int64, strict=False).alias("number"),
        (pl.col("timestamp").cast(pl.Int64, strict=False) * 1000).alias("time"),
        pl.col("rating").cast(pl.Float64, strict=False),
    )
    bad = taken.filter(pl.any_horizontal(pl.all().is_null()))["line"].unique()
    if len(bad):
        raise bad_rows(path, sorted(bad), "no number where an item, a rating or a time belongs")
    return taken.drop("line")


def _titles(path: Path) -> pl.DataFrame:
    """`title, tab, number` per line."""
    lines = pl.DataFrame({"line": read_text(path).split("\n")}).with_row_index("row", offset=1)
    lines = lines.filter(pl.col("line") != "")
    fields = pl.col("line").str.extract_groups(r"^(?<title>.*)\t(?<number>\d+)$")
    titles = lines.with_columns(fields.alias("fields")).unnest("fields")
    bad = titles.filter(pl.col("number").is_null())["row"].to_list()
    if bad:
        raise bad_rows(path, bad, "not a title and its number")
    return titles.select("title", pl.col("number").cast(pl.Int64))


def _described(items: pl.DataFrame, path: Path | None) -> pl.DataFrame:
    """The items with description and brand, where their title stands for one item alone."""
    records = read_json(path) if path else {}
    if not isinstance(records, dict) or not all(isinstance(r, dict) for r in records.values()):
        raise DataError("this is no map of items", where=str(path), fix="get the file again")
    about = pl.DataFrame(
        {
            "title": [str(record.get("title", "")) for record in records.values()],
            "description": [_texts(record.get("description")) for record in records.values()],
            "brand": [str(record.get("brand", "")) or None for record in records.values()],
        },
        schema={"title": pl.String(), "description": pl.List(pl.String()), "brand": pl.String()},
    )
    about = about.filter(~pl.col("title").is_duplicated())
    return items.join(about, on="title", how="left", maintain_order="left")


def _texts(written: object) -> list[str]:
    """A list of texts that was printed by Python; where its quotes were lost, the text between."""
    text = str(written or "")
    try:
        texts = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError):
        texts = [text.removeprefix("[").removesuffix("]").strip("'\"")]
    texts = texts if isinstance(texts, list) else [texts]
    return [str(piece) for piece in texts if str(piece).strip()]


def files(release: _Release) -> tuple[RawFile, RawFile, RawFile, RawFile]:
    """Targets of valid and of test, titles by number, and what describes the titles."""
    stem, item = release.stem, f"{release.category}.item.json"

    def rere(path: str, sha256: str) -> RawFile:
        also = (f"rere/{path}", f"data/Amazon/{path}")
        return RawFile(path=path, also=also, url=f"{_RERE}/{path}", sha256=sha256)

    valid, test, titles, about = release.sha256
    return (
        rere(f"valid/{stem}.csv", valid),
        rere(f"test/{stem}.csv", test),
        rere(f"info/{stem}.txt", titles),
        RawFile(
            path=f"index/{item}",
            also=(f"items/{item}", f"minionerec/index/{item}", f"data/Amazon/index/{item}", item),
            url=f"{_MINIONEREC}/index/{item}",
            sha256=about,
            required=False,
        ),
    )


def _source(
    release: _Release, name: str, title: str, cutoffs: tuple[int, int], known: Counts
) -> Source:
    card = DatasetCard(
        name=name,
        title=f"Amazon 2018 {title}, later interactions",
        summary=(
            f"What people reviewed in {title} on Amazon, with times, brands and descriptions: what "
            "MiniOneRec's and ReRe's validation and test tables hold."
        ),
        source="https://nijianmo.github.io/amazon/",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Jianmo Ni, Jiacheng Li and Julian McAuley. 2019. Justifying Recommendations using "
            "Distantly-Labeled Reviews and Fine-Grained Aspects. EMNLP. Tables as released with "
            "ReRe (github.com/sober-clever/ReRe) and MiniOneRec (github.com/AkaliKong/MiniOneRec)."
        ),
        text_columns=("title", "description", "brand"),
        splits={
            "seqrec": SplitSpec(kind="time", valid_from=cutoffs[0], test_from=cutoffs[1]),
            "cf": SplitSpec(kind="random", ratios=(0.4, 0.3, 0.3), by="all", seed=101),
        },
        files=files(release),
        known=known,
        seen_on="real",
        notes=(
            "The training table is not published: of what came before a user's first target in "
            "valid there are at most ten items, and users without a target are missing.",
            "The cut-offs were set once, at eighths and tenths of these interactions; those of "
            "the Amazon Reviews 2023 benchmark lie after these data end.",
            "Times have the resolution of a day; within a day the histories' order counts.",
            "Where a title stands for several items, they have no description and no brand.",
        ),
    )
    return Source(card, partial(read, release=release))


OFFICE = _source(
    _OFFICE,
    "office",
    "Office Products",
    (1_523_404_800_000, 1_525_824_000_000),  # 2018-04-11, 2018-05-09
    Counts(users=3_231, items=3_317, interactions=21_290),
)
INDUSTRIAL = _source(
    _INDUSTRIAL,
    "industrial",
    "Industrial and Scientific",
    (1_512_432_000_000, 1_521_244_800_000),  # 2017-12-05, 2018-03-17
    Counts(users=3_285, items=3_541, interactions=21_737),
)
