"""One file over HTTP: hashes and placing by pooch, resuming by the downloader given to it here.

What has arrived of a file stays beside its place as `.part-NAME`, so that an interrupted download
goes on where it stopped, in this call or a later one. It goes on only if the server still has the
same file: by its ETag or date (`If-Range`), or, where it sends neither, if a SHA-256 will tell.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tastebench.data.offline import refuse_if_offline
from tastebench.errors import DataError
from tastebench.files import write_text

Progress = Callable[[str], None]

CHUNK = 1 << 14  # bytes written at a time, and the most that a broken connection loses
_TIMEOUT = (10, 60)  # seconds to connect, and without a byte


def download(
    urls: tuple[str, ...],
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> str:
    """Downloads to `target` from the first address that gives the whole file.

    Args:
        urls: Addresses of the same bytes, in order.
        target: The file to make; appears only when it is whole and verified.
        sha256: What it must have; None where that is not known.
        size: Bytes it must have, where known.
        progress: Called with a line about every tenth.

    Returns:
        The address it came from.

    Raises:
        DataError: No address gave the file. A file of the wrong hash is removed; of one that was
            cut off, the part that arrived is kept for the next call.
        OfflineError: The network is not to be used.
    """
    refuse_if_offline(
        f"{target.name} is not here and would be downloaded",
        where=urls[0],
        fix=f"put it at {target}, pass the folder that holds the raw files with --raw, or go "
        "online once",
    )
    import pooch
    from requests import RequestException

    pooch.get_logger().setLevel(logging.WARNING)
    failures: list[str] = []
    for url in urls:
        fetcher = _Resuming(target, sha256 is not None, size, progress or (lambda line: None))
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}" if sha256 else None,
                fname=target.name,
                path=target.parent,
                downloader=fetcher,
            )
        except RequestException as error:
            failures.append(f"{url}: {_reason(error)}")
        except ValueError:  # how pooch says that the hash is wrong; it has removed the file
            failures.append(f"{url}: the file has another SHA-256 than {sha256}; it was removed")
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise DataError(
                "the disk is full",
                where=str(target.parent),
                fix="make room and run the same again: what has arrived is kept",
            ) from error
        else:
            return url
    raise DataError(
        f"{target.name} could not be downloaded: {'; '.join(failures)}",
        where=str(target.parent),
        fix="run the same again to go on where it stopped, or get the file by hand and pass its "
        "folder with --raw",
    )


class CutOffError(OSError):
    """The connection ended before the file did."""


class _Resuming:
    """A pooch downloader that appends to the part of a file that is already there."""

    def __init__(self, target: Path, checked: bool, size: int | None, progress: Progress) -> None:
        self._name = target.name
        self._part = target.with_name(f".part-{target.name}")
        self._tag = target.with_name(f".part-{target.name}.tag")
        self._checked = checked
        self._size = size
        self._progress = progress

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """Downloads `url` to `output_file`, going on as long as each try brings bytes."""
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
                self._progress(f"{self._name}: the connection broke, going on")
            else:
                break
        shutil.move(self._part, output_file)
        self._tag.unlink(missing_ok=True)

    def _arrived(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

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
                # What is here is no beginning of what is there.
                self._part.unlink(missing_ok=True)
                self._tag.unlink(missing_ok=True)
                return self._request(url)
            response.raise_for_status()
            resumed = response.status_code == requests.codes.partial_content
            self._remember(response.headers.get("ETag") or response.headers.get("Last-Modified"))
            return self._receive(response, start if resumed else 0)

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
        with self._part.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                done += len(chunk)
                if done - shown >= step:
                    shown = done
                    self._progress(f"{self._name}: {_amount(done, total)}")
        if total is not None and done != total:
            raise CutOffError(f"it ended after {done:,} of {total:,} bytes")

    def _need_room(self, total: int | None, start: int) -> None:
        free = shutil.disk_usage(self._part.parent).free
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
