"""Which cells make a row, and what the row is called."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tastebench.board.cells import Cell
from tastebench.board.model import RowBy
from tastebench.runs.labels import settings_of_run, telling
from tastebench.runs.spec import RunSpec


@dataclass(frozen=True, eq=False)
class Grouping:
    """Rows as names and cells.

    Attributes:
        row_by: What a row came to be; `run` where the wish could not be met.
    """

    row_by: RowBy
    rows: dict[str, list[Cell]]
    notes: tuple[str, ...] = ()


def group_cells(cells: Sequence[Cell], row_by: RowBy) -> Grouping:
    """Groups cells into rows.

    A row holds at most one cell a task and dataset. Where an encoder (or recommender) was measured
    twice there - with two recommenders, settings or protocols - the rows are the runs instead.
    """
    if row_by != "run":
        rows = _by(cells, row_by)
        doubled = _doubled(rows)
        if doubled is None:
            return Grouping(row_by, rows)
        note = f"rows are runs: {doubled}, which has no single number for a row by {row_by}"
        return Grouping("run", _by_run(cells), (note, *_compared(cells)))
    return Grouping("run", _by_run(cells))


def _by(cells: Sequence[Cell], row_by: RowBy) -> dict[str, list[Cell]]:
    """Rows named by the encoder, the others by their recommender; or all by the recommender."""
    rows: dict[tuple[str, bool], list[Cell]] = {}
    for cell in cells:
        spec = cell.record.spec
        encoder = spec.encoder if row_by == "encoder" else None
        rows.setdefault((encoder or spec.recommender, encoder is not None), []).append(cell)
    taken = {name for name, is_encoder in rows if is_encoder}
    return {
        f"{name} (recommender)" if name in taken and not is_encoder else name: mine
        for (name, is_encoder), mine in rows.items()
    }


def _doubled(rows: dict[str, list[Cell]]) -> str | None:
    """The first row with two cells in one place, as words."""
    for name, cells in rows.items():
        places = Counter((cell.record.spec.task, cell.record.spec.dataset) for cell in cells)
        place, count = places.most_common(1)[0]
        if count > 1:
            return f"{name} was measured {count} times for {place[0]} on {place[1]}"
    return None


def _compared(cells: Sequence[Cell]) -> list[str]:
    """Said where one hyper-parameter or the texts are all that runs differ in."""
    alike: dict[tuple[str, tuple[str, str]], list[RunSpec]] = {}
    for cell in cells:
        alike.setdefault((cell.record.spec.label, _place(cell)), []).append(cell.record.spec)
    found: dict[str, None] = {}
    for specs in alike.values():
        for one, other in itertools.combinations(specs, 2):
            mine = {**one.params, "text_recipe": one.text_recipe}
            theirs = {**other.params, "text_recipe": other.text_recipe}
            differ = [key for key in mine | theirs if mine.get(key) != theirs.get(key)]
            if len(differ) == 1 and differ[0] not in one.grid:
                found[differ[0]] = None
    return [f"--compare {key} shows what {key} changes" for key in found]


def _by_run(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """One row a recommender with its representation, encoder and settings, over all datasets."""
    records = [cell.record for cell in cells]
    settings = [settings_of_run(one.spec, one.given, one.protocol_id) for one in records]
    rows: dict[str, list[Cell]] = {}
    for cell, mine in zip(cells, settings, strict=True):
        label = cell.record.spec.label
        rivals = [
            other
            for one, other in zip(cells, settings, strict=True)
            if one.record.spec.label == label and _place(one) == _place(cell)
        ]
        rows.setdefault(" ".join([label, *telling(mine, rivals)]), []).append(cell)
    return rows


def _place(cell: Cell) -> tuple[str, str]:
    return cell.record.spec.task, cell.record.spec.dataset
