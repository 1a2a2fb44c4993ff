"""Atomic writes and content hashes.

A file is written beside its target, flushed to disk and renamed over it, so a reader sees the old
content or the new, never a half. A folder is built beside its target and renamed into place, or
swapped with the one that is there.
Accepted: a crash can leave a `.tmp-*` sibling behind, which no reader looks at; where the system
cannot swap two folders there is none for a moment while one is replaced; and a rename is not
durable on every file system until the folder's own entry is synced.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

HOME = "TASTEBENCH_HOME"
"""The environment variable that says where things are kept."""

SEAL = "sha256"
"""The key of an object's own checksum in its file."""

_UMASK_LOCK = threading.Lock()
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CUT_SHORT = re.compile(r"requested and \d+ written")
_SYSTEM_CODE = re.compile(r"\(os error (\d+)\)")


@contextmanager
def atomic_file(path: Path, name: Callable[[Path], str] | None = None) -> Iterator[Path]:
    """Yields a temporary path to write; renames it to `path` if the block succeeds.

    Args:
        path: The file.
        name: Names it by what was written, in the folder of `path` and instead of its name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, made = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(made)
    try:
        with plain_errors(path):
            yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes files private; what is published follows the user's umask.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path if name is None else path.with_name(name(temporary)))
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill; it replaces `path` if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=".tmp-"))
    try:
        with plain_errors(path):
            yield temporary
        temporary.chmod(0o777 & ~_umask())
        _publish(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def no_room(error: BaseException) -> bool:
    """Whether it is a full disk, a spent quota or a limit on files: nothing can be written."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turns failed writes of other libraries into the OSError of the system, naming `path`.

    Polars and safetensors have exceptions of their own for a full disk, with the system's number in
    the text; NumPy says how much it wrote.
    """
    try:
        yield
    except Exception as error:
        code = _system_code(error)
        if code is None:
            raise
        raise OSError(code, os.strerror(code), str(path)) from error


def _system_code(error: Exception) -> int | None:
    if isinstance(error, OSError):
        return errno.ENOSPC if error.errno is None and _CUT_SHORT.search(str(error)) else None
    if type(error).__module__.partition(".")[0] not in ("polars", "safetensors"):
        return None
    found = _SYSTEM_CODE.search(str(error))
    if found:
        return int(found[1])
    # A Parquet footer that could not be written has lost the number: it is the last thing written,
    # so that want of room is by far the likeliest.
    return errno.ENOSPC if "transport error" in str(error) else None


def _umask() -> int:
    """The user's umask, which can only be read by setting it: two threads may not at once."""
    with _UMASK_LOCK:
        umask = os.umask(0)
        os.umask(umask)
    return umask


def _publish(folder: Path, path: Path) -> None:
    """Renames `folder` to `path`; what was there is under the old name afterwards, or gone.

    Two processes may publish at once: whoever finds the place taken moves the other's away.
    """
    for attempt in range(100):
        try:
            folder.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if _swap(folder, path):
            return
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".tmp-") as retired:
            with suppress(FileNotFoundError):
                path.rename(Path(retired) / str(attempt))
            with suppress(OSError):  # taken again by another: from the beginning
                folder.rename(path)
                return
    raise FileExistsError(errno.EEXIST, "others keep writing it", str(path))


def _swap(one: Path, other: Path) -> bool:
    """Exchanges two paths in one step; False where the system or the file system cannot."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as UTF-8, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN is refused (it is not JSON)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def read_json(path: Path, most: int = 1 << 28) -> Any:
    """The JSON value in `path`, whoever wrote it.

    Args:
        path: The file.
        most: Bytes that are read at most.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not UTF-8 or not JSON, is nested too deep to be read, or is too large.
    """
    size = path.stat().st_size
    if size > most:
        raise ValueError(f"it has {size:,} bytes, and {most:,} are read at most")
    return parse_json(path.read_text(encoding="utf-8"))


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Writes an object as JSON with a checksum of all else in it, for `read_sealed`."""
    write_json(path, {**value, SEAL: hash_json(value, length=64)})


def read_sealed(path: Path) -> Any:
    """The JSON value in `path`, without its checksum; what has none is taken as it is.

    Raises:
        OSError: It cannot be read.
        ValueError: As `read_json`, or the value is not the one that was written.
    """
    value = read_json(path)
    if not isinstance(value, dict) or SEAL not in value:
        return value
    rest = {key: one for key, one in value.items() if key != SEAL}
    if value[SEAL] != hash_json(rest, length=64):
        raise ValueError(f"it is not what was written: its checksum, {SEAL}, does not match")
    return rest


def parse_json(text: str | bytes) -> Any:
    """The JSON value of a text that may come from anybody.

    Raises:
        ValueError: It is not JSON, or nested too deep to be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def load_array(path: Path) -> np.ndarray:
    """A `.npy` file, memory-mapped and read-only, whoever wrote it.

    Mapped, a file that says it holds more than it does is refused before memory is taken for it.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no array, or one of objects, whose reading would run their code.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        raise
    except Exception as error:  # its head is Python's text, and fails in as many ways
        raise ValueError(f"it is no array: {error}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive, not an array")
    return array


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values, equal text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def hash_json(value: Any, length: int = 16) -> str:
    """The first `length` hex digits of the SHA-256 of `value`'s canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:length]


def hash_file(path: Path) -> str:
    """The SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_arrays(*arrays: np.ndarray) -> str:
    """The SHA-256 of arrays by dtype, shape and little-endian values, 64 hex digits."""
    digest = hashlib.sha256()
    for array in arrays:
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f"{little.dtype.str}{little.shape}".encode())
        digest.update(np.ascontiguousarray(little).tobytes())
    return digest.hexdigest()


def home() -> Path:
    """Where datasets and vectors are kept: `TASTEBENCH_HOME`, else the user's cache folder.

    It moves files, never a number: everything under it is keyed by content.
    """
    given = os.environ.get(HOME)
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tastebench"
