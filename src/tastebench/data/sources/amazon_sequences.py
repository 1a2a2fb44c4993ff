"""Amazon 2014 Beauty, Toys and Sports as the literature of sequential recommendation has them.

Each is the 5-core as one sequence of items per user: order without times. Two layouts are read: the
numbered sequences and id maps of P5, with titles from Amazon's own metadata, and the numbered
sequences and title maps of TransRec (converted from pickled arrays to JSON: pickles are not opened
here). With an id map, ids are Amazon's; without one they are the layout's numbers.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Source, amazon_2014
from tastebench.data.sources.reading import (
    bad_rows,
    find,
    need,
    read_delimited,
    read_json,
    read_text,
)
from tastebench.errors import DataError

_P5 = (
    "https://raw.githubusercontent.com/WangXFng/RDRec/4055c3028d3afbd57a0fffd54076825836b7cad7/data"
)


def read(raw: Path, category: str) -> Tables:
    """Sequences, id maps, and titles from whichever file has them."""
    sequences, maps, titles, shelves, phrases, meta = files(category)
    interactions = read_sequences(need(raw, sequences))
    items = interactions.select(pl.col("item_id").unique()).sort(pl.col("item_id").cast(pl.Int64))
    items = _add(items, find(raw, titles), "id2title", "title", pl.String())
    items = _add(items, find(raw, shelves), "id2category", "categories", pl.List(pl.String()))
    path = find(raw, maps)
    if path is not None:
        interactions = _rename(interactions, path, "user_id", ("id2user", "id2reviewerID"))
        interactions = _rename(interactions, path, "item_id", ("id2item", "id2asin"))
        items = _rename(items, path, "item_id", ("id2item", "id2asin"))
    if items["title"].is_null().all():
        about = amazon_2014.read_items(find(raw, meta), set(items["item_id"]))
        items = items.select("item_id").join(
            about.unique("item_id", keep="first"), on="item_id", how="left", maintain_order="left"
        )
    return Tables(items=_add_phrases(items, find(raw, phrases)), interactions=interactions)


def read_sequences(path: Path, *, may_be_empty: bool = False) -> pl.DataFrame:
    """`user item item ...` per line, oldest first, as interactions in the order of the file.

    Args:
        path: The file.
        may_be_empty: A line may name a user and no item.

    Raises:
        DataError: A line has no item, or something that is not a number; names the rows.
    """
    lines = pl.DataFrame({"line": read_text(path).split("\n")}).with_row_index("number", offset=1)
    lines = lines.filter(pl.col("line").str.strip_chars() != "")
    numbers = r"^ *\d+( +\d+)* *$" if may_be_empty else r"^ *\d+( +\d+)+ *$"
    bad = lines.filter(~pl.col("line").str.contains(numbers))["number"].to_list()
    if bad:
        raise bad_rows(path, bad, "not the number of a user and those of items")
    fields = pl.col("line").str.strip_chars().str.split(" ").list.filter(pl.element() != "")
    users = lines.select(fields.alias("field")).select(
        pl.col("field").list.first().alias("user_id"),
        pl.col("field").list.slice(1).alias("item_id"),
    )
    return users.explode("item_id").drop_nulls().with_row_index("row")


def lookup(path: Path, keys: tuple[str, ...]) -> dict[str, object]:
    """The first of `keys` in a JSON object of maps.

    Raises:
        DataError: There is none, or the file is not JSON.
    """
    content = read_json(path)
    for key in keys:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            return {str(number): value for number, value in content[key].items()}
    raise DataError(
        f"there is no map {' or '.join(keys)}", where=str(path), fix="get the original file again"
    )


def _add(
    items: pl.DataFrame, path: Path | None, key: str, column: str, dtype: pl.DataType
) -> pl.DataFrame:
    """A column from a map of numbers; of several shelf paths the first. Null without the map."""
    if path is None:
        return items.with_columns(pl.lit(None, dtype=dtype).alias(column))
    table = lookup(path, (key,))
    values = list(table.values())
    if isinstance(dtype, pl.List):
        values = [paths[0] if isinstance(paths, list) and paths else None for paths in values]
    index = pl.DataFrame({"item_id": list(table), column: pl.Series(values, dtype=dtype)})
    return items.join(index, on="item_id", how="left", maintain_order="left")


def _rename(frame: pl.DataFrame, path: Path, column: str, keys: tuple[str, ...]) -> pl.DataFrame:
    """The numbers of a column replaced by the ids they stand for; each must have one."""
    table = lookup(path, keys)
    index = pl.DataFrame(
        {column: list(table), "name": pl.Series(list(table.values()), dtype=pl.String)}
    )
    named = frame.join(index, on=column, how="left", maintain_order="left")
    lacking = named.filter(pl.col("name").is_null())[column].unique(maintain_order=True)
    if len(lacking):
        raise DataError(
            f"{len(lacking):,} numbers have no id, e.g. {', '.join(lacking.head(5))}",
            where=f"{path}, map {keys[0]}",
            fix="check that the sequences and the map belong together",
        )
    return named.with_columns(pl.col("name").alias(column)).drop("name")


def _add_phrases(items: pl.DataFrame, path: Path | None) -> pl.DataFrame:
    """IDGenRec's key phrase per item (an id, a space, the phrase), where the file is there."""
    if path is None:
        return items
    columns = {"line": pl.String()}
    # No separator of one character is absent from a phrase, so the line is read whole.
    frame = read_delimited(path, columns, path=path, separator="\x1f", header=False, quote=None)
    phrases = frame.select(
        pl.col("line").str.extract(r"^(\S+) ", 1).alias("item_id"),
        pl.col("line").str.extract(r"^\S+ (.*)$", 1).alias("phrase"),
    )
    return items.join(
        phrases.unique("item_id", keep="first"), on="item_id", how="left", maintain_order="left"
    )


def files(category: str) -> tuple[RawFile, ...]:
    """Sequences, id maps, titles, shelves, phrases and metadata of a category."""
    name, hashes = _RELEASE[category]

    def brought(path: str) -> RawFile:
        return RawFile(path=path, required=False)

    return (
        RawFile(
            path="sequential.txt",
            also=("sequential_data.txt",),
            url=f"{_P5}/{name}/sequential.txt",
            sha256=hashes[0],
        ),
        RawFile(
            path="datamaps.json",
            also=("derived_id_maps.json",),
            url=f"{_P5}/{name}/datamaps.json",
            sha256=hashes[1],
            required=False,
        ),
        brought("title_maps.json"),
        brought("category_map.json"),
        brought("idgenrec_item_generative_indexing_phase_0.txt"),
        amazon_2014.files(category)[1],
    )


_RELEASE = {
    "Beauty": (
        "beauty",
        (
            "226cce9c3105299ca0db9615d7d3fb32b3175e90da43100ae352599f0f0107b8",
            "c3386147637538f6d97f7eafffeb4e7180daa0638875bc1d889bbee45ce241a8",
        ),
    ),
    "Toys_and_Games": (
        "toys",
        (
            "fa1cff57550387966440a93219753b97df62269455b3497612cdca3e8db0ceee",
            "a67fd09b5bbca12aea613015d9d1ed99610bb35015d3bbe8cd9e7a3eeda2c90c",
        ),
    ),
    "Sports_and_Outdoors": (
        "sports",
        (
            "2a095e0648872beb9982408958290f5d655db5be2911c3756b5446de9f0b8de2",
            "4746e0d7dada225d8a2191f9002b6a0335c065f5ebbb71cd305f00e2fda9f124",
        ),
    ),
}


def _source(category: str, title: str, known: Counts, notes: tuple[str, ...] = ()) -> Source:
    card = DatasetCard(
        name=_RELEASE[category][0],
        title=f"Amazon 2014 {title} sequences",
        summary=(
            f"What people reviewed in {title} on Amazon (5-core), in order and without times: the "
            "data of SASRec's, S3-Rec's, P5's and TIGER's tables."
        ),
        source="https://jmcauley.ucsd.edu/data/amazon/",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Julian McAuley, Christopher Targett, Qinfeng Shi and Anton van den Hengel. 2015. "
            "Image-based Recommendations on Styles and Substitutes. SIGIR. Sequences as released "
            "with Shijie Geng et al. 2022. Recommendation as Language Processing (P5). RecSys."
        ),
        text_columns=("title", "categories"),
        splits={"seqrec": SplitSpec(kind="last_out")},
        files=files(category),
        known=known,
        seen_on="real",
        notes=("There is order only, no time: a row's position is its place in time.", *notes),
    )
    return Source(card, partial(read, category=category))


BEAUTY = _source("Beauty", "Beauty", Counts(users=22_363, items=12_101, interactions=198_502))
TOYS = _source(
    "Toys_and_Games", "Toys and Games", Counts(users=19_412, items=11_924, interactions=167_597)
)
SPORTS = _source(
    "Sports_and_Outdoors",
    "Sports and Outdoors",
    Counts(users=35_598, items=18_357, interactions=296_337),
    notes=("`phrase` holds IDGenRec's generated key phrases where that file was given.",),
)
