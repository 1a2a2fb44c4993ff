"""Records for a page: what can be read, by plan and protocol, and what cannot, by name.

A board stops at the first broken record, because a number may be missing without anybody seeing
it. A page has room to say so: it lists what it left out, and why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tastebench.board.gate import main_protocol
from tastebench.board.load import Entry, Loaded, sort_out
from tastebench.board.report.curves import curve
from tastebench.errors import DataError, counted
from tastebench.runs.record import Record
from tastebench.runs.store import find_records


@dataclass(frozen=True)
class Skipped:
    """A file that was to be a record.

    Attributes:
        path: Below the results folder.
        why: In one sentence.
    """

    path: str
    why: str


@dataclass(frozen=True, eq=False)
class Found:
    """What lies under a results folder.

    Attributes:
        entries: Every record that can be read, partial and failed runs among them.
        skipped: The others.
    """

    root: Path
    entries: tuple[Entry, ...]
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, eq=False)
class Part:
    """Runs that stand in one table: of one plan, under one protocol a column.

    Attributes:
        suite: The plan.
        protocol: What sets it apart from the other tables of the plan; empty for the first one.
        loaded: Its runs; those that failed stand with the first table.
        entries: Every run of the plan, for lists.
    """

    suite: str
    protocol: str
    loaded: Loaded
    entries: tuple[Entry, ...]


def read_records(root: Path) -> Found:
    """Every record under a folder; broken and foreign ones are put aside.

    Raises:
        UsageError: There is no such folder.
        DataError: There is no record, or none that can be read.
    """
    root = Path(root)
    entries: list[Entry] = []
    skipped: list[Skipped] = []
    for path in find_records(root):
        try:
            entry = Entry(Record.read(path), path.parent)
            entry.units(list(entry.record.metrics))  # a broken table would end a page half-way
            curve(entry)
        except DataError as error:
            skipped.append(Skipped(str(path.relative_to(root)), _why(error, root)))
            continue
        entries.append(entry)
    if not entries:
        raise DataError(
            f"none of {counted(len(skipped), 'record')} here can be read; the first: "
            f"{skipped[0].why}",
            where=str(root / skipped[0].path),
            fix="tastebench run PLAN --out DIR",
        )
    return Found(root, tuple(entries), tuple(skipped))


def _why(error: DataError, root: Path) -> str:
    """The error without the path of the folder, which a page does not tell to others."""
    where = (error.where or "").replace(f"{root}/", "")
    key = where.partition(", ")[2]
    told = f"{error.what} ({key})" if key else error.what
    return " ".join(told.replace(f"{root}/", "").split())


def parts_of(found: Found, *, mixed: bool = False) -> list[Part]:
    """One part a plan; with several protocols in a column, one more for each other protocol.

    Args:
        found: The records.
        mixed: Leave protocols together; the board then marks them.
    """
    suites = sorted({entry.record.suite for entry in found.entries})
    return [part for suite in suites for part in _of_plan(found, suite, mixed)]


def _of_plan(found: Found, suite: str, mixed: bool) -> Iterator[Part]:
    mine = tuple(entry for entry in found.entries if entry.record.suite == suite)
    loaded = sort_out(mine, suite)
    if mixed:
        yield Part(suite, "", loaded, mine)
        return
    main, others = _by_protocol(loaded.entries)
    yield Part(suite, "", replace(loaded, entries=main), mine)
    for (task, dataset, protocol), entries in others.items():
        name = f"{task} on {dataset}, protocol {protocol}"
        yield Part(suite, name, Loaded(entries, (), ()), mine)


def _by_protocol(
    entries: Sequence[Entry],
) -> tuple[tuple[Entry, ...], dict[tuple[str, str, str], tuple[Entry, ...]]]:
    """The entries under the most frequent protocol of their task and dataset; then each other."""
    places: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        spec = entry.record.spec
        places.setdefault((spec.task, spec.dataset), []).append(entry)
    main = {
        place: main_protocol(e.record.protocol_id for e in mine) for place, mine in places.items()
    }
    others: dict[tuple[str, str, str], tuple[Entry, ...]] = {}
    for place, mine in places.items():
        for entry in mine:
            protocol = entry.record.protocol_id
            if protocol != main[place]:
                key = (*place, protocol)
                others[key] = (*others.get(key, ()), entry)
    kept = tuple(
        e
        for e in entries
        if e.record.protocol_id == main[e.record.spec.task, e.record.spec.dataset]
    )
    return kept, others
