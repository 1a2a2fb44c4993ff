"""Where records lie, and how a finished run gets there.

    results/<suite>/<dataset>/<task>/<recommender>-<representation>-<encoder>/<spec-hash>/
    results/.work/<spec-hash>/

A run works below `.work` and its finished folder is renamed into place, so a folder outside `.work`
is complete. The path is the identity: resuming is looking whether the folder is there.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from tastebench.errors import DataError, UsageError
from tastebench.runs.record import Record
from tastebench.runs.spec import RunSpec

WORK = ".work"
RECORD = "record.json"


def record_folder(root: Path, suite: str, spec: RunSpec, spec_hash: str) -> Path:
    """Where the record of a run belongs."""
    dataset = re.sub(r"[^A-Za-z0-9._+-]", "_", spec.dataset)
    return root / suite / dataset / spec.task / spec.folder / spec_hash


def folder_of(root: Path, record: Record) -> Path:
    """Where a record lies under `root`."""
    return record_folder(root, record.suite, record.spec, record.spec_hash)


def work_folder(root: Path, spec_hash: str) -> Path:
    """Where a run keeps what it needs to go on after it was killed."""
    return root / WORK / spec_hash


def find_record(folder: Path) -> Record | None:
    """The record in a run's folder; None if the run has not ended yet.

    Raises:
        DataError: There is a record that cannot be read.
    """
    path = folder / RECORD
    return Record.read(path) if path.is_file() else None


def publish(finished: Path, target: Path) -> None:
    """Renames a finished folder into place; an older one gives way to it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        retired = Path(tempfile.mkdtemp(dir=finished.parent, prefix=".old-"))
        target.rename(retired / "record")
        finished.rename(target)
        shutil.rmtree(retired)
    else:
        finished.rename(target)


def find_records(root: Path) -> list[Path]:
    """The files of all records under a results folder, or any folder below it, in order.

    Raises:
        DataError: There is none.
        UsageError: There is no such folder.
    """
    if not root.is_dir():
        raise UsageError(
            f"no folder {root}", fix="tastebench quickstart writes one; --out of `run` names it"
        )
    paths = sorted(
        path
        for path in root.rglob(RECORD)
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if not paths:
        raise DataError("no records here", where=str(root), fix="tastebench run PLAN --out DIR")
    return paths
