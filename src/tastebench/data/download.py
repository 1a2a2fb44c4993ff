"""Getting the raw files of a public dataset: from a folder of the user's, or downloaded.

Either way the answer says which, and names every file with its SHA-256. A folder is only read, and
what it lacks is listed at once with where it comes from. Downloads are kept under
`tastebench.files.home()/raw/NAME`; addresses and hashes stand in `downloads.json` beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tastebench import files
from tastebench.data.card import DatasetCard, RawFile
from tastebench.data.sources.reading import find
from tastebench.data.transfer import Progress, download, megabytes, tidy
from tastebench.data.unpack import NoRoomError, unpack
from tastebench.errors import DataError

_LEDGER = "downloads.json"


@dataclass(frozen=True)
class RawFolder:
    """Where a dataset's raw files lie.

    Attributes:
        path: The folder to read from.
        how: `read from ...` or `downloaded from ...`, for messages and the manifest.
        files: Name below `path` to SHA-256, of every file that was found.
        notes: What could not be verified, or differs from the release.
    """

    path: Path
    how: str
    files: dict[str, str]
    notes: tuple[str, ...] = ()


def fetch(
    card: DatasetCard,
    *,
    raw: Path | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> RawFolder:
    """The folder with the files that `card` names.

    Args:
        card: Names files, addresses and hashes.
        raw: A folder of the user's, read instead of downloading.
        progress: Called with a line for each thing that takes time.
        folder: Where downloads go, instead of their usual place.

    Raises:
        DataError: Files are missing (all are listed), cannot be downloaded, or are not what the
            card says.
    """
    say = progress or (lambda line: None)
    if raw is not None:
        return _read_from(card, Path(raw).expanduser())
    return _downloaded(card, folder or files.home() / "raw" / card.name, say)


def _read_from(card: DatasetCard, raw: Path) -> RawFolder:
    if not raw.is_dir():
        raise DataError(
            f"there is no folder {raw}",
            where=f"raw files of {card.name}",
            fix="give the folder that holds the original files",
        )
    folder = _inner(card, raw)
    _refuse_missing(card, folder, [file for file in card.files if file.required])
    found, notes = {}, []
    for file in card.files:
        path = find(folder, file)
        if path is None:
            continue
        name = path.relative_to(folder).as_posix()
        found[name] = files.hash_file(path)
        if file.sha256 and not file.unpack and name == file.path and found[name] != file.sha256:
            notes.append(f"{name} differs from the release (another SHA-256)")
    return RawFolder(folder, f"read from {folder}", found, tuple(notes))


def _inner(card: DatasetCard, raw: Path) -> Path:
    """`raw`, or the only folder right below it that holds all that is needed.

    Releases unpack into a folder of their own, and people name the one around it.
    """
    needed = [file for file in card.files if file.required]

    def complete(folder: Path) -> bool:
        return all(find(folder, file) for file in needed)

    if complete(raw):
        return raw
    if complete(raw / card.name):
        return raw / card.name
    inner = [folder for folder in sorted(raw.iterdir()) if folder.is_dir() and complete(folder)]
    return inner[0] if len(inner) == 1 else raw


def _refuse_missing(card: DatasetCard, folder: Path, needed: Iterable[RawFile]) -> None:
    """One error for all files that are not there."""
    missing = [file for file in needed if find(folder, file) is None]
    if not missing:
        return
    lines = [f"  {' or '.join((f.path, *f.also))} ({_origin(f, card)})" for f in missing]
    count = f"{len(missing)} file{'s' if len(missing) > 1 else ''}"
    raise DataError(
        f"{card.name} needs {count} that {'are' if len(missing) > 1 else 'is'} not there:\n"
        + "\n".join(lines),
        where=str(folder),
        fix=f"put {'them' if len(missing) > 1 else 'it'} there, or leave --raw away to download"
        if all(file.url for file in missing)
        else f"see {card.source}, put the files there and pass the folder with --raw",
    )


def _origin(file: RawFile, card: DatasetCard) -> str:
    """Where a file comes from and how large that is."""
    if file.url is None:
        return f"to be had from {card.source}" if card.source else "not offered for download"
    inside = f"in {PurePosixPath(file.url).name} " if file.unpack else ""
    return f"{inside}from {file.url}, {megabytes(file.bytes)}"


def _downloaded(card: DatasetCard, folder: Path, say: Progress) -> RawFolder:
    # What has no address can only be there already; that is known before anything is downloaded.
    _refuse_missing(card, folder, [f for f in card.files if f.required and f.url is None])
    ledger = _read_ledger(folder)
    for url, wanted in _by_address(card).items():
        target = _target(wanted[0], folder)
        lacking = [file for file in wanted if not (folder / file.path).is_file()]
        # An archive that is still there was not unpacked to the end, or not written down.
        if lacking or (wanted[0].unpack and target.is_file()):
            folder.mkdir(parents=True, exist_ok=True)

            def arrived(entry: dict[str, Any], url: str = url) -> None:
                ledger[url] = entry
                files.write_json(folder / _LEDGER, ledger)

            _get(card, folder, lacking or wanted, target, arrived, say)
        else:
            tidy(target)
    found = {
        path.relative_to(folder).as_posix(): files.hash_file(path)
        for path in (find(folder, file) for file in card.files)
        if path is not None
    }
    used = [entry for url, entry in ledger.items() if url in _by_address(card)]
    notes = tuple(
        f"{PurePosixPath(entry['url']).name} was not verified: no SHA-256 is published for it; "
        f"it has {entry['sha256']}"
        for entry in used
        if not entry["verified"]
    )
    hosts = ", ".join(dict.fromkeys(entry["url"].split("/")[2] for entry in used))
    how = f"downloaded from {hosts}" if hosts else f"read from {folder}"
    return RawFolder(folder, how, found, notes)


def _by_address(card: DatasetCard) -> dict[str, list[RawFile]]:
    """The files of each address: several where it is an archive."""
    grouped: dict[str, list[RawFile]] = {}
    for file in card.files:
        if file.url is not None:
            grouped.setdefault(file.url, []).append(file)
    return grouped


def _target(first: RawFile, folder: Path) -> Path:
    """Where an address is downloaded to: an archive beside what is taken out of it."""
    assert first.url is not None
    return folder / (PurePosixPath(first.url).name if first.unpack else first.path)


def _get(
    card: DatasetCard,
    folder: Path,
    wanted: list[RawFile],
    target: Path,
    arrived: Callable[[dict[str, Any]], None],
    say: Progress,
) -> None:
    """Downloads one address and unpacks it if need be.

    Args:
        card: Whose files.
        folder: Where they go.
        wanted: The files of the address.
        target: Where the address is downloaded to.
        arrived: Told what the ledger is to say of it, before the file is in its place: a file
            without a word of where it came from was put there by somebody. Of an archive once it
            is unpacked, and before it is removed.
        say: Told a line for each thing that takes time.
    """
    first = wanted[0]
    assert first.url is not None
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"{card.name}: downloading {first.url} ({megabytes(first.bytes)})")
    entry: dict[str, Any] = {}

    def told(url: str, sha256: str, size: int) -> None:
        verified = first.sha256 is not None
        entry.update({"url": url, "sha256": sha256, "bytes": size, "verified": verified})
        if not first.unpack:
            arrived(entry)

    download(
        (first.url, *first.mirrors),
        target,
        sha256=first.sha256,
        size=first.bytes,
        progress=say,
        arrived=told,
    )
    if first.unpack:
        say(f"{card.name}: unpacking {target.name}")
        try:
            unpack(target, [file.path for file in wanted], folder)
        except NoRoomError:
            raise
        except DataError:
            # Kept, a refused or damaged archive would be found again instead of fetched again.
            target.unlink()
            raise
        arrived(entry)
        target.unlink()


def _read_ledger(folder: Path) -> dict[str, Any]:
    path = folder / _LEDGER
    try:
        ledger = files.read_json(path) if path.is_file() else {}
    except ValueError as error:
        raise DataError(
            f"this is not JSON: {error}", where=str(path), fix=f"delete {folder} and download again"
        ) from error
    return dict(ledger)
