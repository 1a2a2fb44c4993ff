"""What a row costs, by what may be asked: time of a request, of training, money."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tastebench.board import figures
from tastebench.board.cells import Cell
from tastebench.board.model import Column, Row
from tastebench.runs.estimate import in_dollars


class Measure(NamedTuple):
    """A cost that rows can be drawn over.

    Attributes:
        name: As it stands at an axis, with its unit.
        values: Row to cost; rows without one are left out.
    """

    name: str
    values: dict[str, float]


def measures(
    column: Column, rows: Sequence[Row], cells: Mapping[str, Cell | None]
) -> tuple[Measure, ...]:
    """The costs that at least two rows of a column have; of 0 nothing is drawn on a log axis."""
    place = f"{column.task}/{column.dataset}"
    found: dict[str, dict[str, float]] = {
        "milliseconds a request (median)": {},
        "seconds per 1,000 recommendations": {},
        "US dollars per 1,000 recommendations": {},
        "seconds of training, with encoding": {},
    }
    latency, seconds, dollars, training = found.values()
    for row in rows:
        thousand = row.cost.get("per_thousand", {}).get(place, {})
        given = (
            (latency, row.cost.get("latency_ms", {}).get(place, {}).get("p50")),
            (seconds, thousand.get("seconds")),
            (dollars, thousand.get("usd")),
            (training, training_seconds(cells.get(row.name))),
        )
        for values, value in given:
            if value:
                values[row.name] = float(value)
    return tuple(Measure(name, values) for name, values in found.items() if len(values) > 1)


def training_seconds(cell: Cell | None) -> float | None:
    """Encoding and fitting of one cell, the mean over its seeds; None where nothing was fitted."""
    costs = [] if cell is None else [e.record.cost for e in cell.entries if e.record.cost]
    taken = [
        (cost.fit_seconds or 0.0) + (cost.encode.seconds or 0.0 if cost.encode else 0.0)
        for cost in costs
    ]
    return float(np.mean(taken)) if taken else None


def cheaper(row: Row, than: Row) -> str | None:
    """How much less a row costs than another, in words; None where it does not.

    It costs less where a request or all of its making takes at most 9 tenths of the other's, and
    neither takes longer than the other's.
    """
    told = []
    for own, other, say in (
        (_latency(row), _latency(than), "{} ms a request instead of {}"),
        (figures.row_seconds(row), figures.row_seconds(than), "{} to make instead of {}"),
    ):
        if own is None or other is None:
            continue
        if own > other:
            return None
        form = figures.milliseconds if "ms" in say else figures.seconds
        if own <= 0.9 * other:
            told.append(say.format(form(own), form(other)))
    return " and ".join(told) or None


def load(row: Row) -> tuple[float, float]:
    """What rows are sorted by where the cheapest is wanted: a request, then all of its making."""
    latency, seconds = _latency(row), figures.row_seconds(row)
    return (
        float("inf") if latency is None else latency,
        float("inf") if seconds is None else seconds,
    )


def dollars(row: Row) -> str:
    """Money of a thousand recommendations, of the dearest task."""
    places = row.cost.get("per_thousand", {}).values()
    paid = [one["usd"] for one in places if one["usd"] is not None]
    return in_dollars(max(paid)) if paid else figures.MISSING


def _latency(row: Row) -> float | None:
    return max((one["p50"] for one in row.cost.get("latency_ms", {}).values()), default=None)
