"""A panel of scores over sizes: points with intervals, lines across, curves through."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tastebench.board.chart import BASELINE, INK, MODEL, SOFT
from tastebench.board.model import Score

if TYPE_CHECKING:
    import altair as alt

_PANEL = (380, 260)  # pixels
_CHARACTER, _LINE = 6.2, 11.0  # width and height of text of size 10

PARAMETERS = "parameters"
"""What is drawn over where nobody says otherwise."""


@dataclass(frozen=True)
class Over:
    """What scores are drawn over.

    Attributes:
        name: Field of points and curves, and title of the axis.
        ticks: Where the axis has numbers.
        form: How numbers are written there, by d3-format.
        below, above: Factors by which the axis goes beyond its points: room for labels.
    """

    name: str = PARAMETERS
    ticks: tuple[float, ...] = tuple(f * 10.0**power for power in range(15) for f in (1, 3))
    form: str = "~s"
    below: float = 6.0
    above: float = 10.0


def panel(
    title: str,
    over: Over,
    points: list[dict[str, Any]],
    lines: list[dict[str, Any]],
    curves: Sequence[list[dict[str, Any]]] = (),
) -> alt.LayerChart:
    """A panel as an Altair chart.

    Args:
        title: Above it.
        over: What is at its foot.
        points: `name`, the size by the name of `over`, `mean`, `low` and `high` each.
        lines: `name` and `mean` each; horizontal.
        curves: Each a list of sizes with `mean` and, where a band is known, `low` and `high`.
    """
    import altair as alt

    width, height = _PANEL
    low, high = _span([*points, *lines, *(one for curve in curves for one in curve)])
    sizes = [point[over.name] for point in points]
    left, right = min(sizes) / over.below, max(sizes) * over.above
    character = _CHARACTER / width * math.log10(right / left)  # its width in decades
    line = _LINE / height * (high - low)
    _place(
        points,
        line,
        lambda one: (math.log10(one[over.name]), character * (2 + len(one["name"]))),
    )
    _place(lines, line, lambda _: (0.0, 1.0))
    x = alt.X(
        f"{over.name}:Q",
        title=over.name,
        scale=alt.Scale(type="log", domain=[left, right], nice=False),
        axis=alt.Axis(
            grid=False,
            values=list(over.ticks),
            labelExpr=f"replace(format(datum.value, '{over.form}'), 'G', 'B')",
        ),
    )
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y, label = (alt.Y(f"{name}:Q", scale=scale, title=None) for name in ("mean", "label"))
    ends = alt.Y("low:Q", scale=scale, title=None)
    drawn, flat = alt.Chart(alt.InlineData(points)), alt.Chart(alt.InlineData(lines))
    tip = ["name:N", f"{over.name}:Q", "mean:Q", "low:Q", "high:Q"]
    layers: list[Any] = [
        flat.mark_rule(color=BASELINE, strokeDash=[4, 3]).encode(y=y, tooltip=["name:N", "mean:Q"]),
        flat.mark_text(align="left", dx=2, dy=-5, fontSize=9, color=SOFT).encode(
            x=alt.value(0), y=label, text="name:N"
        ),
    ]
    for curve in curves:
        through = alt.Chart(alt.InlineData(curve))
        if curve[0]["low"] is not None:
            layers.append(
                through.mark_area(color=MODEL, opacity=0.15).encode(x=x, y=ends, y2="high:Q")
            )
        layers.append(through.mark_line(color=MODEL, strokeWidth=1.2).encode(x=x, y=y))
    layers += [
        drawn.mark_rule(color=MODEL).encode(x=x, y=ends, y2="high:Q"),
        drawn.mark_point(filled=True, size=45, color=MODEL, opacity=1).encode(
            x=x, y=y, tooltip=tip
        ),
        drawn.mark_text(align="left", dx=7, fontSize=10, color=INK).encode(
            x=x, y=label, text="name:N"
        ),
    ]
    head = alt.TitleParams(title, anchor="start", color=INK)
    return alt.LayerChart(layer=layers, width=width, height=height, title=head)


def ends_of(score: Score) -> dict[str, float | None]:
    """A score as points and lines have it."""
    return {"mean": score.mean, "low": score.low, "high": score.high}


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
