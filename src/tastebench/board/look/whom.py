"""Which units a run served worst and best, as a place to begin looking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tastebench.board.compare_model import pooled
from tastebench.board.load import Entry
from tastebench.board.tables import UNITS
from tastebench.build.printable import printed
from tastebench.errors import DataError
from tastebench.metrics.grammar import parse

_THEN = "mrr"
"""What tells units apart that the metric does not: many a user has an ndcg@10 of 0."""


@dataclass(frozen=True)
class Unit:
    """A user or query with what a run made of it.

    Attributes:
        id: As it may be printed.
        values: Metric to value, those that the unit has and that are not of all rows together.
        labels: What units are told apart by, e.g. `history` to `1-4`.
    """

    id: str
    values: dict[str, float]
    labels: dict[str, str]


@dataclass(frozen=True)
class Extremes:
    """The units at both ends.

    Attributes:
        unit: What they are: `user` or `query`.
        metric: By which they are ordered.
        n: Units with a value.
        worst, best: The worst and the best of them first.
        equal_worst, equal_best: How many have the same value as the first of these.
    """

    unit: str
    metric: str
    n: int
    worst: tuple[Unit, ...]
    best: tuple[Unit, ...]
    equal_worst: int
    equal_best: int


def extremes(entry: Entry, worst: int, best: int) -> Extremes | None:
    """The units that a run served worst and best; None where nothing is known of single units.

    They go by the headline metric, or by the first metric that single units have where the headline
    is of all rows together. Equals go by `mrr` where it was measured, then as they stand.

    Raises:
        DataError: The table of units is broken.
    """
    table = entry.table(UNITS)
    metric = _metric(entry)
    if table is None or metric is None:
        return None
    if metric not in table.columns:
        raise DataError(
            f"the table of values per unit has no {metric}",
            where=f"{entry.folder}/{UNITS}",
            fix="remove its folder and run the plan again: everything else is kept",
        )
    table = table.filter(table[metric].is_not_null())
    values = table[metric].to_numpy()
    if not len(values):
        return None
    sign = 1 if parse(metric).higher_is_better else -1
    then = (
        table[_THEN].fill_null(0.0).to_numpy() if _THEN in table.columns else np.zeros(len(values))
    )
    up = np.lexsort((np.arange(len(values)), then, sign * values))
    down = np.lexsort((np.arange(len(values)), -then, -sign * values))
    unit = table.columns[0].removesuffix("_id")
    return Extremes(
        unit=unit,
        metric=metric,
        n=len(values),
        worst=tuple(unit_of(table.row(i, named=True)) for i in up[:worst].tolist()),
        best=tuple(unit_of(table.row(i, named=True)) for i in down[:best].tolist()),
        equal_worst=int((values == values[up[0]]).sum()),
        equal_best=int((values == values[down[0]]).sum()),
    )


def unit_of(row: dict[str, object]) -> Unit:
    """A row of the table of units as a unit."""
    name, *rest = row
    values = {
        key: float(value)
        for key in rest
        if isinstance(value := row[key], (int, float)) and _of_one(key)
    }
    labels = {key: printed(value) for key in rest if isinstance(value := row[key], str)}
    return Unit(printed(str(row[name])), values, labels)


def _of_one(column: str) -> bool:
    """Whether a column of numbers is a metric that a single unit has."""
    return not column.startswith("weight:") and not pooled(column)


def _metric(entry: Entry) -> str | None:
    """The headline, or the first metric that a single unit has."""
    names = [entry.record.headline, *entry.record.metrics]
    return next((name for name in names if not pooled(name)), None)
