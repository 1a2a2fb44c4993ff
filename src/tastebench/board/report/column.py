"""The rows of one column of a board, unit by unit: what tests and plots of a page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tastebench.board.cells import Cell, mean_over_seeds
from tastebench.board.load import Entry, Loaded, Units
from tastebench.board.model import Board, Column, Row
from tastebench.board.names import group_cells

MODELS, ROWS = 10, 12
"""Rows of a column that are tested and drawn, the best ones: so many models, with controls so many
rows. More cannot be told apart by eye."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """A row in a column.

    Attributes:
        cell: Its runs there.
        seeds: Values of each unit and seed, float64 `[n, seeds]`; None where the table of values
            is gone, or its units are not those of the best row.
        ids: Units and how much each counts, as in `seeds`.
    """

    row: Row
    cell: Cell
    seeds: np.ndarray | None
    ids: Units | None

    @property
    def mean(self) -> np.ndarray | None:
        """What each unit got on average over seeds, `[n]`; NaN where undefined."""
        return None if self.ids is None else self.ids.values[:, 0]


def cells_by_row(loaded: Loaded, board: Board) -> dict[str, list[Cell]]:
    """The settings behind each row of a board; their scores are on the board."""
    seeds: dict[str, list[Entry]] = {}
    for entry in loaded.entries:
        seeds.setdefault(entry.setting, []).append(entry)
    cells = [
        Cell(tuple(sorted(mine, key=lambda e: e.record.spec.seed)), {}) for mine in seeds.values()
    ]
    return group_cells(cells, board.row_by).rows


def cell_in(cells: Sequence[Cell], column: Column) -> Cell | None:
    """The cell of a row that was measured where a column was."""
    for cell in cells:
        spec = cell.record.spec
        if (spec.task, spec.dataset) == (column.task, column.dataset):
            return cell
    return None


def best_rows(board: Board, column: Column) -> tuple[Row, ...]:
    """The rows of a column that are looked at closely, best first."""
    scored = [row for row in board.ranked if row.mean(column) is not None]
    scored.sort(key=lambda row: -column.sign * (row.mean(column) or 0.0))
    models = [row for row in scored if row.kind == "model"][:MODELS]
    controls = [row for row in scored if row.kind == "control"][: ROWS - len(models)]
    return tuple(row for row in scored if row in models or row in controls)


def drawn_rows(
    board: Board, rows: Mapping[str, Sequence[Cell]], column: Column
) -> tuple[Drawn, ...]:
    """The best rows of a column with the values of their units, best first.

    Raises:
        DataError: A table of values is broken.
    """
    found: list[Drawn] = []
    first: Units | None = None
    for row in best_rows(board, column):
        cell = cell_in(rows[row.name], column)
        assert cell is not None
        seeds, units = _units(cell, column)
        if units is not None and first is not None and not first.same(units):
            seeds, units = None, None
        first = first or units
        found.append(Drawn(row, cell, seeds, units))
    return tuple(found)


def _units(cell: Cell, column: Column) -> tuple[np.ndarray | None, Units | None]:
    tables = [entry.units([column.metric]) for entry in cell.entries]
    parts = [None if table is None else table.of(column.group) for table in tables]
    known = [part for part in parts if part is not None]
    every = mean_over_seeds(cell.entries, [column.metric])
    mean = None if every is None else every.of(column.group)
    if mean is None or len(known) < len(parts):
        return None, None
    return np.concatenate([part.values for part in known], axis=1), mean
