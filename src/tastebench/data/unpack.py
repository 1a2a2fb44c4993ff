"""Taking named files out of a downloaded zip or tar, without letting it write anywhere else."""

from __future__ import annotations

import errno
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from tastebench.errors import DataError
from tastebench.files import atomic_file


class NoRoomError(DataError):
    """What is in an archive does not fit; the archive itself is as good as before."""


# A RuntimeError is how zipfile says that an entry is encrypted or packed in a way it does not know,
# the others are its answers to sizes and names that cannot be.
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    RuntimeError,
    ValueError,
    KeyError,
    OverflowError,
    struct.error,
)
_MOST_RATIO = 200
"""Times its own size that a compressed tar may unpack to; text packs to a tenth."""


@dataclass(frozen=True)
class _Member:
    """An entry of an archive; `plain` is False for links and devices."""

    name: str
    size: int
    plain: bool
    folder: bool


class _Zip:
    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path)

    def members(self) -> list[_Member]:
        return [
            _Member(info.filename, info.file_size, _is_plain(info), info.is_dir())
            for info in self._archive.infolist()
        ]

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)

    def close(self) -> None:
        self._archive.close()


class _Tar:
    def __init__(self, path: Path) -> None:
        self._archive = tarfile.open(path)
        self._most = max(_MOST_RATIO * path.stat().st_size, 1 << 24)

    def members(self) -> list[_Member]:
        """The entries; to find them all is unpacked once, so that there has to be an end to it."""
        found = []
        for info in self._archive:
            if info.offset_data + info.size > self._most:
                raise ValueError(f"it unpacks to more than {self._most:,} bytes")
            plain = info.isfile() or info.isdir()
            found.append(_Member(info.name, info.size, plain, info.isdir()))
        return found

    def open(self, name: str) -> IO[bytes]:
        file = self._archive.extractfile(name)
        if file is None:  # of two entries with one name the later counts, and it is a folder
            raise ValueError(f"its entry {name!r} is a file and a folder")
        return file

    def close(self) -> None:
        self._archive.close()


def unpack(archive: Path, wanted: Sequence[str], folder: Path) -> None:
    """Writes the wanted files of `archive` below `folder`, each whole or not at all.

    Args:
        archive: A zip, or a tar however compressed.
        wanted: Paths below `folder`. The entry is the one of that path, else the only one that
            agrees with it from the file name upwards the longest: archives differ in whether they
            have a top folder.
        folder: Where they go.

    Raises:
        DataError: An entry would land outside a folder (absolute path, `..`, link), the archive is
            damaged or lacks a file, or the disk has no room. Nothing is written then.
    """
    with _opened(archive) as opened:
        members = opened.members()
        climbing = [m.name for m in members if not m.plain or _climbs(m.name)]
        if climbing:
            raise DataError(
                f"the archive is refused: its entry {climbing[0]!r} is a link or leads outside",
                where=str(archive),
                fix="do not trust where it came from; get the original release",
            )
        sizes = {m.name: m.size for m in members if not m.folder}
        chosen = {path: _choose(path, sizes, archive) for path in wanted}
        _need_room(sum(sizes[name] for name in chosen.values()), folder)
        for path, name in chosen.items():
            with opened.open(name) as source, atomic_file(folder / path) as target:
                with target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)


@contextmanager
def _opened(path: Path) -> Iterator[_Zip | _Tar]:
    try:
        archive = _Zip(path) if zipfile.is_zipfile(path) else _Tar(path)
    except (*_BROKEN, OSError) as error:
        raise _damaged(path, error) from error
    try:
        yield archive
    except _BROKEN as error:
        raise _damaged(path, error) from error
    except OSError as error:
        # Broken streams have no number of the system's, or one for a place that is nowhere.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise _damaged(path, error) from error
    finally:
        archive.close()


def _is_plain(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _climbs(name: str) -> bool:
    windows = PureWindowsPath(name)
    absolute = name.startswith("/") or windows.is_absolute() or bool(windows.drive)
    return absolute or ".." in PurePosixPath(name.replace("\\", "/")).parts


def _choose(path: str, sizes: Mapping[str, int], archive: Path) -> str:
    """The entry meant by `path`."""
    if path in sizes:
        return path
    agreement = {name: _common_tail(path, name) for name in sizes}
    best = max(agreement.values(), default=0)
    chosen = [name for name, tail in agreement.items() if tail == best]
    if best == 0 or len(chosen) != 1:
        found = ", ".join(sorted(sizes)[:10])
        raise DataError(
            f"the archive has no file {path} (it has {found})",
            where=str(archive),
            fix="the release may have changed: unpack it by hand and pass the folder with --raw",
        )
    return chosen[0]


def _common_tail(a: str, b: str) -> int:
    """How many parts two paths share, counted from the file name upwards."""
    shared = 0
    for mine, yours in zip(
        reversed(PurePosixPath(a).parts), reversed(PurePosixPath(b).parts), strict=False
    ):
        if mine != yours:
            break
        shared += 1
    return shared


def _need_room(size: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if size > free:
        raise NoRoomError(
            f"unpacking needs {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free",
            where=str(folder),
            fix="make room, or set TASTEBENCH_HOME to a folder on another disk",
        )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the archive is damaged or cut off: {(str(error).splitlines() or ['?'])[0]}",
        where=str(path),
        fix="delete it and get it again",
    )
