"""Marks: what a reader has to know before comparing a row with the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tastebench.board.cells import Cell
from tastebench.board.gate import main_protocol
from tastebench.board.model import Column, Mark, Row

_Key = tuple[str, str]
"""Task and dataset."""


def marks_of(
    row: Row,
    cells: Sequence[Cell],
    rows: Sequence[Row],
    columns: Sequence[Column],
    usual: Usual,
) -> tuple[Mark, ...]:
    """The marks of a row.

    Args:
        row: The row.
        cells: Its cells.
        rows: All rows.
        columns: The ranking columns.
        usual: What most cells of each place have.
    """
    found = [
        _protocol(cells, usual),
        _budget(cells, usual),
        _control(row, rows, columns),
        _unconverged(cells),
    ]
    return tuple(mark for mark in found if mark is not None)


@dataclass(frozen=True)
class Usual:
    """What most cells of a task on a dataset have, by `_key`.

    Attributes:
        protocol: Fingerprint.
        trials, epochs: As `_trials` and `_epochs` say it; None where no cell has any.
    """

    protocol: dict[_Key, str]
    trials: dict[_Key, str | None]
    epochs: dict[_Key, str | None]


def usual_of(everyone: Sequence[Cell]) -> Usual:
    """What most cells of each place have."""
    places: dict[_Key, list[Cell]] = {}
    for cell in everyone:
        places.setdefault(_key(cell), []).append(cell)

    def most(spent: Callable[[Cell], str]) -> dict[_Key, str | None]:
        told = {
            key: [spent(one) for one in mine if _tunable(one) and spent(one)]
            for key, mine in places.items()
        }
        return {key: main_protocol(one) if one else None for key, one in told.items()}

    protocol = {
        key: main_protocol(one.record.protocol_id for one in mine) for key, mine in places.items()
    }
    return Usual(protocol, most(_trials), most(_epochs))


def _protocol(cells: Sequence[Cell], usual: Usual) -> Mark | None:
    """Measured under another protocol than most of its column (only in a mixed board)."""
    other = [
        f"{_place(cell)} ({cell.record.protocol_id})"
        for cell in cells
        if cell.record.protocol_id != usual.protocol[_key(cell)]
    ]
    return Mark("protocol", f"other protocol on {', '.join(other)}") if other else None


def _budget(cells: Sequence[Cell], usual: Usual) -> Mark | None:
    """Tuned with another budget than most of its column; what cannot be tuned has no budget.

    What is compared is what was spent: trials and seeds of everyone, epochs and patience of what is
    trained by epochs. Which hyper-parameters the trials went through is each recommender's own
    affair: EASE has no learning rate.
    """
    other = []
    for cell in cells:
        if not _tunable(cell):
            continue
        key, trials, epochs = _key(cell), _trials(cell), _epochs(cell)
        if trials != usual.trials[key] or (epochs and epochs != usual.epochs[key]):
            other.append(f"{_place(cell)} ({', '.join(filter(None, (trials, epochs)))})")
    return Mark("budget", f"other tuning budget on {', '.join(other)}") if other else None


def _trials(cell: Cell) -> str:
    budget = cell.record.budget
    seeds = len(budget.seeds)
    return f"{budget.trials} trial{'s' * (budget.trials != 1)}, {seeds} seed{'s' * (seeds != 1)}"


def _epochs(cell: Cell) -> str:
    """Empty for what is not trained by epochs."""
    budget = cell.record.budget
    if budget.epochs is None:
        return ""
    return f"{budget.epochs} epochs, patience {budget.patience}"


def _control(row: Row, rows: Sequence[Row], columns: Sequence[Column]) -> Mark | None:
    """A model below something that it must beat."""
    if row.kind != "model":
        return None
    below = []
    for column in columns:
        mean = row.mean(column)
        if mean is None:
            continue
        better = [
            other.name
            for other in rows
            if other.kind == "control" and _beats(other.mean(column), mean, column.sign)
        ]
        if better:
            below.append(f"{' and '.join(better)} on {column.part}/{column.dataset}")
    return Mark("control", f"below {'; '.join(below)}") if below else None


def _unconverged(cells: Sequence[Cell]) -> Mark | None:
    """Training ended because the epochs were used up."""
    places = [
        _place(cell)
        for cell in cells
        if any(e.record.fit is not None and e.record.fit.converged is False for e in cell.entries)
    ]
    return (
        Mark("unconverged", f"epochs ran out before early stopping: {', '.join(places)}")
        if places
        else None
    )


def _beats(control: float | None, mean: float, sign: int) -> bool:
    return control is not None and sign * (control - mean) > 0


def _tunable(cell: Cell) -> bool:
    budget = cell.record.budget
    return budget.epochs is not None or budget.trials > 1


def _key(cell: Cell) -> _Key:
    return cell.record.spec.task, cell.record.spec.dataset


def _place(cell: Cell) -> str:
    return "/".join(_key(cell))
