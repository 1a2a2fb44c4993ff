"""Records of a results folder: what a board shows, what failed, and what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tastebench.board.tables import UNITS, read_table, told_as_broken
from tastebench.errors import UsageError
from tastebench.files import canonical_json
from tastebench.runs.outputs import weight_column
from tastebench.runs.record import Record
from tastebench.runs.store import find_records

if TYPE_CHECKING:
    import polars as pl


class Units(NamedTuple):
    """What a run's units got.

    Attributes:
        ids: Users or queries.
        groups: Their groups, where they have some.
        values: float64 `[n, metrics]`, NaN where undefined.
        weights: How much each unit counts in a metric's mean, float64 `[n, metrics]`.
    """

    ids: pl.Series
    groups: pl.Series | None
    values: np.ndarray
    weights: np.ndarray

    def same(self, other: Units) -> bool:
        """Whether both were asked the same, so that they can be compared unit by unit."""
        groups = (self.groups is None) == (other.groups is None)
        if self.groups is not None and other.groups is not None:
            groups = self.groups.equals(other.groups)
        return groups and self.ids.equals(other.ids) and np.array_equal(self.weights, other.weights)

    def of(self, group: str | None) -> Units | None:
        """The units of a group, or all for no group; None if their groups are not known."""
        if group is None:
            return self
        if self.groups is None:
            return None
        mine = self.groups == group
        at = mine.to_numpy()
        return Units(
            self.ids.filter(mine), self.groups.filter(mine), self.values[at], self.weights[at]
        )


@dataclass(frozen=True, eq=False)
class Entry:
    """A record and the folder it lies in; None where it has none, as in examples."""

    record: Record
    folder: Path | None = None

    @property
    def setting(self) -> str:
        """Equal for the seeds of one setting and for nothing else."""
        given = {k: v for k, v in self.record.given.items() if k != "seed"}
        spec = self.record.spec
        whole = [
            spec.task,
            spec.dataset,
            spec.recommender,
            spec.representation,
            spec.encoder,
            spec.text_recipe,
            spec.threads,
            self.record.protocol_id,
            given,
        ]
        return canonical_json(whole)

    @property
    def weights(self) -> str | None:
        """Which weights its encoder had; None where nothing was encoded or nobody can tell."""
        return self.record.fingerprints.get("encoder")

    def table(self, name: str, units: Sequence[str] | None = None) -> pl.DataFrame | None:
        """A table beside the record; see `tastebench.board.tables.read_table`."""
        return read_table(self.record, self.folder, name, units)

    def units(self, metrics: Sequence[str]) -> Units | None:
        """What its units got; None where the table is gone.

        Raises:
            DataError: The table is broken.
        """
        import polars as pl

        table = self.table(UNITS)
        if table is None or self.folder is None:
            return None
        with told_as_broken(self.folder / UNITS):
            values = table.select(pl.col(metrics).cast(pl.Float64).fill_null(float("nan")))
        ids = table.to_series(0).cast(pl.String)
        groups = table["group"] if "group" in table.columns else None
        weights = np.ones(values.shape)
        for i, column in enumerate(map(weight_column, metrics)):
            if column in table.columns:
                weights[:, i] = table[column]
        return Units(ids, groups, values.to_numpy(), weights)


@dataclass(frozen=True, eq=False)
class Loaded:
    """What lies under a results folder.

    Attributes:
        entries: Finished, complete runs, one per setting and seed.
        failed: Runs that failed.
        notes: What was left out, as sentences.
    """

    entries: tuple[Entry, ...]
    failed: tuple[Record, ...]
    notes: tuple[str, ...]


def load(root: Path) -> Loaded:
    """Reads all records under `root`.

    Raises:
        UsageError: There is no such folder, or records of several plans lie under it.
        DataError: A record is unreadable, or there is none.
    """
    paths = find_records(Path(root))
    return sort_out([Entry(Record.read(path), path.parent) for path in paths], str(root))


def sort_out(entries: Sequence[Entry], where: str = "records") -> Loaded:
    """Leaves out partial runs, older ones of equal runs and older weights, and says so.

    Raises:
        UsageError: Records of several plans.
    """
    suites = sorted({entry.record.suite for entry in entries})
    if len(suites) > 1:
        raise UsageError(
            f"records of {len(suites)} plans lie here: {', '.join(suites)}; a board shows one",
            where=where,
            fix=f"tastebench board {where}/{suites[0]}",
        )
    failed = tuple(e.record for e in entries if e.record.status == "failed")
    complete = [e for e in entries if e.record.status == "ok" and not e.record.partial]
    newest: dict[tuple[str, int], Entry] = {}
    weights: dict[str, str | None] = {}
    for entry in sorted(complete, key=lambda e: e.record.created):
        newest[entry.setting, entry.record.spec.seed] = entry
        weights[entry.setting] = entry.weights
    # Seeds of one name with other weights are no seeds of one model.
    kept = tuple(
        entry
        for entry in complete
        if entry in newest.values() and entry.weights == weights[entry.setting]
    )
    partial = sum(e.record.partial and e.record.status == "ok" for e in entries)
    notes = []
    if partial:
        notes.append(f"{_runs(partial)} with --limit left out")
    if len(complete) > len(kept):
        notes.append(
            f"{_runs(len(complete) - len(kept))} left out for a newer one of the same kind"
        )
    return Loaded(kept, failed, tuple(notes))


def identity(record: Record) -> dict[str, Any]:
    """Which run a record is of, for lists."""
    spec = record.spec
    return {"name": spec.label, **spec.axes, "spec_hash": record.spec_hash}


def _runs(n: int) -> str:
    return f"{n} run{'s' * (n != 1)}"
