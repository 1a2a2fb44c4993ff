"""Dataset: tables, card, manifest and the fingerprint of their values, kept as Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import polars as pl
from pydantic import ValidationError

from tastebench.data import provenance as written
from tastebench.data.card import DatasetCard
from tastebench.data.fingerprint import fingerprint
from tastebench.data.foreign import BROKEN, read_parquet
from tastebench.data.provenance import Provenance
from tastebench.data.schema import TableName, Tables, validate
from tastebench.errors import DataError
from tastebench.files import atomic_folder, hash_file, load_array, read_sealed, write_sealed

FORMAT = 1
"""Version of the folder layout that `Dataset.save` writes."""

_ABOUT = "dataset.json"


class Events(NamedTuple):
    """What users took, as arrays sorted by user, then time, then raw row.

    Interactions with label 0 were shown and not taken: they are no events.

    Attributes:
        user: Row in `Dataset.user_ids`, int64 `[n]`, ascending.
        item: Row in the items table, int32 `[n]`.
        time: Milliseconds, int64 `[n]`; None where the dataset has no times.
        row: Row of `tables.interactions` the event is, int64 `[n]`.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray | None
    row: np.ndarray


@dataclass(frozen=True, eq=False)
class Dataset:
    """One dataset as everything after `data/` sees it. Make one with `Dataset.create`.

    Attributes:
        fingerprint: SHA-256 over the values of all tables and arrays, 64 hex digits; independent of
            the platform, of Parquet's encoding and of the order of columns.
        manifest: How it was made: raw files and their hashes, filters, rows dropped and why.
        provenance: What is known of those of its texts that a model wrote; it is in no fingerprint,
            since it changes no value.
    """

    card: DatasetCard
    tables: Tables
    fingerprint: str
    manifest: dict[str, Any]
    provenance: tuple[Provenance, ...] = ()

    @classmethod
    def create(
        cls, card: DatasetCard, tables: Tables, manifest: Mapping[str, Any] | None = None
    ) -> Dataset:
        """Validates the tables and fingerprints them.

        Raises:
            DataError: The tables are not canonical; see `tastebench.data.schema.validate`.
        """
        tables = validate(tables, card.name)
        return cls(card, tables, fingerprint(tables), dict(manifest or {}))

    def __repr__(self) -> str:
        """Name, sizes and fingerprint: the tables themselves would fill a screen."""
        sizes = ", ".join(f"{len(frame):,} {name}" for name, frame in self.tables.frames())
        return f"Dataset({self.name}: {sizes}; {self.fingerprint[:12]})"

    @property
    def name(self) -> str:
        """The card's name."""
        return self.card.name

    @property
    def n_items(self) -> int:
        """Rows of the items table."""
        return len(self.tables.items)

    @property
    def n_users(self) -> int:
        """Users with at least one interaction."""
        return len(self.user_ids)

    @property
    def item_ids(self) -> pl.Series:
        """Ids in the order of the items table: row = item index."""
        return self.tables.items["item_id"]

    @cached_property
    def user_ids(self) -> pl.Series:
        """Ids in order of first appearance in the interactions: row = user index."""
        if self.tables.interactions is None:
            return pl.Series("user_id", [], dtype=pl.String)
        return self.tables.interactions["user_id"].unique(maintain_order=True)

    @cached_property
    def everyone(self) -> pl.Series:
        """`user_ids`, then those of users whom only impressions or histories name."""
        known = [self.user_ids]
        for frame in (self.tables.impressions, self.tables.histories):
            if frame is not None:
                known.append(frame["user_id"])
        return pl.concat(known).unique(maintain_order=True)

    def events(self) -> Events:
        """What users took as sorted index arrays; computed once, not to be written to."""
        return self._events

    @cached_property
    def _events(self) -> Events:
        frame = self.tables.interactions
        if frame is None:
            empty = np.empty(0, dtype=np.int64)
            return Events(empty, empty.astype(np.int32), None, empty)
        taken = (frame["label"].fill_null(1) == 1).to_numpy()
        events = self.in_order(frame, frame["row"].to_numpy(), taken)
        for array in events:
            if array is not None:
                array.flags.writeable = False
        return events

    def in_order(
        self, frame: pl.DataFrame, row: np.ndarray, kept: np.ndarray | None = None
    ) -> Events:
        """Rows of a table with users, items and perhaps times, by user, then time, then `row`.

        Args:
            frame: With user_id, item_id and time.
            row: What decides between equal times, integers `[n]`.
            kept: The rows wanted, bool `[n]`; None for all.

        Returns:
            Arrays whose `row` is the position in `frame` and whose `user` is that in `everyone`.
        """
        user = positions(frame["user_id"], self.everyone)
        item = positions(frame["item_id"], self.item_ids).astype(np.int32)
        time = None if frame["time"].null_count() else frame["time"].to_numpy()
        order = np.lexsort((row, *(() if time is None else (time,)), user))
        order = order if kept is None else order[kept[order]]
        return Events(user[order], item[order], None if time is None else time[order], order)

    def save(self, folder: Path) -> None:
        """Writes the dataset as a folder, atomically: the old content or the new, never a half.

        Raises:
            DataError: The disk is full or the folder cannot be written.
        """
        try:
            self._write(Path(folder))
        except OSError as error:
            raise DataError(
                f"the dataset cannot be written: {error.strerror or error}",
                where=str(folder),
                fix="make room, or choose another place with TASTEBENCH_HOME",
            ) from error

    def _write(self, folder: Path) -> None:
        with atomic_folder(folder) as target:
            for name, frame in self.tables.frames():
                frame.write_parquet(target / f"{name}.parquet", compression="zstd")
            for key, array in self.tables.arrays.items():
                np.save(target / f"{key}.npy", array, allow_pickle=False)
            write_about(
                target,
                self.card,
                self.fingerprint,
                {name: len(frame) for name, frame in self.tables.frames()},
                self.tables.arrays,
                self.manifest,
                self.provenance,
            )

    @classmethod
    def load(cls, folder: Path, *, verify: bool = False) -> Dataset:
        """Reads what `save` wrote; arrays are memory-mapped.

        Args:
            folder: A folder written by `save`.
            verify: Compute the fingerprint again and compare.

        Raises:
            DataError: Nothing there, a file is missing, cut off or changed, or another format.
        """
        folder = Path(folder)
        about = read_about(folder)
        frames: dict[TableName, pl.DataFrame] = {}
        _check_files(folder, about.get("files", {}))
        for name in get_args(TableName):
            if name in about["rows"]:
                frames[name] = _read_table(folder / f"{name}.parquet", about["rows"][name])
        arrays = {key: _read_array(folder / f"{key}.npy") for key in about["arrays"]}
        tables = Tables(**frames, arrays=arrays)
        dataset = cls(
            read_card(folder),
            tables,
            about["fingerprint"],
            about["manifest"],
            read_provenance(folder),
        )
        if verify and fingerprint(tables) != dataset.fingerprint:
            raise _damaged(folder, "its values are not those that were saved")
        return dataset


def positions(ids: pl.Series, index: pl.Series) -> np.ndarray:
    """The row of each id in `index` (unique ids), int64; -1 where it is not there."""
    table = pl.DataFrame({"id": index, "position": np.arange(len(index), dtype=np.int64)})
    found = ids.alias("id").to_frame().join(table, on="id", how="left", maintain_order="left")
    # A copy: what Polars hands out may be a read-only view of its own memory.
    result: np.ndarray = found["position"].fill_null(-1).to_numpy().copy()
    return result


def is_dataset(folder: Path) -> bool:
    """Whether `folder` was written by `Dataset.save`."""
    return (folder / _ABOUT).is_file()


def read_about(folder: Path) -> dict[str, Any]:
    """`dataset.json` of a saved dataset: card, fingerprint, row counts, manifest.

    Raises:
        DataError: It is not there, not readable, or of another format.
    """
    path = folder / _ABOUT
    try:
        about = read_sealed(path)
    except FileNotFoundError:
        raise DataError(
            "there is no dataset here",
            where=str(folder),
            fix="a dataset is a folder with dataset.json: `tastebench data import` makes one",
        ) from None
    except ValueError as error:  # not UTF-8 or not JSON
        raise _damaged(path, str(error)) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise DataError(
            "this dataset was saved in another format",
            where=str(path),
            fix=f"prepare it again; this version reads format {FORMAT}",
        )
    lacking = {"card", "fingerprint", "rows", "arrays", "manifest"} - set(about)
    if lacking:
        raise _damaged(path, f"it lacks {', '.join(sorted(lacking))}")
    return about


def write_about(
    folder: Path,
    card: DatasetCard,
    fingerprint: str,
    rows: Mapping[str, int],
    arrays: Iterable[str],
    manifest: Mapping[str, Any],
    provenance: Sequence[Provenance],
) -> None:
    """Writes what a saved dataset says of itself beside its tables.

    Args:
        folder: With the tables and arrays in it.
        card: Of the dataset.
        fingerprint: Of its values.
        rows: Of each table that is there.
        arrays: Names of the other arrays.
        manifest: How it was made.
        provenance: Of its texts.
    """
    provenances = written.write(provenance, folder)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    about = {
        "format": FORMAT,
        "card": card.model_dump(mode="json"),
        "fingerprint": fingerprint,
        "rows": dict(rows),
        "arrays": sorted(arrays),
        "manifest": dict(manifest),
        "provenance": provenances,
        # A Parquet file with a changed bit is most often read without an error, as other values.
        "files": {path.name: hash_file(path) for path in files},
    }
    write_sealed(folder / _ABOUT, about)


def read_card(folder: Path) -> DatasetCard:
    """The card of a saved dataset.

    Raises:
        DataError: As `read_about`, or the card is not one.
    """
    try:
        return DatasetCard.model_validate(read_about(folder)["card"])
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise _damaged(folder / _ABOUT, f"its card is wrong at {where}") from error


def _check_files(folder: Path, digests: Mapping[str, str]) -> None:
    """Refuses files that are not those that were saved; what was saved without is not checked."""
    for name, digest in digests.items():
        try:
            same = hash_file(folder / name) == digest
        except OSError as error:
            raise _damaged(folder / name, error.strerror or str(error)) from error
        if not same:
            raise _damaged(folder / name, "its checksum is not the one that was saved")


def _read_table(path: Path, rows: int) -> pl.DataFrame:
    try:
        frame = read_parquet(path)
    except BROKEN as error:
        raise _damaged(path, str(error).splitlines()[0]) from error
    if len(frame) != rows:
        raise _damaged(path, f"it has {len(frame):,} rows, {rows:,} were saved")
    return frame


def _read_array(path: Path) -> np.ndarray:
    try:
        return load_array(path)
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from error


def read_provenance(folder: Path) -> tuple[Provenance, ...]:
    """What a saved dataset knows of texts that a model wrote.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return written.read(read_about(folder).get("provenance", []), folder)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(folder, f"what its provenance says cannot be read: {error}") from error


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"a file of the dataset is missing or damaged: {why}",
        where=str(path),
        fix="prepare or import the dataset again (its folder may be deleted)",
    )
