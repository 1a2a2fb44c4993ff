"""What a setting changes: the same encoders on the same units, with one value of it and another.

A view over records, beside the board: a plan that names a recommender twice with different
hyper-parameters, or several text recipes, has runs that differ in nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tastebench.board.average import average
from tastebench.board.board import cells_of, columns_of, of_task, within
from tastebench.board.cells import Cell, mean_over_seeds
from tastebench.board.load import Loaded, load
from tastebench.board.model import Column, Score
from tastebench.errors import UsageError, did_you_mean
from tastebench.metrics.resample import resampled_means
from tastebench.runs.labels import telling
from tastebench.runs.record import Record

_RECIPE = "text_recipe"
_REPRESENTATION = "representation"
_SEED = 0
_RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """How much higher the mean is than with the first value.

    Attributes:
        low, high: Ends of the 95 % interval over the units that both were asked; None where the
            values per unit are gone or the units differ.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Comparison:
    """One encoder on one task.

    Attributes:
        scores: Value of the setting to the mean over the datasets.
        differences: The same without the first value: how far each is from it.
        datasets: Those that have all values.
    """

    scores: dict[str, Score]
    differences: dict[str, Difference]
    datasets: tuple[str, ...]


@dataclass(frozen=True)
class Ablation:
    """What a setting changes.

    Attributes:
        values: Its values. The first is what the others are compared with: the most frequent, or
            of equals the one that a plan need not name.
        parts: Tasks (and groups).
        rows: Encoder to task to the comparison; a task where only one value was run is not there.
        left_out: Encoders with one value only.
    """

    suite: str
    setting: str
    values: tuple[str, ...]
    parts: tuple[str, ...]
    rows: dict[str, dict[str, Comparison]]
    left_out: tuple[str, ...]
    preliminary: bool


def read_ablation(
    root: Path,
    setting: str,
    *,
    metric: str | None = None,
    task: str | None = None,
    mixed: bool = False,
) -> Ablation:
    """What a setting changes, over all records under a results folder.

    Args:
        root: Results folder, or a folder of one plan below it.
        setting: A hyper-parameter of a recommender, `text_recipe`, or `representation`, to which
            the encoder of the vectors belongs.
        metric: As `tastebench.board.read_board`.
        task: Likewise.
        mixed: Likewise.

    Raises:
        UsageError: As `read_board`, or nothing was run with two values of the setting.
        DataError: No records, or an unreadable one.
        ProtocolError: Two protocols in one column, and not `mixed`.
    """
    return make_ablation(load(root), setting, metric=metric, task=task, mixed=mixed)


def make_ablation(
    loaded: Loaded,
    setting: str,
    *,
    metric: str | None = None,
    task: str | None = None,
    mixed: bool = False,
) -> Ablation:
    """The same of records that are already read; arguments and errors as `read_ablation`."""
    loaded = loaded if task is None else of_task(loaded, task)
    cells = cells_of(loaded, mixed=mixed)
    columns, _ = columns_of(cells, metric)
    columns = columns if task is None else within(columns, task)
    values = _values(cells, setting)
    rows: dict[str, dict[str, Comparison]] = {}
    for name, runs in _runs(cells, setting).items():
        rows[name] = {}
        for part in dict.fromkeys(column.part for column in columns):
            own = [column for column in columns if column.part == part]
            comparison = _comparison(runs, own, values)
            if comparison is not None:
                rows[name][part] = comparison
    found = {name: parts for name, parts in rows.items() if parts}
    return Ablation(
        suite=cells[0].record.suite,
        setting=setting,
        values=values,
        parts=tuple(
            dict.fromkeys(
                c.part for c in columns if any(c.part in parts for parts in found.values())
            )
        ),
        rows=found,
        left_out=tuple(name for name in rows if name not in found),
        preliminary=any(cell.record.preliminary for cell in cells),
    )


def _value(record: Record, setting: str) -> str | None:
    """The setting's value in a run; None where it has none, or a grid chose it."""
    if setting == _RECIPE:
        return record.spec.text_recipe
    if setting == _REPRESENTATION:
        return ", ".join(filter(None, (record.spec.representation, record.spec.encoder)))
    params = record.spec.params
    return str(params[setting]) if setting in params and setting not in record.spec.grid else None


def _values(cells: Sequence[Cell], setting: str) -> tuple[str, ...]:
    """The values of a setting, those of most cells first; of equals the one that is the default.

    Raises:
        UsageError: It has fewer than two.
    """
    found: Counter[str] = Counter()
    unnamed = set()
    for record in (cell.record for cell in cells):
        value = _value(record, setting)
        if value is not None:
            found[value] += 1
            if setting not in record.given.get("params", {}):
                unnamed.add(value)
    values = sorted(found, key=lambda value: (-found[value], value not in unnamed, value))
    if len(values) > 1:
        return tuple(values)
    known = {_RECIPE, _REPRESENTATION, *(key for cell in cells for key in cell.record.spec.params)}
    fix = "name the recommender once a value in the plan, with `params` of its own"
    if setting == _RECIPE:
        fix = "text_recipe: [title, title+description] in the plan"
    if setting == _REPRESENTATION:
        fix = "representations: [id, vector] in the plan"
    if values:
        why = f"all runs have {setting}={values[0]}, so there is nothing to compare"
    elif setting in known:
        why = f"{setting} was searched by a grid: its values are no runs of their own"
    else:
        why = f"no run has a setting {setting!r}: {did_you_mean(setting, known)}"
        fix = f"--compare {_RECIPE}"
    raise UsageError(why, fix=fix)


_Place = tuple[str, str]
_Runs = dict[_Place, dict[str, Cell]]


def _runs(cells: Sequence[Cell], setting: str) -> dict[str, _Runs]:
    """Name of a row to task and dataset to value to cell.

    A row is an encoder, with whatever else tells its runs in one place apart.

    Raises:
        UsageError: Two runs differ in nothing that can be named.
    """
    valued = [cell for cell in cells if _value(cell.record, setting) is not None]
    rows: dict[str, _Runs] = {}
    for cell in valued:
        spec, place = cell.record.spec, _place(cell)
        here = [one for one in valued if _place(one) == place]
        if setting == _REPRESENTATION:
            name = spec.recommender
        else:
            here = [one for one in here if one.record.spec.encoder == spec.encoder]
            readers = {one.record.spec.recommender for one in here}
            name = spec.label if len(readers) > 1 or spec.encoder is None else spec.encoder
        rivals = [one for one in here if one.record.spec.recommender == spec.recommender]
        others = [_others(one.record, setting) for one in rivals]
        name = " ".join([name, *telling(_others(cell.record, setting), others)])
        runs = rows.setdefault(name, {}).setdefault(place, {})
        value = _value(cell.record, setting) or ""
        if value in runs:
            raise UsageError(
                f"{name} was measured twice on {'/'.join(place)} with {setting}={value}",
                fix="keep one of the two in the plan, or compare under one protocol",
            )
        runs[value] = cell
    return rows


def _others(record: Record, setting: str) -> dict[str, Any]:
    """All that may tell runs of one recommender apart, but for the setting and tuned values."""
    spec = record.spec
    params = {key: value for key, value in spec.params.items() if key not in spec.grid}
    every = {
        **params,
        **{f"{key} grid": values for key, values in spec.grid.items()},
        _REPRESENTATION: spec.representation,
        _RECIPE: spec.text_recipe,
        "threads": spec.threads,
        "protocol": record.protocol_id,
    }
    # Words, and how items are put into them, come and go with the representation.
    apart = {setting, _RECIPE} if setting == _REPRESENTATION else {setting}
    return {key: value for key, value in every.items() if key not in apart}


def _comparison(runs: _Runs, columns: Sequence[Column], values: Sequence[str]) -> Comparison | None:
    """One row on the columns of one task, over those that have every value that the row has."""
    cells = {column: _scored(runs, column) for column in columns}
    mine = [value for value in values if any(value in found for found in cells.values())]
    whole = [column for column, found in cells.items() if all(value in found for value in mine)]
    if len(mine) < 2 or not whole:
        return None
    scores = {}
    for value in mine:
        score = average([cells[c][value].scores[c.group, c.metric] for c in whole])
        if score is not None:
            scores[value] = score
    first = values[0]
    return Comparison(
        scores=scores,
        differences={
            value: _difference(
                scores[value],
                scores[first],
                [(c, cells[c][value], cells[c][first]) for c in whole],
            )
            for value in scores
            if value != first and first in scores
        },
        datasets=tuple(column.dataset for column in whole),
    )


def _scored(runs: _Runs, column: Column) -> dict[str, Cell]:
    """Value to the cell that has a mean in this column."""
    found = {}
    for value, cell in runs.get((column.task, column.dataset), {}).items():
        score = cell.scores.get((column.group, column.metric))
        if score is not None and score.mean is not None:
            found[value] = cell
    return found


def _difference(
    score: Score, first: Score, pairs: Sequence[tuple[Column, Cell, Cell]]
) -> Difference:
    """How far two means are apart, the units of each dataset resampled for both alike."""
    assert score.mean is not None and first.mean is not None
    mean = score.mean - first.mean
    rng = np.random.default_rng(_SEED)
    draws = [_drawn(column, cell, other, rng) for column, cell, other in pairs]
    known = [draw for draw in draws if draw is not None]
    if len(known) < len(draws):
        return Difference(mean, None, None)
    low, high = np.quantile(np.mean(known, axis=0), [0.025, 0.975])
    return Difference(mean, float(min(low, mean)), float(max(high, mean)))


def _drawn(column: Column, cell: Cell, other: Cell, rng: np.random.Generator) -> np.ndarray | None:
    """Differences in resamples of the units; None where they are not known for both."""
    found = []
    for one in (cell, other):
        every = mean_over_seeds(one.entries, [column.metric])
        found.append(None if every is None else every.of(column.group))
    mine, theirs = found
    if mine is None or theirs is None or not mine.same(theirs) or len(mine.ids) < 2:
        return None
    values = np.concatenate([mine.values, theirs.values], axis=1)
    means = resampled_means(values, mine.weights[:, 0], rng, _RESAMPLES)
    difference: np.ndarray = means[:, 0] - means[:, 1]
    return None if np.isnan(difference).any() else difference


def _place(cell: Cell) -> _Place:
    return cell.record.spec.task, cell.record.spec.dataset
