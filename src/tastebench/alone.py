"""One process at a time, where several would make the same thing."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(path: Path, wait: Callable[[], None]) -> Iterator[bool]:
    """In the block no other process is in one for the same lock; a kill lets go as well.

    The file that is locked is gone afterwards. Whoever had waited for it then holds a file that
    nobody else will see, and takes the next.

    Args:
        path: The file that is locked.
        wait: Called once if another process is in there, before waiting for it.

    Yields:
        Whether another process was there first, and may have done what was to be done.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waited = False
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if not _taken(handle):
                if not waited:
                    wait()
                waited = True
                fcntl.flock(handle, fcntl.LOCK_EX)
            if not _is_there(path, handle):
                continue
            try:
                yield waited
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
