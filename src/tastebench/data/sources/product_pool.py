"""Pools of Amazon products to search in: what BLaIR's Amazon-C4 and its ESCI share.

A pool is published as JSON lines of item_id, category and metadata: title and description, or, in
the second edition of the benchmark, the title alone. Titles can also be had from the metadata files
of Amazon Reviews 2023, which are large: of those only the rows asked for are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from tastebench.data.card import RawFile
from tastebench.data.sources import amazon_2023
from tastebench.data.sources.categories import AMAZON_2023
from tastebench.data.sources.reading import collect, find, need, read_json_lines
from tastebench.errors import DataError

CATEGORIES = RawFile(path="asin2category.json", also=("asin2category.json.gz",), required=False)
METADATA = {
    category: amazon_2023.files(category)[1].model_copy(update={"url": None, "mirrors": ()})
    for category in AMAZON_2023
}
"""Category to its metadata file: read where it is there, never downloaded for a pool's titles."""

TEXT_NOTE = (
    "An item's text is its raw title where a pool of titles or the metadata files of Amazon "
    "Reviews 2023 are there (column title), else the published title with description (column "
    "metadata)."
)
_POOL = {"item_id": pl.String(), "category": pl.String(), "metadata": pl.String()}
_RECORD = {"parent_asin": pl.String(), "title": pl.String()}
_LACKING = 0.01
"""Above this share of items without a record, metadata files are taken to be missing."""


def read_pool(raw: Path, file: RawFile) -> pl.DataFrame:
    """A published pool: item_id, category, and `title`, or `metadata` where titles are not known.

    Args:
        raw: The folder.
        file: The pool: `path` is the name of the one with titles, `also` of those with title and
            description.

    Returns:
        The pool, repeats included.

    Raises:
        DataError: A file is missing or unreadable, or metadata files are there but not those of the
            pool.
    """
    path = need(raw, file)
    if path == raw / file.path:
        return read_json_lines(path, _POOL, needed=("item_id",)).rename({"metadata": "title"})
    pool = read_json_lines(path, _POOL, needed=("item_id",))
    there = [category for category, file in METADATA.items() if find(raw, file)]
    if not there:
        return pool
    known = read_titles(raw, there, pool["item_id"])
    lacking = pool.join(known, on="item_id", how="anti")
    if len(lacking) > _LACKING * len(pool):
        raise DataError(
            f"{len(lacking):,} of the pool's {len(pool):,} items, e.g. {lacking['item_id'][0]}, "
            f"have no record in the {len(there)} metadata files there",
            where=str(raw),
            fix="put all metadata files of Amazon Reviews 2023 there, or none",
        )
    pool = pool.drop("metadata")
    return pool.join(known, on="item_id", how="left", maintain_order="left")


def read_titles(raw: Path, categories: Sequence[str], ids: pl.Series) -> pl.DataFrame:
    """The items that have a record: item_id, title (null where the record has none).

    Args:
        raw: The folder with the metadata files.
        categories: Whose files to read, spelled as in file names.
        ids: The items asked for.

    Raises:
        DataError: Files are missing (all are named), or one is damaged.
    """
    paths = {name: find(raw, METADATA[name]) if name in METADATA else None for name in categories}
    missing = [f"meta_{name}.jsonl" for name, path in paths.items() if path is None]
    if missing:
        raise DataError(
            f"there is no {', '.join(missing)} (.gz) with the titles of the pool",
            where=str(raw),
            fix="get these metadata files from https://amazon-reviews-2023.github.io/",
        )
    asked = pl.LazyFrame({"parent_asin": ids})
    found = [
        collect(
            pl.scan_ndjson(path, schema=_RECORD).join(asked, on="parent_asin", how="semi"), path
        )
        for path in paths.values()
        if path is not None
    ]
    titles = pl.concat(found).rename({"parent_asin": "item_id"})
    return titles.unique("item_id", keep="first", maintain_order=True)
