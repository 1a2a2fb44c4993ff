"""How sure an order is: ranks over resamples of users and queries.

An order by Borda is decided by differences that are often smaller than their intervals. So units
are resampled in every column, the same ones for all models (`metrics.resample`), the columns are
ranked again, and what a model's rank then takes is its interval: the bootstrap of ranks of
Goldstein & Spiegelhalter (1996).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tastebench.board.borda import borda_points, final_ranks
from tastebench.board.cells import Cell, mean_over_seeds
from tastebench.board.load import Units
from tastebench.board.model import Column
from tastebench.metrics.resample import resampled_means


class RankInterval(NamedTuple):
    """Where a row may rank.

    Attributes:
        low, high: Ends of the 95 % interval of its rank, best first; its own rank lies within.
        first: Share of resamples in which no other row ranks better.
    """

    low: int
    high: int
    first: float


def rank_intervals(
    rows: Mapping[str, Sequence[Cell]],
    columns: Sequence[Column],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> dict[str, RankInterval]:
    """The interval of each row's rank.

    A row without a score in a column has none in any resample. Rows that were not asked the same
    units (another protocol) are resampled apart from the others in that column.

    Args:
        rows: The cells of each row that takes part in the ranking.
        columns: The columns that rank.
        rng: Where resamples come from.
        resamples: How many to draw.

    Returns:
        Row to interval; empty where nothing ranks, or where the values per unit of a score are
        gone: one rank that cannot be drawn leaves no other one sure.

    Raises:
        DataError: A table of values per unit is broken.
    """
    if not rows or not columns:
        return {}
    observed = np.full((len(rows), len(columns)), np.nan)
    means = np.full((resamples, *observed.shape), np.nan)
    for c, column in enumerate(columns):
        asked: dict[int, Units] = {}
        for r, cells in enumerate(rows.values()):
            cell = _cell(cells, column)
            mean = None if cell is None else cell.scores[column.group, column.metric].mean
            if cell is None or mean is None:
                continue
            every = mean_over_seeds(cell.entries, [column.metric])
            units = None if every is None else every.of(column.group)
            if units is None:
                return {}
            observed[r, c], asked[r] = column.sign * mean, units
        for alike in _alike(asked):
            values = np.concatenate([asked[r].values for r in alike], axis=1)
            weights = asked[alike[0]].weights[:, 0]
            drawn = resampled_means(values, weights, rng, resamples)
            means[:, alike, c] = column.sign * drawn
    own = _ranks(observed)
    ranks = np.array([_ranks(one) for one in means])
    low, high = np.quantile(ranks, [0.025, 0.975], axis=0, method="inverted_cdf")
    first = (ranks == 1).mean(axis=0)
    return {
        name: RankInterval(int(min(low[r], own[r])), int(max(high[r], own[r])), float(first[r]))
        for r, name in enumerate(rows)
    }


def _cell(cells: Sequence[Cell], column: Column) -> Cell | None:
    """The cell of a row that has a score in a column."""
    for cell in cells:
        spec = cell.record.spec
        if (spec.task, spec.dataset) == (column.task, column.dataset):
            return cell if (column.group, column.metric) in cell.scores else None
    return None


def _alike(asked: Mapping[int, Units]) -> list[list[int]]:
    """The rows that were asked the same units, together."""
    groups: list[list[int]] = []
    for r, units in asked.items():
        mine = next((group for group in groups if asked[group[0]].same(units)), None)
        if mine is None:
            groups.append([r])
        else:
            mine.append(r)
    return groups


def _ranks(scores: np.ndarray) -> np.ndarray:
    return final_ranks(borda_points(scores).sum(axis=1))
