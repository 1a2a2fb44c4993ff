"""What lies in the home and in a results folder, by kind: how large, how old, what it costs again.

Three sorts are told apart. What is **safe** to delete is of no use to anybody: temporary files and
locks that a kill left, matrices that newer ones replaced, caches that cannot be read, the work of
runs that have their record. What is **costly** is made or fetched again when it is needed, and only
goes when its kind is named. What is **kept** may be all there is of it: datasets that were imported
or read from a folder of the user's, answers that were paid for, models that were trained. It goes
only by its own name.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tastebench import files
from tastebench.errors import DataError
from tastebench.runs import store

if TYPE_CHECKING:
    import psutil

Sort = Literal["safe", "costly", "kept"]

KINDS: dict[str, tuple[Sort, str]] = {
    "temporary": ("safe", "temporary files and locks that a kill left"),
    "superseded": ("safe", "matrices of vectors that newer ones replaced, work of finished runs"),
    "damaged": ("safe", "caches that cannot be read; they are made again"),
    "downloads": ("costly", "parts of files whose download was interrupted"),
    "raw": ("costly", "raw files of public datasets, downloaded"),
    "datasets": ("costly", "public datasets, prepared from downloads or generated"),
    "vectors": ("costly", "vectors of texts"),
    "states": ("costly", "states of frozen language models"),
    "codes": ("costly", "semantic ids"),
    "encoders": ("costly", "user encoders, trained for runs"),
    "questions": ("costly", "question sets"),
    "measures": ("costly", "what datasets give away, measured"),
    "work": ("costly", "what unfinished runs go on from"),
    "models": ("kept", "language models, trained here"),
    "answers": ("kept", "answers of models behind addresses, paid for"),
    "imported": ("kept", "datasets made of your own files, which may be gone"),
}
"""What there is, in the order in which it is shown."""

_ROOMS = ("raw", "datasets", "vectors", "states", "artefacts", "shortcuts")
_FRESH = 3600.0
"""Seconds for which a temporary file counts as somebody's who is writing it."""
_ARTEFACTS = {
    "codes": "codes",
    "user-encoders": "encoders",
    "questions": "questions",
    "lm": "models",
    "answers": "answers",
    "queries": "answers",
}


@dataclass(frozen=True)
class Holding:
    """A file or folder.

    Attributes:
        kind: Of `KINDS`.
        name: What it is called, for showing and naming it.
        bytes: On disk, links not followed.
        used: When it, or something in it, was last written; seconds since 1970.
        busy: Why it must stay: a process that lives works on it; None for no reason.
    """

    kind: str
    name: str
    path: Path
    bytes: int
    used: float
    busy: str | None = None

    @property
    def sort(self) -> Sort:
        """Whether it may go."""
        return KINDS[self.kind][0]


def holdings(results: Path | None = None, home: Path | None = None) -> list[Holding]:
    """Everything that lies in the home and, if one is given, in a results folder.

    Args:
        results: Of plans.
        home: Instead of `TASTEBENCH_HOME`.
    """
    home = files.home() if home is None else home
    open_now = _Open.now(root for root in (home, results) if root is not None)
    found: dict[Path, Holding] = {}
    for kind, name, path in _all(home, results):
        if path not in found and path.exists():
            found[path] = _measured(kind, name, path, open_now)
    order = list(KINDS)
    return sorted(found.values(), key=lambda one: (order.index(one.kind), -one.bytes, one.name))


def _all(home: Path, results: Path | None) -> Iterator[tuple[str, str, Path]]:
    """Kind, name and place; of a place that is said twice the first counts."""
    # Only where nobody else puts files: a home may be anybody's folder.
    for room in _ROOMS:
        yield from _left_behind(home / room, home)
    if results is not None:
        yield from _left_behind(results / store.WORK, results)
    yield from _vectors(home / "vectors")
    for folder in _inside(home / "raw"):
        yield "raw", folder.name, folder
    for folder in _inside(home / "datasets"):
        yield _kind_of_dataset(folder), folder.name.replace("+", "/"), folder
    for folder in _inside(home / "states"):
        yield "states", folder.name, folder
    for room, kind in _ARTEFACTS.items():
        for folder in _inside(home / "artefacts" / room):
            broken = kind == "codes" and not _is_json(folder / "codes.json")
            yield "damaged" if broken else kind, f"{room}/{folder.name}", folder
    for path in _inside(home / "shortcuts"):
        yield "measures", path.name, path
    if results is not None:
        yield from _work(results)


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder and is not hidden; nothing where there is none."""
    if not folder.is_dir():
        return []
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _left_behind(room: Path, root: Path) -> Iterator[tuple[str, str, Path]]:
    """Temporary files, locks and parts of downloads, wherever they lie in a room."""
    for where, folders, names in os.walk(room):
        for name in (*folders, *names):
            path = Path(where) / name
            if name.startswith((".tmp-", ".old-")) or _is_lock(path):
                yield "temporary", str(path.relative_to(root)), path
            elif name.startswith(".part-"):
                yield "downloads", str(path.relative_to(root)), path
        folders[:] = [name for name in folders if not name.startswith((".tmp-", ".old-"))]


def _is_lock(path: Path) -> bool:
    """Whether it is an empty file that a process holds on to while it works."""
    return path.suffix == ".lock" and path.is_file() and path.stat().st_size == 0


def _vectors(room: Path) -> Iterator[tuple[str, str, Path]]:
    """Folders of vectors, and in them what is superseded or damaged."""
    for folder in _inside(room):
        named: set[str] = set()
        for about in folder.glob("*.json"):
            if about.name == "identity.json":
                continue
            file = _file_of(about)
            if file is None or not (folder / file).is_file():
                yield "damaged", f"{folder.name}/{about.name}", about
            else:
                named.add(file)
        for matrix in folder.glob("*.npy"):
            if matrix.name not in named and not matrix.name.startswith("."):
                yield "superseded", f"{folder.name}/{matrix.name}", matrix
        for shard in folder.glob("shards/*.safetensors"):
            if not shard.name.startswith(".") and not _is_safetensors(shard):
                yield "damaged", f"{folder.name}/{shard.name}", shard
        yield "vectors", folder.name, folder


def _file_of(about: Path) -> str | None:
    """The matrix that a description is of; None where it cannot be read."""
    try:
        value = files.read_json(about)
    except (OSError, ValueError):
        return None
    file = value.get("file") if isinstance(value, dict) else None
    return file if isinstance(file, str) and Path(file).name == file else None


def _is_json(path: Path) -> bool:
    try:
        files.read_json(path)
    except (OSError, ValueError):
        return False
    return True


def _is_safetensors(path: Path) -> bool:
    """Whether a file's head is whole and says as many bytes as there are."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                return False
            head = json.loads(file.read(length))
        ends = [one["data_offsets"][1] for name, one in head.items() if name != "__metadata__"]
        return 8 + length + max(ends, default=0) == path.stat().st_size
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return False


def _kind_of_dataset(folder: Path) -> str:
    """Whether it can be had again without files of the user's."""
    from tastebench.data.catalog import is_public
    from tastebench.data.dataset import read_about

    if not is_public(folder.name.replace("+", "/")):
        return "imported"
    try:
        raw = read_about(folder)["manifest"].get("raw", {})
    except (DataError, AttributeError):
        return "imported"  # nobody can tell, so that it stays
    how = raw.get("how", "") if isinstance(raw, dict) else ""
    return "imported" if str(how).startswith("read from") else "datasets"


def _work(results: Path) -> Iterator[tuple[str, str, Path]]:
    """What runs work on or have left; superseded where they have their record."""
    done = {path.parent.name for path in results.rglob(store.RECORD) if _visible(path, results)}
    room = results / store.WORK
    if not room.is_dir():
        return
    for path in sorted(room.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            yield "superseded" if path.name in done else "work", path.name, path


def _visible(path: Path, root: Path) -> bool:
    return not any(part.startswith(".") for part in path.relative_to(root).parts)


# --------------------------------------------------------------------------------- measuring


def _measured(kind: str, name: str, path: Path, open_now: _Open) -> Holding:
    size, used = 0, 0.0
    for one in _tree(path):
        try:
            status = one.lstat()
        except FileNotFoundError:
            continue  # it went while we looked
        size += status.st_size
        used = max(used, status.st_mtime)
    busy = open_now.of(path) or _locked(path)
    if busy is None and kind == "temporary" and time.time() - used < _FRESH:
        busy = "written within the hour"
    return Holding(kind, name, path, size, used, busy)


def _tree(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir() and not path.is_symlink():
        for where, folders, names in os.walk(path):
            yield from (Path(where) / name for name in (*folders, *names))


def _locked(path: Path) -> str | None:
    """Whether a process holds the lock of a run or an artefact, or is the lock's holder."""
    for lock in (path, path.with_suffix(".lock"), path.with_name(f".{path.name}.lock")):
        if lock.suffix != ".lock" or not lock.is_file():
            continue
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return "a process works on it"
    return None


@dataclass(frozen=True)
class _Open:
    """What the processes of this user have open or mapped."""

    paths: tuple[Path, ...]

    @classmethod
    def now(cls, roots: Iterable[Path]) -> _Open:
        """Those of them that lie under some folders."""
        import psutil

        under = tuple(f"{root.resolve()}/" for root in roots)
        found: set[str] = set()
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid() or process.uids().real != os.getuid():
                    continue
                found.update(_held_by(process))
            except (psutil.Error, OSError):
                continue  # it has ended, or is not ours to look at
        return cls(tuple(Path(path) for path in found if path.startswith(under)))

    def of(self, path: Path) -> str | None:
        """Why a file or folder is in use; None if it is not."""
        whole = path.resolve()
        used = any(one == whole or whole in one.parents for one in self.paths)
        return "a process has it open" if used else None


def _held_by(process: psutil.Process) -> Iterator[str]:
    """Files that a process has open or mapped."""
    maps = Path(f"/proc/{process.pid}/maps")
    if not maps.is_file():
        yield from (file.path for file in process.open_files())
        yield from (area.path for area in process.memory_maps())
        return
    # psutil reads how much of every area is in memory as well, which takes seconds.
    for line in maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        yield line.partition("/")[1] + line.partition("/")[2]
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield str(link.readlink())


def total(found: Iterable[Holding]) -> int:
    """Bytes of several; what lies within another of them counts once."""
    paths = {one.path: one.bytes for one in found}
    return sum(size for path, size in paths.items() if not paths.keys() & set(path.parents))
