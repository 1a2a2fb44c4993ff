"""One file over HTTP, resumed where it stopped, verified and put in its place.

What has arrived of a file stays beside its place as `.part-NAME`, so that an interrupted download
goes on where it stopped, in this call or a later one, and is not lost while it is verified. It goes
on only if the server still has the same file: by its ETag or date (`If-Range`), or, where it sends
neither, if a SHA-256 will tell.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tastebench.data.offline import refuse_if_offline
from tastebench.errors import DataError
from tastebench.files import hash_file, write_text

Progress = Callable[[str], None]
Arrived = Callable[[str, str, int], None]

CHUNK = 1 << 14  # bytes written at a time, and the most that a broken connection loses
_TIMEOUT = (10, 60)  # seconds to connect, and without a byte


def download(
    urls: tuple[str, ...],
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    arrived: Arrived | None = None,
) -> str:
    """Downloads to `target` from the first address that gives the whole file.

    Args:
        urls: Addresses of the same bytes, in order.
        target: The file to make; appears only when it is whole and verified. One that is there
            already and is not known to be another is taken.
        sha256: What it must have; None where that is not known.
        size: Bytes it must have, where known.
        progress: Called with a line about every tenth.
        arrived: Called with the address, the SHA-256 and the bytes of the file before it appears.

    Returns:
        The address it came from.

    Raises:
        DataError: No address gave the file. A file of the wrong hash is removed; of one that was
            cut off, the part that arrived is kept for the next call.
        OfflineError: The network is not to be used.
    """
    told = arrived or (lambda url, digest, size: None)
    if target.is_file():
        digest = hash_file(target)
        if sha256 in (None, digest):
            told(urls[0], digest, target.stat().st_size)
            tidy(target)
            return urls[0]
    refuse_if_offline(
        f"{target.name} is not here and would be downloaded",
        where=urls[0],
        fix=f"put it at {target}, pass the folder that holds the raw files with --raw, or go "
        "online once",
    )
    from requests import RequestException

    failures: list[str] = []
    for url in urls:
        file = _Arriving(target, sha256 is not None, size, progress or (lambda line: None))
        try:
            file.fetch(url)
            digest = hash_file(file.part)
            if sha256 in (None, digest):
                told(url, digest, file.part.stat().st_size)
                file.place()
                return url
            file.drop()
            failures.append(f"{url}: the file has another SHA-256 than {sha256}; it was removed")
        except RequestException as error:
            failures.append(f"{url}: {_reason(error)}")
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DataError(
                "the disk is full",
                where=str(target.parent),
                fix="make room and run the same again: what has arrived is kept",
            ) from error
    raise DataError(
        f"{target.name} could not be downloaded: {'; '.join(failures)}",
        where=str(target.parent),
        fix="run the same again to go on where it stopped, or get the file by hand and pass its "
        "folder with --raw",
    )


def tidy(target: Path) -> None:
    """Removes what a download that was killed at its very end left beside its file."""
    _tag_of(target).unlink(missing_ok=True)


def _tag_of(target: Path) -> Path:
    return target.with_name(f".part-{target.name}.tag")


class CutOffError(OSError):
    """The connection ended before the file did."""


class _Arriving:
    """What has arrived of a file, appended to until it is whole."""

    def __init__(self, target: Path, checked: bool, size: int | None, progress: Progress) -> None:
        self._target = target
        self.part = target.with_name(f".part-{target.name}")
        self._tag = _tag_of(target)
        self._checked = checked
        self._size = size
        self._progress = progress

    def fetch(self, url: str) -> None:
        """Downloads what is missing of it, going on as long as each try brings bytes."""
        from requests import RequestException

        while True:
            before = self._arrived()
            try:
                self._request(url)
            except (RequestException, CutOffError) as error:
                if isinstance(error, RequestException) and error.response is not None:
                    raise
                if self._arrived() <= before:
                    raise RequestException(_reason(error)) from error
                self._progress(f"{self._target.name}: the connection broke, going on")
            else:
                return

    def place(self) -> None:
        """Puts the whole file in its place."""
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        self.part.replace(self._target)
        self._tag.unlink(missing_ok=True)

    def drop(self) -> None:
        """Removes what has arrived."""
        self.part.unlink(missing_ok=True)
        self._tag.unlink(missing_ok=True)

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _request(self, url: str) -> None:
        import requests

        from tastebench import __version__

        start = self._arrived()
        tag = self._tag.read_text(encoding="utf-8") if self._tag.is_file() else ""
        if start and not (tag or self._checked):
            start = 0
        headers = {"Accept-Encoding": "identity", "User-Agent": f"tastebench/{__version__}"}
        if start:
            headers["Range"] = f"bytes={start}-"
            if tag:
                headers["If-Range"] = tag
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                if self._is_whole(start, response.headers.get("Content-Range", "")):
                    return None
                # What is here is no beginning of what is there.
                self.drop()
                return self._request(url)
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            self._remember(response.headers.get("ETag") or response.headers.get("Last-Modified"))
            return self._receive(response, start if resumed else 0)

    def _is_whole(self, arrived: int, answer: str) -> bool:
        """Whether nothing follows because nothing is missing: it had arrived, and was not placed.

        A file of the same length that is another has another tag, or another hash.
        """
        said = re.fullmatch(r"bytes \*/(\d+)", answer.strip())
        return arrived == (int(said[1]) if said else self._size)

    def _remember(self, tag: str | None) -> None:
        if tag and not tag.startswith("W/"):  # If-Range takes strong tags only
            write_text(self._tag, tag)
        else:
            self._tag.unlink(missing_ok=True)

    def _receive(self, response: Any, start: int) -> None:
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else self._size
        self._need_room(total, start)
        done, shown = start, start
        step = max(total // 10 if total else 0, 1 << 21)
        with self.part.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if done - shown >= step:
                    shown = done
                    self._progress(f"{self._target.name}: {_amount(done, total)}")
        if total is not None and done != total:
            raise CutOffError(f"it ended after {done:,} of {total:,} bytes")

    def _need_room(self, total: int | None, start: int) -> None:
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total - start > free:
            raise OSError(errno.ENOSPC, "no room")


def megabytes(size: int | None) -> str:
    """A size for reading.

    >>> megabytes(4_924_029)
    '4.9 MB'
    """
    if size is None:
        return "size not known"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def _amount(done: int, total: int | None) -> str:
    return megabytes(done) if total is None else f"{megabytes(done)} of {megabytes(total)}"


def _reason(error: Exception) -> str:
    """The error in a line, without the objects that requests prints around it."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, CutOffError):
        return str(error)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection ended before the file did"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
