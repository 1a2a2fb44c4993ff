"""`prepare` on Spark, for a dataset that is never in memory: Parquet in, Parquet out.

The filters are those of `tastebench.data.prepare`, and so are the steps, their counts and the order
of rows: the fingerprint is the one that Polars gives. Spark carries out the filters, joins and
sorts; this machine copies sorted files into the one file of each table and hashes them, a slice at
a time. What comes to the driver is counts and the places of sampled users.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import read_about, read_provenance, write_about
from tastebench.data.fingerprint import file_fingerprint
from tastebench.data.parquet_folder import (
    Types,
    canonical_types,
    card_of,
    find_files,
    origin_of,
)
from tastebench.data.prepare import PLACE, Filters, carry_out, prepared_card, unrated
from tastebench.data.provenance import Provenance
from tastebench.data.schema import TableName
from tastebench.data.spark import plain_failures
from tastebench.data.spark_check import canonical, check
from tastebench.data.spark_files import Scratch, column, one_file, read
from tastebench.errors import DataError
from tastebench.files import atomic_folder, load_array

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Frames = dict[TableName, "DataFrame"]
Parts = dict[TableName, tuple[list[Path], int]]

_SLIM = ("user_id", "item_id", "time", "rating", "row", PLACE)
"""What the filters look at; other columns are fetched for what is left."""


@dataclass(frozen=True)
class AtRest:
    """A dataset in files, its tables not read.

    Attributes:
        card: Of the dataset.
        files: Table to its Parquet files, in order.
        arrays: Name to file of the other arrays.
        origin: What the manifest of what is made of it calls it.
        manifest: Its own.
        fingerprint: Of its values; None where nobody has computed it.
        provenance: Of its texts.
        types: The columns that each table is to have; None where the files have them.
    """

    card: DatasetCard
    files: Mapping[TableName, Sequence[Path]]
    arrays: Mapping[str, Path]
    origin: Mapping[str, Any]
    manifest: Mapping[str, Any]
    fingerprint: str | None = None
    provenance: tuple[Provenance, ...] = ()
    types: Mapping[TableName, Types] | None = None


def at_rest(folder: Path, card: DatasetCard) -> AtRest:
    """A saved dataset.

    Args:
        folder: Written by `Dataset.save`.
        card: What is known of it today.

    Raises:
        DataError: Nothing there, or another format.
    """
    about = read_about(folder)
    return AtRest(
        card,
        {name: [folder / f"{name}.parquet"] for name in about["rows"]},
        {key: folder / f"{key}.npy" for key in about["arrays"]},
        {"name": card.name, "fingerprint": about["fingerprint"]},
        about["manifest"],
        about["fingerprint"],
        read_provenance(folder),
    )


def folder_at_rest(folder: Path) -> AtRest:
    """A folder of Parquet tables; see `tastebench.data.parquet_folder`.

    Raises:
        DataError: There are no items, or a column cannot be one of a dataset.
    """
    files = find_files(folder)
    return AtRest(
        card_of(folder, files),
        files,
        arrays={},
        origin=origin_of(folder, files),
        manifest={},
        types={table: canonical_types(table, files[table], str(folder)) for table in files},
    )


def prepare_on_spark(
    source: AtRest, filters: Filters, name: str, spark: SparkSession, folder: Path
) -> dict[str, Any]:
    """As `tastebench.data.prepare.prepare`, from files to a saved dataset.

    Args:
        source: What to filter.
        filters: What to do.
        name: What to call the result.
        spark: The session; see `tastebench.data.spark.session`.
        folder: Where the result is to lie, written atomically; this machine and all executors see
            it and the files of the source.

    Returns:
        Counts of `users`; all else is in the folder's `dataset.json`.

    Raises:
        DataError: The dataset has no interactions, or none is left; tables of a folder are not
            canonical; Spark failed.
        UsageError: A filter needs a column that the dataset does not have.
    """
    if "interactions" not in source.files:
        raise DataError("this dataset has no interactions to filter", where=source.card.name)
    with atomic_folder(folder) as target, plain_failures(str(folder)):
        work = target / "spark"
        made = _made(source, filters, name, Scratch(spark, work), target)
        shutil.rmtree(work)
        return made


def _made(
    source: AtRest, filters: Filters, name: str, scratch: Scratch, target: Path
) -> dict[str, Any]:
    tables = _read(source, scratch.spark)
    whole = tables["interactions"]
    if filters.min_rating is not None and not whole.filter("rating is not null").head(1):
        raise unrated(source.card.name)
    slim = whole.select(*(column for column in _SLIM if column in whole.columns))
    kept, steps = carry_out(slim, filters, source.card.name, scratch.step)
    left = kept if set(slim.columns) == set(whole.columns) else whole.join(kept, PLACE, "semi")
    # Deduplicated rows come in the order of `row`, as Polars gives them.
    files, rows = scratch.write(left, ("row", PLACE) if filters.dedup else (PLACE,))
    parts: Parts = {"interactions": (files, rows)}
    left = scratch.again(files, left)

    followed, repairs = _follow(tables, left, keep_items=filters.keep_items)
    counts = _counts(left)
    if counts["early"]:
        repairs["interactions before 1970 kept"] = counts["early"]
    parts |= {t: scratch.write(f, (PLACE,)) for t, f in followed.items() if t not in parts}
    for table, (files, _) in parts.items():
        columns = [column for column in tables[table].columns if column != PLACE]
        one_file(files, columns, target / f"{table}.parquet")
    used = {
        i: _rows_left(made.rows, whole, parts["interactions"][0], scratch)
        for i, made in enumerate(source.provenance)
        if made.rows is not None and made.source == source.fingerprint
    }
    sizes = {table: n for table, (_, n) in parts.items()}
    manifest = {
        "prepared_from": dict(source.origin),
        "steps": steps,
        "repairs": repairs,
        "source": dict(source.manifest),
    }
    _finish(source, prepared_card(source.card, name, filters), target, sizes, manifest, used)
    return {"users": counts["users"]}


def _read(source: AtRest, spark: SparkSession) -> Frames:
    """The tables with the place of each row; those of a folder made canonical and checked."""
    tables: Frames = {table: read(spark, files, PLACE) for table, files in source.files.items()}
    if source.types is not None:
        tables = {table: canonical(f, source.types[table], table) for table, f in tables.items()}
        check(tables, source.card.title)
    return tables


def _finish(
    source: AtRest,
    card: DatasetCard,
    target: Path,
    rows: Mapping[TableName, int],
    manifest: Mapping[str, Any],
    used: Mapping[int, np.ndarray],
) -> None:
    """Copies the arrays, hashes everything and writes `dataset.json`."""
    arrays = {}
    for key, path in source.arrays.items():
        shutil.copyfile(path, target / f"{key}.npy")
        arrays[key] = load_array(path)
    files: dict[str, Path] = {table: target / f"{table}.parquet" for table in rows}
    fingerprint = file_fingerprint(files, arrays)
    known = [
        replace(made, rows=used[i], source=fingerprint) if i in used else made
        for i, made in enumerate(source.provenance)
    ]
    write_about(target, card, fingerprint, dict(rows.items()), arrays, manifest, known)


def _follow(
    tables: Frames, interactions: DataFrame, *, keep_items: bool
) -> tuple[Frames, dict[str, int]]:
    """As `tastebench.data.prepare.follow` and the repairs after it, on canonical tables."""
    users = interactions.select("user_id").distinct()
    changed: Frames = {**tables, "interactions": interactions}
    for table in ("users", "impressions", "histories"):
        if table in tables:
            changed[table] = tables[table].join(users, "user_id", "semi")
    if "split" in tables:
        pairs = interactions.select("user_id", "item_id")
        changed["split"] = tables["split"].join(pairs, ["user_id", "item_id"], "semi")
    if not keep_items:
        naming = [changed[t] for t in ("interactions", "impressions", "relevance") if t in changed]
        named = reduce(lambda a, b: a.union(b), (frame.select("item_id") for frame in naming))
        changed["items"] = tables["items"].join(named, "item_id", "semi")
    if "histories" not in changed:
        return changed, {}
    changed["histories"], dropped = _known_items(changed["histories"], changed["items"])
    return changed, {"history items of unknown items dropped": dropped} if dropped else {}


def _known_items(histories: DataFrame, items: DataFrame) -> tuple[DataFrame, int]:
    """Histories without the items that are in no catalogue any more, and how many those were."""
    from pyspark.sql import functions as sf

    taken = histories.select(PLACE, sf.posexplode("item_ids").alias("_at", "item_id"))
    left = taken.join(items.select("item_id"), "item_id", "semi")
    lists = left.groupBy(PLACE).agg(
        sf.transform(
            sf.sort_array(sf.collect_list(sf.struct("_at", "item_id"))), lambda x: x.item_id
        ).alias("_left")
    )
    whole = sf.coalesce("_left", sf.array().cast("array<string>"))
    known = histories.join(lists, PLACE, "left").withColumn("item_ids", whole).drop("_left")
    return known, taken.count() - left.count()


def _counts(interactions: DataFrame) -> dict[str, int]:
    """Users, and interactions before 1970."""
    from pyspark.sql import functions as sf

    early = sf.count(sf.when(sf.col("time") < 0, 1)).alias("early")
    counted = interactions.agg(sf.countDistinct("user_id").alias("users"), early).collect()
    return dict(counted[0].asDict())


def _rows_left(
    rows: np.ndarray, whole: DataFrame, parts: Sequence[Path], scratch: Scratch
) -> np.ndarray:
    """As `tastebench.data.provenance` has it: which of what is left counts as used.

    Args:
        rows: Interactions of the source that a text was made from.
        whole: The source.
        parts: What is left, in order, with the row of the source as `PLACE`.
        scratch: For what comes between.
    """
    pair = ["user_id", "item_id"]
    used = scratch.numbers(PLACE, rows)
    kept = read(scratch.spark, parts, "_row")
    gone = whole.join(used, PLACE, "semi").join(kept, PLACE, "anti").select(*pair)
    same = kept.join(used, PLACE, "semi").union(kept.join(gone, pair, "semi").select(kept.columns))
    files, _ = scratch.write(same.select("_row").distinct(), ("_row",))
    return np.concatenate([column(file, "_row") for file in files])
