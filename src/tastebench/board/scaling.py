"""Does a larger encoder help? Scores over parameters, one panel a task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.board.chart import BASELINE, INK, MODEL, SOFT, heading, write_chart
from tastebench.board.layout import short_names
from tastebench.board.model import Board, Row, Score
from tastebench.errors import UsageError

if TYPE_CHECKING:
    import altair as alt

_PANEL = (380, 260)  # pixels
_CHARACTER, _LINE = 6.2, 11.0  # width and height of text of size 10
_COLUMNS = 2


def draw(board: Board, path: Path) -> None:
    """Writes the picture, SVG or an HTML page that needs no network, by the ending of `path`.

    Raises:
        UsageError: Another ending, or no encoder of known size has a score.
        OSError: It cannot be written.
    """
    write_chart(lambda: make_chart(board), path, "scaling")


def make_chart(board: Board) -> alt.VConcatChart:
    """The picture as an Altair chart.

    Each encoder is a point at its number of parameters (log), its interval a bar; controls and what
    needs no encoder are horizontal lines. A task is the mean of its datasets. Encoders of unknown
    size are listed beneath.

    Raises:
        UsageError: No encoder of known size has a score.
    """
    import altair as alt

    names = short_names(board)
    panels = [
        _panel(part, points, list(_lines(board, part, names)))
        for part in board.parts
        if (points := list(_points(board, part, names)))
    ]
    if not panels:
        raise UsageError(
            "no encoder of known size has a score, so there is nothing to draw over sizes",
            fix="tastebench board DIR --svg FILE draws the board without sizes",
        )
    chart = alt.concat(*panels, columns=_COLUMNS, spacing=24)
    under = ["bars: 95 % intervals over units; lines: controls and what needs no encoder"]
    title = heading(f"{board.title}: score over encoder size", [*under, *_unsized(board)])
    titled = chart.properties(title=title)
    made: alt.VConcatChart = titled.configure_view(stroke=None)
    return made


def _points(board: Board, part: str, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in board.ranked:
        size, score = _size(row), row.tasks.get(part)
        if row.kind == "model" and size and score is not None:
            yield {"name": names[row.name], "parameters": size, **_ends(score)}


def _lines(board: Board, part: str, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    for row in board.ranked:
        score = row.tasks.get(part)
        if (row.kind == "control" or row.encoder is None) and score is not None:
            yield {"name": names[row.name], **_ends(score)}


def _unsized(board: Board) -> list[str]:
    found = [
        row.name
        for row in board.ranked
        if row.kind == "model" and row.encoder is not None and not _size(row)
    ]
    return [f"not drawn, size unknown: {', '.join(found)}"] if found else []


def _panel(part: str, points: list[dict[str, Any]], lines: list[dict[str, Any]]) -> alt.LayerChart:
    import altair as alt

    width, height = _PANEL
    low, high = _span([*points, *lines])
    sizes = [point["parameters"] for point in points]
    left, right = min(sizes) / 6, max(sizes) * 10  # room for the labels of lines and points
    character = _CHARACTER / width * math.log10(right / left)  # its width in decades
    line = _LINE / height * (high - low)
    _place(
        points,
        line,
        lambda one: (math.log10(one["parameters"]), character * (2 + len(one["name"]))),
    )
    _place(lines, line, lambda _: (0.0, 1.0))
    x = alt.X(
        "parameters:Q",
        title="parameters",
        scale=alt.Scale(type="log", domain=[left, right], nice=False),
        axis=alt.Axis(
            grid=False,
            values=[factor * 10**power for power in range(15) for factor in (1, 3)],
            labelExpr="replace(format(datum.value, '~s'), 'G', 'B')",
        ),
    )
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y, label = (alt.Y(f"{name}:Q", scale=scale, title=None) for name in ("mean", "label"))
    drawn, flat = alt.Chart(alt.InlineData(points)), alt.Chart(alt.InlineData(lines))
    tip = ["name:N", "parameters:Q", "mean:Q", "low:Q", "high:Q"]
    layers = [
        flat.mark_rule(color=BASELINE, strokeDash=[4, 3]).encode(y=y, tooltip=["name:N", "mean:Q"]),
        flat.mark_text(align="left", dx=2, dy=-5, fontSize=9, color=SOFT).encode(
            x=alt.value(0), y=label, text="name:N"
        ),
        drawn.mark_rule(color=MODEL).encode(
            x=x, y=alt.Y("low:Q", scale=scale, title=None), y2="high:Q"
        ),
        drawn.mark_point(filled=True, size=45, color=MODEL, opacity=1).encode(
            x=x, y=y, tooltip=tip
        ),
        drawn.mark_text(align="left", dx=7, fontSize=10, color=INK).encode(
            x=x, y=label, text="name:N"
        ),
    ]
    title = alt.TitleParams(part, anchor="start", color=INK)
    return alt.LayerChart(layer=layers, width=width, height=height, title=title)


def _span(found: list[dict[str, Any]]) -> tuple[float, float]:
    """Ends of the axis: all intervals, and room for a label at the top."""
    ends = [one[end] for one in found for end in ("mean", "low", "high") if one[end] is not None]
    low, high = min(ends), max(ends)
    room = (high - low) or abs(high) or 1.0
    return low - 0.06 * room, high + 0.10 * room


def _place(
    found: list[dict[str, Any]],
    line: float,
    reach: Callable[[dict[str, Any]], tuple[float, float]],
) -> None:
    """Gives each a height for its label, `line` above those that it would cover.

    Args:
        found: What is labelled; `label` is set to the height.
        line: Height of a line of text.
        reach: Where a label begins and how long it is.
    """
    placed: list[tuple[float, float, float]] = []
    for one in sorted(found, key=lambda one: float(one["mean"])):
        start, length = reach(one)
        rivals = [top for top, left, right in placed if left < start + length and start < right]
        one["label"] = max([one["mean"], *(top + line for top in rivals)])
        placed.append((one["label"], start, start + length))


def _size(row: Row) -> int | None:
    size: int | None = row.cost.get("parameters", {}).get("encoder")
    return size


def _ends(score: Score) -> dict[str, float | None]:
    return {"mean": score.mean, "low": score.low, "high": score.high}
