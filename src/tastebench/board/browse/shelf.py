"""The runs under a results folder, read once and again where a file changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tastebench.board.load import Entry
from tastebench.errors import DataError
from tastebench.runs.record import Record
from tastebench.runs.store import find_records

_Stamp = tuple[int, int]


@dataclass(frozen=True)
class Broken:
    """A file that was to be a record, and why it is none."""

    path: str
    why: str


@dataclass
class Shelf:
    """What lies under a folder now.

    A run is known by its folder below the root, so that nobody reaches a file by asking for it.

    Args:
        root: Results folder.
    """

    root: Path
    _known: dict[str, tuple[_Stamp, Entry | Broken]] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def look(self) -> tuple[dict[str, Entry], list[Broken]]:
        """Every run by its folder's name below the root, in order; and what is none.

        A folder without a record yet is empty, not an error: a plan may be about to begin.

        Raises:
            UsageError: The root is gone.
        """
        try:
            paths = find_records(self.root)
        except DataError:
            paths = []
        with self._lock:
            self._known = dict(self._read(paths))
            found = {key: one for key, (_, one) in self._known.items()}
        return (
            {key: one for key, one in found.items() if isinstance(one, Entry)},
            [one for one in found.values() if isinstance(one, Broken)],
        )

    def stamp(self) -> tuple[tuple[str, _Stamp], ...]:
        """Changes when a run was added, changed or taken away since the last `look`."""
        with self._lock:
            return tuple((key, stamp) for key, (stamp, _) in self._known.items())

    def _read(self, paths: list[Path]) -> Iterator[tuple[str, tuple[_Stamp, Entry | Broken]]]:
        for path in paths:
            key = path.parent.relative_to(self.root).as_posix()
            try:
                status = path.stat()
                stamp = status.st_mtime_ns, status.st_size
                before = self._known.get(key)
                if before is not None and before[0] == stamp:
                    yield key, before
                    continue
                yield key, (stamp, Entry(Record.read(path), path.parent))
            except FileNotFoundError:
                continue  # it was renamed away between listing and reading
            except DataError as error:
                yield key, (stamp, Broken(f"{key}/{path.name}", error.what))
