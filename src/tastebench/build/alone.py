"""One process at a time, where several would make the same thing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """In the block no other process is in one for the same folder; a kill lets go as well.

    The file that is locked is gone afterwards. Whoever had waited for it then holds a file that
    nobody else will see, and takes the next.
    """
    path = folder.with_name(f".{folder.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    told = False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _taken(handle):
                if not told:
                    say("another process makes the same: waiting for it")
                told = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_there(path, handle):
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return
        finally:
            os.close(handle)


def _taken(handle: int) -> bool:
    """Locks the file if nobody has."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_there(path: Path, handle: int) -> bool:
    """Whether the file that is locked is still the one that others find."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
