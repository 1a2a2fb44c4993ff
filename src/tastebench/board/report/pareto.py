"""Quality against cost: what does a better score take?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tastebench.board.cells import Cell
from tastebench.board.model import Board, Column, Row
from tastebench.board.report.column import cell_in
from tastebench.board.report.conclusion import place
from tastebench.board.report.costs import Measure, measures
from tastebench.board.report.spec import Picture, inline, kinds, picture

MOST = 100
"""Points of a chart: the best rows."""

_HEIGHT = 340


def front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Which of (cost, quality) no other point beats: at most its cost and at least its quality.

    Args:
        points: Quality is better when higher.

    >>> front([(1.0, 0.2), (2.0, 0.1), (3.0, 0.5), (1.0, 0.1)])
    [True, False, True, False]
    """
    return [
        not any(other[0] <= one[0] and other[1] >= one[1] and other != one for other in points)
        for one in points
    ]


def pareto_pictures(board: Board, rows: Mapping[str, Sequence[Cell]]) -> Iterator[Picture]:
    """A chart for each column and cost that at least two rows have."""
    for column in board.columns:
        scored = [row for row in board.ranked if row.mean(column) is not None]
        scored.sort(key=lambda row: -column.sign * (row.mean(column) or 0.0))
        scored = scored[:MOST]
        cells = {row.name: cell_in(rows[row.name], column) for row in scored}
        for measure in measures(column, scored, cells):
            yield _picture(board, column, scored, measure)


def _picture(board: Board, column: Column, rows: Sequence[Row], measure: Measure) -> Picture:
    points = _points(column, [row for row in rows if row.name in measure.values], measure)
    where = f"{place(board, column)}: {column.metric}"
    best = ", ".join(one["row"] for one in points if one["front"])
    told = (
        f"{column.metric} of {place(board, column)} over {measure.name}. No row has a better "
        f"score at the same or a lower cost than: {best}."
    )
    return picture(f"{where} over {measure.name}", _chart(points, column, measure), told)


def _points(column: Column, rows: Sequence[Row], measure: Measure) -> list[dict[str, Any]]:
    scores = [(row, row.scores[column.key]) for row in rows]
    at = [(measure.values[row.name], column.sign * (score.mean or 0.0)) for row, score in scores]
    return [
        {
            "row": row.name,
            "kind": row.kind,
            "cost": measure.values[row.name],
            "score": score.mean,
            "low": score.low,
            "high": score.high,
            "front": best,
        }
        for (row, score), best in zip(scores, front(at), strict=True)
    ]


def _chart(points: list[dict[str, Any]], column: Column, measure: Measure) -> Any:
    import altair as alt

    arrow = "higher" if column.sign > 0 else "lower"
    base = alt.Chart(inline(points)).encode(
        x=alt.X("cost:Q")
        .scale(type="log", padding=24, nice=False)
        .axis(format=",.3~r", tickCount=6, grid=False)
        .title(measure.name),
        y=alt.Y("score:Q")
        .scale(zero=False, padding=16, nice=False)
        .title(f"{column.metric}, {arrow} is better"),
    )
    tips = [
        alt.Tooltip("row:N"),
        alt.Tooltip("score:Q", format=".4f", title=column.metric),
        alt.Tooltip("low:Q", format=".4f", title="95 % from"),
        alt.Tooltip("high:Q", format=".4f", title="to"),
        alt.Tooltip("cost:Q", format=",.3~r", title=measure.name),
        alt.Tooltip("kind:N"),
    ]
    best = base.transform_filter("datum.front")
    bars = base.mark_rule(strokeWidth=1).encode(
        y=alt.Y("low:Q"), y2="high:Q", color=kinds()["color"]
    )
    line = best.mark_line(interpolate="step-after", strokeDash=[4, 3], color="#808890")
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(tooltip=tips, **kinds())
    named = base.transform_filter("datum.front && datum.kind == 'model'")
    names = named.mark_text(align="left", dx=9, dy=-8, fontSize=12, limit=180).encode(text="row:N")
    return alt.layer(bars, line, dots, names).properties(width="container", height=_HEIGHT)
