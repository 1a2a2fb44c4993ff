"""Cells: what the seeds of one setting measured, as scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.board.load import Entry, Units
from tastebench.board.model import Score
from tastebench.metrics.interval import bootstrap
from tastebench.runs.record import MetricValue, Record

_SEED = 0  # equal units are resampled alike in every cell


@dataclass(frozen=True, eq=False)
class Cell:
    """One setting on one task of one dataset.

    Attributes:
        record: Of its first seed.
        scores: (group or None, metric) to score.
        intervals: Whether the intervals over several seeds could be computed.
    """

    entries: tuple[Entry, ...]
    scores: dict[tuple[str | None, str], Score]
    intervals: bool = True

    @property
    def record(self) -> Record:
        """The first seed's record."""
        return self.entries[0].record


def make_cell(entries: Sequence[Entry]) -> Cell:
    """Averages the seeds of one setting.

    The values of each unit are averaged over the seeds first, then the units are resampled: the
    interval says how sure the mean over units is for the average of these training runs. Where the
    tables of values are gone, the mean of the means is left, without an interval.
    """
    ordered = tuple(sorted(entries, key=lambda e: e.record.spec.seed))
    if len(ordered) == 1:
        return Cell(ordered, _recorded(ordered[0].record))
    averaged = _resampled(ordered)
    if averaged is None:
        return Cell(ordered, _mean_of_means([e.record for e in ordered]), intervals=False)
    return Cell(ordered, averaged)


def _values(record: Record) -> dict[tuple[str | None, str], MetricValue]:
    """Metrics over all units, then within groups."""
    parts: list[tuple[str | None, dict[str, MetricValue]]] = [
        (None, record.metrics),
        *record.groups.items(),
    ]
    return {(group, name): value for group, metrics in parts for name, value in metrics.items()}


def _recorded(record: Record) -> dict[tuple[str | None, str], Score]:
    return {
        key: Score(v.mean, v.low, v.high, v.n, 1, v.undefined, record.protocol_id)
        for key, v in _values(record).items()
    }


def _resampled(entries: Sequence[Entry]) -> dict[tuple[str | None, str], Score] | None:
    first = entries[0].record
    metrics = list(first.metrics)
    units = mean_over_seeds(entries, metrics)
    if units is None:
        return None
    seeds = _means_of_seeds([entry.record for entry in entries])
    scores = {}
    for group, name in _values(first):
        part, column = units.of(group), metrics.index(name)
        if part is None:
            return None
        found = bootstrap(
            part.values[:, column],
            np.random.default_rng(_SEED),
            weights=part.weights[:, column],
        )
        scores[group, name] = Score(
            _number(found.mean),
            _number(found.low),
            _number(found.high),
            found.n,
            len(entries),
            found.undefined,
            first.protocol_id,
            _spread(seeds[group, name]),
        )
    return scores


def mean_over_seeds(entries: Sequence[Entry], metrics: Sequence[str]) -> Units | None:
    """What each unit got on average over the seeds where it has a value.

    Returns:
        None where a table is gone or the seeds did not ask the same units.

    Raises:
        DataError: A table is broken.
    """
    tables = [entry.units(metrics) for entry in entries]
    known = [table for table in tables if table is not None]
    if len(known) < len(tables) or not all(known[0].same(table) for table in known):
        return None
    if len(known) == 1:
        return known[0]
    values = np.stack([table.values for table in known])
    defined = ~np.isnan(values)
    count = defined.sum(axis=0)
    mean = np.full(values.shape[1:], np.nan)
    np.divide(np.where(defined, values, 0.0).sum(axis=0), count, out=mean, where=count > 0)
    return known[0]._replace(values=mean)


def _mean_of_means(records: Sequence[Record]) -> dict[tuple[str | None, str], Score]:
    first = records[0]
    scores = {}
    seeds = _means_of_seeds(records)
    for key, value in _values(first).items():
        mean = float(np.mean(seeds[key])) if seeds[key] else None
        scores[key] = Score(
            mean,
            None,
            None,
            value.n,
            len(records),
            value.undefined,
            first.protocol_id,
            _spread(seeds[key]),
        )
    return scores


def _means_of_seeds(records: Sequence[Record]) -> dict[tuple[str | None, str], list[float]]:
    """The mean that each seed has, where it has one."""
    every = [_values(record) for record in records]
    return {
        key: [mean for values in every if key in values and (mean := values[key].mean) is not None]
        for key in every[0]
    }


def _spread(means: Sequence[float]) -> float | None:
    """Sample standard deviation; None where there are fewer than two."""
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def cost_of(cells: Sequence[Cell]) -> dict[str, Any]:
    """What a row's runs took: seconds are sums over tasks of the mean over seeds.

    Encoding is shared by all runs that use the same vectors, so the longest step counts once.
    """
    wall = [[e.record.cost.wall_seconds for e in c.entries if e.record.cost] for c in cells]
    costs = [e.record.cost for cell in cells for e in cell.entries if e.record.cost is not None]
    steps = [cost.encode for cost in costs if cost.encode is not None]
    encoded = max((s for s in steps if s.seconds), key=lambda s: s.seconds or 0.0, default=None)
    fits = [
        [e.record.cost.fit_seconds for e in cell.entries if e.record.cost is not None]
        for cell in cells
    ]
    memory = [cost.peak_memory_bytes for cost in costs if cost.peak_memory_bytes is not None]
    return {
        "wall_seconds": sum(float(np.mean(w)) for w in wall if w),
        "fit_seconds": sum(float(np.mean([s or 0.0 for s in f])) for f in fits if f),
        "encode_seconds": encoded.seconds if encoded else None,
        "texts_per_second": encoded.texts_per_second if encoded else None,
        "parameters": {
            "encoder": _largest(cost.parameters.encoder for cost in costs),
            "recommender": _largest(cost.parameters.recommender for cost in costs),
        },
        "peak_memory_bytes": max(memory, default=None),
        "latency_ms": _latency(cells),
    }


def _latency(cells: Sequence[Cell]) -> dict[str, dict[str, float | None]]:
    """Per task and dataset, of the first seed: milliseconds a request.

    Percentiles with the item side cached, and medians without, and with users cached too.
    """
    found: dict[str, dict[str, float | None]] = {}
    for cell in cells:
        cost = cell.record.cost
        if cost is None or cost.latency is None:
            continue
        cached, cold, users = cost.latency.cached, cost.latency.cold, cost.latency.users_cached
        found[f"{cell.record.spec.task}/{cell.record.spec.dataset}"] = {
            "p50": cached.p50,
            "p95": cached.p95,
            "p99": cached.p99,
            "cold_p50": cold.p50 if cold else None,
            "users_cached_p50": users.p50 if users else None,
        }
    return found


def _largest(values: Any) -> int | None:
    return max((value for value in values if value is not None), default=None)
