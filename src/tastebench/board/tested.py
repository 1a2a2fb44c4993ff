"""Which scores of a board differ surely from the best of their column, or from a named row.

Every row is tested against one other on the units that both were asked, by the sign-flip test of
`tastebench.board.significance`, and all p-values of the table are adjusted together (Holm 1979).
Seeds are averaged within a unit first, so it is about the models as they were trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tastebench.board import figures
from tastebench.board.board import of_task
from tastebench.board.cells import Cell
from tastebench.board.compare import rows_of
from tastebench.board.compare_units import both_of
from tastebench.board.compare_verdict import SURE
from tastebench.board.load import Loaded
from tastebench.board.model import Board, Column, Row
from tastebench.board.short import last_parts
from tastebench.board.significance import RESAMPLES, holm, sign_flip
from tastebench.errors import UsageError, counted, did_you_mean

BEST, NONE = "best", "none"
"""What stands where a row is named: the best row of each column, and no test at all."""

_SEED = 0  # equal records make equal marks


@dataclass(frozen=True)
class Difference:
    """A score against the one that it is tested against.

    Attributes:
        p: Adjusted for the whole table.
        better: Whether it is the better one of the two.
    """

    p: float
    better: bool

    @property
    def sure(self) -> bool:
        """Whether chance is unlikely to have made it."""
        return self.p < SURE


@dataclass(frozen=True)
class Tested:
    """The tests of one board.

    Attributes:
        against: The row that all are tested against; None for the best of each column.
        n: p-values that were adjusted together.
        found: Row and column to the difference; nothing where it could not be tested.
        untested: What could not be, as `row on column`.
    """

    against: str | None
    n: int
    found: dict[tuple[str, str], Difference]
    untested: tuple[str, ...] = ()

    def sure(self, row: Row, column: Column) -> Difference | None:
        """The difference of a score, if it is sure."""
        found = self.found.get((row.name, column.key))
        return found if found is not None and found.sure else None

    def line(self, marks: tuple[str, str]) -> str:
        """What the marks mean.

        Args:
            marks: Those of a better and of a worse score.
        """
        worse = f"{marks[1]} worse than"
        what = f"{worse} the best of its column"
        if self.against is not None:
            what = f"{marks[0]} better, {worse} {self.against}"
        left = f"; not tested: {', '.join(self.untested)}" if self.untested else ""
        return (
            f"{what}: p < {SURE:.2g}, two-sided sign-flip test on the same units, Holm over "
            f"{counted(self.n, 'comparison')}{left}"
        )


def row_named(board: Board, name: str) -> str:
    """The row that is meant: by its name, else by its name as a narrow board has it.

    Raises:
        UsageError: There is none.
    """
    names = [row.name for row in board.rows]
    short = {one: row for row, one in last_parts(names).items()}
    if name not in names and name not in short:
        raise UsageError(
            f"no row is called {name!r}: {did_you_mean(name, names)}",
            fix=f"--baseline {BEST}, or a row of the board",
        )
    return name if name in names else short[name]


def differences(board: Board, loaded: Loaded, against: str | None = None) -> Tested:
    """Tests every row of a board that takes part against the best of each column, or one row.

    Args:
        board: The board.
        loaded: The records that it was made of.
        against: Name of a row; None for the best of each column.

    Raises:
        UsageError: No such row.
        DataError: A table of values per unit is broken.
    """
    against = None if against is None else row_named(board, against)
    tasks = {column.task for column in board.columns}
    loaded = of_task(loaded, next(iter(tasks))) if len(tasks) == 1 else loaded
    cells = rows_of(loaded, board.row_by)
    p: dict[tuple[str, str], tuple[float, bool]] = {}
    untested = []
    for column in board.columns:
        other = _other(board, column, against)
        if other is None:
            continue
        for row in board.ranked:
            if row.name == other.name or row.mean(column) is None:
                continue
            found = _p(column, cells[row.name], cells[other.name])
            if found is None:
                untested.append(f"{row.name} on {column.key}")
            else:
                p[row.name, column.key] = found
    adjusted = holm([one for one, _ in p.values()])
    return Tested(
        against=against,
        n=len(p),
        found={
            key: Difference(value, better)
            for (key, (_, better)), value in zip(p.items(), adjusted, strict=True)
        },
        untested=tuple(untested),
    )


def _other(board: Board, column: Column, against: str | None) -> Row | None:
    """The row that a column's rows are tested against; None where it has no score there."""
    known = {row.name: row for row in board.rows if row.mean(column) is not None}
    if against is not None:
        return known.get(against)
    means = {row.name: row.mean(column) for row in board.ranked}
    best = figures.best_two(means, column.sign)[0]
    return next((row for name, row in known.items() if name in best), None)


def _p(column: Column, mine: Sequence[Cell], theirs: Sequence[Cell]) -> tuple[float, bool] | None:
    """Its p alone, and whether the first is better; None where nothing can be paired."""
    both, _ = both_of(column, _at(mine, column), _at(theirs, column))
    if both is None or not both.known.any():
        return None
    # What is equal but for the order of a sum is equal.
    each = both.weights * np.round(both.a.mean(axis=1) - both.b.mean(axis=1), 12)
    return sign_flip(each, np.random.default_rng(_SEED), RESAMPLES), bool(
        column.sign * each.sum() > 0
    )


def _at(cells: Sequence[Cell], column: Column) -> Cell:
    place = column.task, column.dataset
    return next(c for c in cells if (c.record.spec.task, c.record.spec.dataset) == place)
