"""The layout that DEALRec gives its datasets: numbered sequences in three parts, and maps.

Its maps were released as pickled arrays, which are not opened here; read is their content as JSON.
With the maps of users and items, ids are the original ones; without them they are the layout's
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tastebench.data.card import RawFile
from tastebench.data.schema import PARTS, Tables
from tastebench.data.sources.amazon_sequences import lookup, read_sequences
from tastebench.data.sources.reading import find, need, read_json
from tastebench.errors import DataError

SITE = (
    "https://raw.githubusercontent.com/Linxyhaha/DEALRec/8bd1d9c0a1eeb86dda957ef569a449a6e275f794"
)
TITLES = RawFile(path="title_maps.json")
SHELVES = RawFile(path="category_map.json", required=False)
ITEMS = RawFile(path="item_map.json", required=False)
USERS = RawFile(path="user_map.json", required=False)


def read(raw: Path, sequences: Sequence[RawFile]) -> Tables:
    """A user's items of train, then valid, then test, oldest first, and which part each is in.

    Args:
        raw: The folder.
        sequences: The files of the three parts, in the order of `PARTS`.
    """
    parts = pl.concat(
        read_sequences(need(raw, file), may_be_empty=True).with_columns(part=pl.lit(part))
        for part, file in zip(PARTS, sequences, strict=True)
    )
    taken = parts.drop("row").sort(pl.col("user_id").cast(pl.Int64), maintain_order=True)
    titles = lookup(need(raw, TITLES), ("seqid2title",))
    items = pl.DataFrame({"item_id": list(titles), "title": list(titles.values())}, strict=False)
    shelves = find(raw, SHELVES)
    if shelves is not None:
        paths = lookup(shelves, ("seqid2category",))
        about = {"item_id": list(paths), "categories": list(paths.values())}
        frame = pl.DataFrame(about, schema_overrides={"categories": pl.List(pl.String())})
        items = items.join(frame, on="item_id", how="left", maintain_order="left")
    names, people = _names(find(raw, ITEMS)), _names(find(raw, USERS))
    items = items.with_columns(pl.col("item_id").replace(names))
    taken = taken.with_columns(
        pl.col("item_id").replace(names), pl.col("user_id").replace(people)
    ).with_row_index("row")
    return Tables(
        items=items,
        interactions=taken.select("row", "user_id", "item_id"),
        split=taken.select("user_id", "item_id", "part"),
    )


def _names(path: Path | None) -> dict[str, str]:
    """The id of each number in the sequences, where they count from 1 and the map from 0."""
    if path is None:
        return {}
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(n, int) for n in content.values()):
        raise DataError(
            "this is no map of ids to numbers", where=str(path), fix="get the original file again"
        )
    return {str(number + 1): name for name, number in content.items()}
