"""Two rows of a board compared on the same users, with every test that the records allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tastebench.board.board import columns_of, of_task, within
from tastebench.board.cells import Cell, make_cell
from tastebench.board.compare_cases import Titles
from tastebench.board.compare_model import Compared, Options, Outcome
from tastebench.board.compare_units import corrected, outcome_of
from tastebench.board.compare_verdict import verdict
from tastebench.board.gate import check_protocols
from tastebench.board.load import Entry, Loaded, load
from tastebench.board.model import Column, RowBy, row_by_of
from tastebench.board.names import group_cells
from tastebench.board.short import last_parts
from tastebench.errors import ProtocolError, UsageError, did_you_mean


def read_comparison(root: Path, a: str, b: str, options: Options | None = None) -> Compared:
    """Compares two rows of the board of a results folder.

    Args:
        root: Results folder, or a folder of one plan below it.
        a: A row, called as on the board.
        b: Another row; positive differences are in favour of A where higher is better.
        options: How.

    Raises:
        UsageError: No such folder, row, metric or task, one row twice, or no column in common.
        DataError: No records, or an unreadable one.
        ProtocolError: The two were measured under different protocols.
    """
    return compare(load(root), a, b, options, where=str(root))


def compare(
    loaded: Loaded, a: str, b: str, options: Options | None = None, where: str = "DIR"
) -> Compared:
    """The same of records that are already read; `where` is named in messages."""
    options = options or Options()
    loaded = loaded if options.task is None else of_task(loaded, options.task)
    pair = _pair(loaded, a, b, options.row_by, where)
    cells = [[make_cell(cell.entries) for cell in row] for row in pair.values()]
    tests, notes = _tests(cells, options, " and ".join(pair), where)
    records = [cell.record for side in cells for cell in side]
    a, b = pair
    found = Compared(
        suite=records[0].suite,
        a=a,
        b=b,
        tests=tests,
        correction=options.correction,
        n_tests=sum((t.paired is not None) + len(t.segments) for t in tests),
        matters=options.matters,
        seed=options.seed,
        resamples=options.resamples,
        notes=(*loaded.notes, *notes, *_once_trained(cells)),
        preliminary=any(record.preliminary for record in records),
    )
    return replace(found, tests=tuple(replace(t, verdict=verdict(found, t)) for t in tests))


def _tests(
    cells: Sequence[Sequence[Cell]], options: Options, names: str, where: str
) -> tuple[tuple[Outcome, ...], list[str]]:
    """The columns that both have, adjusted for each other, and what to say about them.

    Raises:
        UsageError: No such metric or task, or there are none.
    """
    columns, notes = columns_of([*cells[0], *cells[1]], options.metric)
    columns = columns if options.task is None else within(columns, options.task)
    titles = Titles()
    found, alone = [], []
    for column in columns:
        mine, theirs = (_cell(side, column) for side in cells)
        if mine is None or theirs is None:
            alone.append(f"{column.part}/{column.dataset}")
        else:
            found.append(outcome_of(column, mine, theirs, options, titles))
    if not found:
        raise UsageError(
            f"{names} were measured on nothing in common",
            where=where,
            fix="compare two rows that have scores in one column",
        )
    notes += [f"of one of the two only: {', '.join(alone)}"] if alone else []
    return corrected(found), [*notes, *titles.notes]


def rows_of(loaded: Loaded, row_by: RowBy | None) -> dict[str, list[Cell]]:
    """The rows of the board, their scores not yet computed."""
    seeds: dict[str, list[Entry]] = {}
    for entry in loaded.entries:
        seeds.setdefault(entry.setting, []).append(entry)
    cells = [
        Cell(tuple(sorted(mine, key=lambda e: e.record.spec.seed)), {}) for mine in seeds.values()
    ]
    if not cells:
        return {}
    wanted = row_by or row_by_of(cells[0].record.row_by)
    return group_cells(cells, wanted).rows


def _pair(
    loaded: Loaded, a: str, b: str, row_by: RowBy | None, where: str
) -> dict[str, list[Cell]]:
    """The two rows that are meant, A first.

    Raises:
        UsageError: One of them is not there, or both are one.
        ProtocolError: They were measured under different protocols.
    """
    rows = rows_of(loaded, row_by)
    if not rows:
        raise UsageError(
            "; ".join(["no run here is finished and complete", *loaded.notes]),
            where=where,
            fix="tastebench run PLAN --out DIR, without --limit",
        )
    names = [_named(name, rows, where) for name in (a, b)]
    if names[0] == names[1]:
        raise UsageError(
            f"{names[0]} would be compared with itself",
            where=where,
            fix=f"two rows of `tastebench board {where}`",
        )
    _check(rows[names[0]], rows[names[1]])
    return {name: rows[name] for name in names}


def _named(name: str, rows: dict[str, list[Cell]], where: str) -> str:
    """The row called so: by its name, else by its name as a narrow board has it.

    Raises:
        UsageError: There is none.
    """
    if name in rows:
        return name
    short = {one: row for row, one in last_parts(rows).items()}
    if name in short:
        return short[name]
    raise UsageError(
        f"no row is called {name!r}: {did_you_mean(name, rows)}",
        where=where,
        fix=f"tastebench board {where} shows them",
    )


def _check(mine: Sequence[Cell], theirs: Sequence[Cell]) -> None:
    """Refuses two protocols of one task on one dataset.

    Raises:
        ProtocolError: Names what differs.
    """
    for cell in mine:
        for other in theirs:
            if _place(cell) != _place(other):
                continue
            try:
                check_protocols([e.record for e in (*cell.entries, *other.entries)], mixed=False)
            except ProtocolError as error:
                raise ProtocolError(
                    error.what, where=error.where, fix="run both again under one protocol"
                ) from error


def _place(cell: Cell) -> tuple[str, str]:
    return cell.record.spec.task, cell.record.spec.dataset


def _cell(cells: Sequence[Cell], column: Column) -> Cell | None:
    """The cell that has a mean in a column."""
    for cell in cells:
        score = cell.scores.get((column.group, column.metric))
        if _place(cell) == (column.task, column.dataset) and score and score.mean is not None:
            return cell
    return None


def _once_trained(cells: Sequence[Sequence[Cell]]) -> list[str]:
    """Said where something that is trained was trained once."""
    once = any(
        len(cell.entries) == 1 and cell.record.fit is not None and cell.record.fit.epochs
        for side in cells
        for cell in side
    )
    told = "some runs were trained once: how far training again would move a score is in no test"
    return [told] if once else []
