"""The record that is meant: by its folder, its file, or the beginning of its hash."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tastebench.board.load import Entry
from tastebench.errors import DataError, UsageError, counted
from tastebench.items.semantic_ids.about import ABOUT
from tastebench.runs.record import Record
from tastebench.runs.store import RECORD

RESULTS = Path("results")
"""Where `tastebench run` writes unless told otherwise, and where hashes are looked for."""

_HASH = re.compile("[0-9a-f]{4,16}")
_SOME = 3


def is_record(path: Path) -> bool:
    """Whether a folder holds a record, or a file is one by its name."""
    return (path / RECORD).is_file() or (path.name == RECORD and path.is_file())


def is_codes(path: Path) -> bool:
    """Whether a folder holds semantic ids, or a file says so by its name."""
    return (path / ABOUT).is_file() or (path.name == ABOUT and path.is_file())


def find_entry(given: Path) -> Entry:
    """The record in a folder, of a `record.json`, or with a hash that begins so.

    A hash is looked for under `results`; elsewhere, a path does.

    Raises:
        UsageError: There is none, or there are several.
        DataError: It is broken.
    """
    if is_record(given):
        folder = given if given.is_dir() else given.parent
        return Entry(Record.read(folder / RECORD), folder)
    if given.exists():
        paths = [*given.rglob(RECORD)] if given.is_dir() else []
        if len(paths) == 1:  # a folder above it, as one completes it with the tab key
            return Entry(Record.read(paths[0]), paths[0].parent)
        raise _no_record(given, paths)
    name = str(given)
    if not _HASH.fullmatch(name):
        raise UsageError(
            f"{name} is no folder of a record, and no beginning of a hash",
            fix="the folder that holds a record.json, below results/PLAN/DATASET/TASK/MODEL",
        )
    found = _with_hash(name)
    if len(found) != 1:
        some = "".join(f"\n         {path}" for path in found[:_SOME])
        more = "\n         ..." if len(found) > _SOME else ""
        said = f"{len(found)} records have a hash" if found else "no record has a hash"
        raise UsageError(
            f"{said} that begins with {name}{some}{more}",
            where=str(RESULTS.resolve()),
            fix="name more of the hash, or the folder" if found else "name the record's folder",
        )
    return Entry(Record.read(found[0] / RECORD), found[0])


def _with_hash(begin: str) -> list[Path]:
    if not RESULTS.is_dir():
        return []
    return sorted(
        path
        for path in RESULTS.glob(f"*/*/*/*/{begin}*")
        if (path / RECORD).is_file() and not path.relative_to(RESULTS).parts[0].startswith(".")
    )


def _no_record(given: Path, paths: Sequence[Path]) -> UsageError | DataError:
    """Said of a file, or of a folder that holds several or none."""
    if not paths:
        return DataError(
            "there is no record here, and there are no semantic ids here and no questions",
            where=str(given),
            fix="a folder with a record.json, or one that `build codes` or `build questions` made",
        )
    folders = sorted(path.parent for path in paths)
    some = "".join(f"\n         {path}" for path in folders[:_SOME])
    more = "\n         ..." if len(folders) > _SOME else ""
    return UsageError(
        f"{counted(len(folders), 'record')} below this folder, of which one is to be named:"
        f"{some}{more}",
        where=str(given),
        fix=f"tastebench inspect {folders[0]}",
    )
