"""Amazon Reviews 2023 (UCSD): the benchmark's rating files, or raw reviews, and raw metadata.

One source per category, made on request: `amazon_2023.All_Beauty` is the source of that category.
An item is a `parent_asin`, under which all variants of a product are one. Times are milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import polars as pl

from tastebench.data.card import DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import PARTS, Tables
from tastebench.data.sources import Source
from tastebench.data.sources.categories import AMAZON_2023, slug, words
from tastebench.data.sources.reading import (
    bad_rows,
    catalogue,
    find,
    lines,
    need,
    read_delimited,
    read_json_lines,
    read_text,
)
from tastebench.errors import DataError

_SITE = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023"
_MIRROR = "https://datarepo.eng.ucsd.edu/mcauley_group/data/amazon_2023"
_REVIEW = {
    "user_id": pl.String(),
    "parent_asin": pl.String(),
    "rating": pl.Float64(),
    "timestamp": pl.Int64(),
}
_LAYOUTS = ("last_out", "last_out_w_his", "timestamp", "timestamp_w_his")
"""Folders of the benchmark that hold train, valid and test apart."""
_ITEM = {
    "parent_asin": pl.String(),
    "title": pl.String(),
    "features": pl.List(pl.String()),
    "description": pl.List(pl.String()),
    "categories": pl.List(pl.String()),
    "store": pl.String(),
    "main_category": pl.String(),
    "price": pl.String(),
}
_BLOCK = 1 << 24  # characters
VALID_FROM = 1_628_643_414_042
"""First millisecond of the benchmark's validation period, 2021-08-11."""
TEST_FROM = 1_658_002_729_837
"""First millisecond of its test period, 2022-07-16."""


def read(raw: Path, category: str) -> Tables:
    """Ratings (benchmark CSV or raw reviews) and, where there is one, the metadata."""
    ratings, meta, *_ = files(category)
    path = need(raw, ratings)
    if not path.name.removesuffix(".gz").endswith(".csv"):
        frame = read_json_lines(path, _REVIEW, needed=list(_REVIEW))
    elif ".train." in path.name:
        frame = pl.concat(_read_rated(_part(path, part)) for part in PARTS)
    else:
        frame = _read_rated(path)
    interactions = frame.rename({"parent_asin": "item_id", "timestamp": "time"})
    interactions = interactions.with_row_index("row")
    items = read_items(find(raw, meta))
    return Tables(items=catalogue(interactions, items), interactions=interactions)


def _read_rated(path: Path) -> pl.DataFrame:
    """A CSV of the benchmark: with or without the names of its columns, and their histories.

    A history repeats what is in other rows, so it is not read.
    """
    _, first = next(lines(path), (1, ""))
    if first.startswith("user_id,"):
        return read_delimited(path, _REVIEW, path=path, needed=list(_REVIEW))
    more = {"history": pl.String()} if first.count(",") == len(_REVIEW) else {}
    frame = read_delimited(path, _REVIEW | more, path=path, header=False, needed=list(_REVIEW))
    return frame.select(list(_REVIEW))


def _part(train: Path, part: str) -> Path:
    """The file of another part, beside that of train and named alike, packed or not."""
    name = train.name.removesuffix(".gz").replace(".train.", f".{part}.")
    return need(train.parent, RawFile(path=name, also=(f"{name}.gz",)))


def read_items(path: Path | None) -> pl.DataFrame:
    """The metadata; a price such as "from 28.00" is no price and becomes null."""
    empty = pl.DataFrame(schema=_ITEM)
    frame = read_json_lines(path, _ITEM, needed=("parent_asin",)) if path else empty
    return frame.rename({"parent_asin": "item_id", "store": "brand"}).with_columns(
        pl.col("price").str.strip_chars().str.strip_prefix("$").cast(pl.Float64, strict=False)
    )


def read_categories(path: Path) -> pl.DataFrame:
    """The category of each product, as `asin2category.json` has it: item_id, category.

    The file is one JSON object, or one a line, whose members are texts. It is cut at its quotation
    marks, block by block: as Python's own objects its tens of millions of members would fill the
    memory. The last member of an id counts.

    Raises:
        DataError: There is something besides members that are texts; names the line.
    """
    text = read_text(path)
    frames, read, bad = [], 0, None
    for end in range(_BLOCK, len(text) + _BLOCK, _BLOCK):
        pieces = pl.Series([text[read:end]]).str.split('"').explode()
        whole = (len(pieces) - 1) // 4 * 4  # before, id, colon, category: the pieces of a member
        before, item, colon, name = (pieces[:whole].gather_every(4, at) for at in range(4))
        odd = ~before.str.contains(r"^[{},\s]*$") | ~colon.str.contains(r"^\s*:\s*$")
        if odd.any():
            first = 4 * (odd.arg_max() or 0)
            bad = read + len('"'.join(pieces[: first + 3]))
            break
        frames.append(pl.DataFrame({"item_id": item, "category": _unescaped(name, path)}))
        read = min(end, len(text)) - len('"'.join(pieces[whole:]))
    left = text[read:].strip("{}, \t\n")
    if bad is None and (left or text.count("{") != text.count("}")):
        bad = text.index(left, read)
    if bad is not None:
        row = text.count("\n", 0, bad) + 1
        raise bad_rows(path, [row], "no pairs of a product and its category")
    return pl.concat(frames).unique("item_id", keep="last", maintain_order=True)


def _unescaped(texts: pl.Series, path: Path) -> pl.Series:
    """JSON's escapes resolved, in the few texts that have some."""
    escaped = texts.filter(texts.str.contains("\\", literal=True)).unique()
    try:
        return texts.replace({text: json.loads(f'"{text}"') for text in escaped})
    except ValueError as error:
        raise DataError(
            f"a category is no text of JSON: {error}", where=str(path), fix="get the file again"
        ) from error


def files(
    category: str, cores: Sequence[str] = ("0core", "5core")
) -> tuple[RawFile, RawFile, RawFile, RawFile]:
    """Ratings and metadata of a category, under all published names; ratings may come in parts.

    Args:
        category: Spelled as in the file names.
        cores: Which of the benchmark's filterings will do, the first before the second.

    Returns:
        Ratings (all of them, or those of train), metadata, and what belongs to the ratings of
        train: valid and test.
    """
    meta, reviews = f"meta_{category}.jsonl", f"{category}.jsonl"
    rated, *others = (f"benchmark/{core}/rating_only/{category}.csv" for core in cores)

    def both(*names: str) -> tuple[str, ...]:
        return tuple(name + end for name in names for end in (".gz", ""))

    def parted(part: str) -> tuple[str, ...]:
        name = f"{category}.{part}.csv"
        layouts = [f"benchmark/{core}/{layout}/{name}" for core in cores for layout in _LAYOUTS]
        return both(*layouts, name)

    whole = both(f"{category}.csv", f"raw/review_categories/{reviews}", reviews, *others)
    valid, test = (
        RawFile(path=names[0], also=names[1:], required=False)
        for names in (parted("valid"), parted("test"))
    )
    return (
        RawFile(
            path=f"{rated}.gz",
            also=(rated, *whole, *parted("train")),
            url=f"{_SITE}/{rated}.gz",
            mirrors=(f"{_MIRROR}/{rated}.gz",),
        ),
        RawFile(
            path=f"raw/meta_categories/{meta}.gz",
            also=(f"raw/meta_categories/{meta}", *both(meta)),
            url=f"{_SITE}/raw/meta_categories/{meta}.gz",
            mirrors=(f"{_MIRROR}/raw/meta_categories/{meta}.gz",),
            required=False,
        ),
        valid,
        test,
    )


@cache
def source(category: str) -> Source:
    """The source of one category, spelled as in the file names."""
    card = DatasetCard(
        name=f"amazon-2023-{slug(category)}",
        title=f"Amazon 2023 {words(category)}",
        summary=(
            f"Reviews of {words(category)} on Amazon, May 1996 to September 2023, unfiltered "
            "(0-core), with product metadata."
        ),
        source="https://amazon-reviews-2023.github.io/",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Yupeng Hou, Jiacheng Li, Zhankui He, An Yan, Xiusi Chen and Julian McAuley. 2024. "
            "Bridging Language and Items for Retrieval and Recommendation. arXiv:2403.03952."
        ),
        text_columns=("title", "features", "description", "categories", "brand"),
        splits={
            "seqrec": SplitSpec(kind="time", valid_from=VALID_FROM, test_from=TEST_FROM),
            "cf": SplitSpec(kind="random", ratios=(0.4, 0.3, 0.3), by="all", seed=101),
        },
        files=files(category),
        seen_on="format",
        notes=(
            "Over all categories about a quarter of the items have no metadata; they stay in the "
            "catalogue, without text.",
            "Times before 1970 occur in Electronics.",
        ),
    )
    return Source(card, partial(read, category=category))


def __getattr__(name: str) -> Source:
    if name in AMAZON_2023:
        return source(name)
    raise AttributeError(name)
