"""The other models that were asked the same, the best of them first."""

from __future__ import annotations

from dataclasses import dataclass

from tastebench.board.cells import Cell
from tastebench.board.load import Entry, sort_out
from tastebench.board.names import group_cells
from tastebench.build.printable import printed
from tastebench.errors import DataError, counted
from tastebench.metrics.grammar import parse
from tastebench.runs.record import Record
from tastebench.runs.store import find_records, folder_of


@dataclass(frozen=True, eq=False)
class Model:
    """A run with what it is called among its rivals."""

    name: str
    entry: Entry

    @property
    def mean(self) -> float | None:
        """Of the headline metric."""
        value = self.entry.record.metrics.get(self.entry.record.headline)
        return None if value is None else value.mean


@dataclass(frozen=True, eq=False)
class Rivals:
    """A run and those beside it.

    Attributes:
        own: The run.
        others: Of the same plan, task, dataset and protocol, one seed each; the best first,
            ceilings last.
        notes: What was left out.
    """

    own: Model
    others: tuple[Model, ...]
    notes: tuple[str, ...] = ()


def rivals_of(entry: Entry) -> Rivals:
    """The run and those that were asked the same, as far as its folder lies among theirs."""
    own = Model(printed(entry.record.spec.label), entry)
    folder = None if entry.folder is None else entry.folder.resolve()
    if folder is None or len(folder.parents) < 5:
        return Rivals(own, ())
    if folder_of(folder.parents[4], entry.record) != folder:
        return Rivals(own, (), ("no other models: this record lies apart from its plan's results",))
    found, broken = [], 0
    for path in find_records(folder.parents[1]):
        try:
            found.append(Entry(Record.read(path), path.parent))
        except DataError:
            broken += 1
    notes = (f"{counted(broken, 'record')} beside it cannot be read",) if broken else ()
    record = entry.record
    same = [
        one
        for one in found
        if one.record.status == "ok"
        and one.record.protocol_id == record.protocol_id
        and one.record.suite == record.suite
    ]
    return _named(own, sort_out(same).entries, notes)


def _named(own: Model, kept: tuple[Entry, ...], notes: tuple[str, ...]) -> Rivals:
    """One seed of each setting, that of the run where there is one."""
    settings: dict[str, list[Entry]] = {}
    for one in kept:
        settings.setdefault(one.setting, []).append(one)
    seed, setting = own.entry.record.spec.seed, own.entry.setting
    cells = [
        Cell((next((e for e in seeds if e.record.spec.seed == seed), seeds[0]),), {})
        for seeds in settings.values()
    ]
    rows = group_cells(cells, "run").rows
    names = {cell.entries[0].setting: printed(name) for name in rows for cell in rows[name]}
    others = [
        Model(names[cell.entries[0].setting], cell.entries[0])
        for cell in cells
        if cell.entries[0].setting != setting
    ]
    own = Model(names.get(setting, own.name), own.entry)
    return Rivals(own, tuple(sorted(others, key=_order)), notes)


def _order(model: Model) -> tuple[bool, float, str]:
    record, mean = model.entry.record, model.mean
    sign = 1 if parse(record.headline).higher_is_better else -1
    worst = float("inf") if mean is None else -sign * mean
    return record.kind == "ceiling", worst, model.name
