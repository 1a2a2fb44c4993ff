"""Dying at a chosen moment: the system calls by which something becomes lasting are counted.

What a killed process leaves behind changes only when one of these calls is made, so dying right
before each of them, after the last one, and with half a file at each flush is dying at every moment
that can be told from the others afterwards. Work between them (`unit`) is counted as well, so that
one can die in the middle of an epoch, a shard or a chunk of a download.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("replace", "rename", "unlink", "rmdir", "link")


class Killer:
    """Counts the events of a process below a folder, and ends it at one of them.

    Attributes:
        root: Only what happens below it counts.
        at: The event to die at; None only counts.
        half: Die with half of the file that is being flushed, rather than before the event.
    """

    def __init__(self, root: Path, at: int | None, *, half: bool = False) -> None:
        self.root, self.at, self.half = root.resolve(), at, half
        self.events: list[str] = []
        self._units = root.with_name(f"{root.name}.units")

    def install(self) -> None:
        """From here on the calls of this process count."""
        for name in CALLS:
            setattr(os, name, self._counting(name, getattr(os, name)))
        flush = os.fsync

        def fsync(handle: int) -> None:
            path = Path(f"/proc/self/fd/{handle}").readlink()
            if self._within(path):
                # What is appended to is died in chunk by chunk; the rest is written at once.
                halve = (lambda: _halve(handle)) if _plain(path) == ".tmp" else None
                self._event(f"flush {_plain(path)}", halve)
            flush(handle)

        os.fsync = fsync

    def unit(self, kind: str, amount: int = 1) -> None:
        """A piece of work begins; it may be died in, and then it was begun for nothing."""
        with self._units.open("a") as file:
            file.write(json.dumps([kind, amount]) + "\n")
        self._event(f"in {kind}")

    def end(self) -> None:
        """After everything."""
        self._event("end")

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *more: Any, **options: Any) -> Any:
            inside = options.get("dir_fd") is not None or self._within(Path(os.fsdecode(path)))
            # Tidying up what was renamed away changes nothing.
            if inside and (options.get("dir_fd") is not None or os.path.lexists(path)):
                self._event(f"{name} {_plain(Path(os.fsdecode(path)))}")
            return call(path, *more, **options)

        return counted

    def _within(self, path: Path) -> bool:
        return path.is_absolute() and path.is_relative_to(self.root)

    def _event(self, what: str, halve: Callable[[], None] | None = None) -> None:
        if self.at == len(self.events):
            if self.half and halve is not None:
                halve()
            os.kill(os.getpid(), signal.SIGKILL)
        self.events.append(what)


def _halve(handle: int) -> None:
    # The handle may be one for reading: the file is opened anew.
    os.truncate(f"/proc/self/fd/{handle}", os.fstat(handle).st_size // 2)


def _plain(path: Path) -> str:
    return ".tmp" if path.name.startswith((".tmp-", "tmp")) else path.name
