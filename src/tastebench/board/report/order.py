"""How sure the order is: ranks over all columns, and critical-difference diagrams of each.

In a column every user ranks the rows, ties shared; a row's mean rank is drawn with its 95 %
interval over resamples of the users. Rows joined by a bar are not surely different: a sign-flip
test of the users' rank differences for every pair, adjusted by Holm over the pairs. That is the
diagram of Demsar (2006) with a test that holds for the many ties of ranking metrics, where
Nemenyi's critical difference takes the ranks of each user to be all different.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.board.compare_model import pooled
from tastebench.board.compare_verdict import SURE
from tastebench.board.model import Board, Column
from tastebench.board.report.column import Drawn
from tastebench.board.report.conclusion import place
from tastebench.board.report.spec import STEP, Picture, inline, picture
from tastebench.board.significance import LEVEL, holm, sign_flip
from tastebench.errors import counted
from tastebench.metrics.resample import resampled_means

_DRAWS = 5000
"""Of signs: the least p of a pair, times the pairs of 12 rows, is still below 5 %."""

_RESAMPLES = 1000
_SEED = 0


@dataclass(frozen=True, eq=False)
class MeanRanks:
    """Mean ranks of rows over units, best first.

    Attributes:
        low, high: Ends of the 95 % interval over units.
        groups: Rows from the first to the last that no test tells apart, the largest ones.
        n: Units.
    """

    names: tuple[str, ...]
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    groups: tuple[tuple[int, int], ...]
    n: int


def mean_ranks(names: Sequence[str], values: np.ndarray, weights: np.ndarray) -> MeanRanks:
    """Ranks rows within each unit, and says which means of ranks differ.

    Args:
        names: Of the rows.
        values: Of each unit and row, higher is better, float64 `[n, rows]`; no NaN.
        weights: How much each unit counts, `[n]`.
    """
    from scipy.stats import rankdata

    ranks = rankdata(-np.round(values, 12), axis=1, method="average")
    mean = np.average(ranks, axis=0, weights=weights)
    order = np.argsort(mean, kind="stable")
    ranks, mean = ranks[:, order], mean[order]
    drawn = resampled_means(ranks, weights, np.random.default_rng(_SEED), _RESAMPLES)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return MeanRanks(
        tuple(names[i] for i in order),
        mean,
        np.minimum(low, mean),
        np.maximum(high, mean),
        _groups(len(names), _different(ranks, weights)),
        len(values),
    )


def _different(ranks: np.ndarray, weights: np.ndarray) -> set[tuple[int, int]]:
    """The pairs whose mean ranks surely differ."""
    pairs = list(itertools.combinations(range(ranks.shape[1]), 2))
    p = [
        sign_flip(weights * (ranks[:, a] - ranks[:, b]), np.random.default_rng(_SEED), _DRAWS)
        for a, b in pairs
    ]
    return {pair for pair, one in zip(pairs, holm(p), strict=True) if one < SURE}


def _groups(n: int, different: set[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The longest runs of rows of which no two surely differ."""
    runs: list[tuple[int, int]] = []
    for first in range(n):
        last = first
        while last + 1 < n and not any((i, last + 1) in different for i in range(first, last + 1)):
            last += 1
        if last > first and not any(last <= end for _, end in runs):
            runs.append((first, last))
    return tuple(runs)


def order_pictures(board: Board, columns: Mapping[Column, Sequence[Drawn]]) -> Iterator[Picture]:
    """The order over all columns, then that of each column."""
    overall = _overall(board)
    if overall is not None:
        yield overall
    for column, drawn in columns.items():
        known = [(one, one.mean) for one in drawn if one.mean is not None]
        if len(known) < 2 or pooled(column.metric):
            continue
        values = column.sign * np.stack([mean for _, mean in known if mean is not None], axis=1)
        units = known[0][0].ids
        assert units is not None
        whole = ~np.isnan(values).any(axis=1) & (units.weights[:, 0] > 0)
        if whole.sum() < 2:
            continue
        names = [one.row.name for one, _ in known]
        found = mean_ranks(names, values[whole], units.weights[whole, 0])
        kinds = {one.row.name: one.row.kind for one in drawn}
        yield _column(board, column, found, kinds)


def _overall(board: Board) -> Picture | None:
    rows = [row for row in board.ranked if row.rank is not None and row.rank_low is not None][:60]
    if len(rows) < 2:
        return None
    values = [
        {"row": r.name, "kind": r.kind, "at": r.rank, "low": r.rank_low, "high": r.rank_high}
        for r in rows
    ]
    many = counted(len(board.columns), "column")
    told = (
        f"Rank by Borda over {many} with its 95 % interval over resamples of the users, the same "
        f"resamples for all rows; 1 is best. Rows whose intervals overlap may change places."
    )
    title = f"rank over {many}, 1 is best"
    return picture(f"all: rank over {many}", _chart(values, [], title), told)


def _column(board: Board, column: Column, found: MeanRanks, kinds: Mapping[str, str]) -> Picture:
    values = [
        {"row": name, "kind": kinds[name], "at": float(at), "low": float(low), "high": float(high)}
        for name, at, low, high in zip(found.names, found.mean, found.low, found.high, strict=True)
    ]
    bars = [{"from": found.names[a], "to": found.names[b]} for a, b in found.groups]
    where = place(board, column)
    told = (
        f"Critical-difference diagram of {where} by {column.metric}: mean rank over "
        f"{counted(found.n, 'unit')}, with its 95 % interval; 1 is best. Rows that a bar at the "
        "right joins are not surely different (sign-flip test of rank differences, every pair, "
        "Holm)."
    )
    title = f"mean rank over {counted(found.n, 'unit')}, 1 is best"
    return picture(f"{where}: {column.metric}", _chart(values, bars, title), told)


def _chart(values: list[dict[str, Any]], bars: list[dict[str, Any]], title: str) -> Any:
    import altair as alt

    names = [one["row"] for one in values]
    lowest, highest = min(v["low"] for v in values), max(v["high"] for v in values)
    room = (highest - lowest or 1.0) * 0.06
    # Layers share a scale, and each has to state all of it: else rows fall back to the alphabet.
    rows = alt.Scale(domain=names)
    y = alt.Y("row:N").scale(rows).title(None)
    domain = [lowest - room, highest + room * (1 + len(bars))]
    ranks = alt.Scale(domain=domain, nice=False, zero=False)
    whole = all(isinstance(one["at"], int) for one in values)
    axis = alt.Axis(tickMinStep=1, format="d") if whole else alt.Axis(format=".2~f", tickCount=8)
    x = alt.X("at:Q").scale(ranks).axis(axis).title(title)
    base = alt.Chart(inline(values)).encode(y=y)
    color = alt.Color("kind:N").scale(domain=["model", "control"]).title(None)
    tips = [
        alt.Tooltip("row:N"),
        alt.Tooltip("at:Q", format=".2~f", title="rank"),
        alt.Tooltip("low:Q", format=".2~f", title="95 % from"),
        alt.Tooltip("high:Q", format=".2~f", title="to"),
    ]
    layers = [
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q").scale(ranks), x2="high:Q", color=color
        ),
        base.mark_point(filled=True, size=80, opacity=1).encode(x=x, color=color, tooltip=tips),
    ]
    for i, bar in enumerate(bars):
        layers.append(
            alt.Chart(inline([{**bar, "x": highest + room * (i + 1)}]))
            .mark_rule(strokeWidth=5, strokeCap="round", color="#808890")
            .encode(x=alt.X("x:Q").scale(ranks), y=alt.Y("from:N").scale(rows), y2="to:N")
        )
    return alt.layer(*layers).properties(width="container", height=STEP * len(names))
