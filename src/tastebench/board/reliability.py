"""Do predicted clicks happen as often as predicted? Observed rates, a panel a row and dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.board.board import cells_of, of_task
from tastebench.board.cells import Cell
from tastebench.board.chart import BASELINE, INK, MODEL, SOFT, heading, write_chart
from tastebench.board.figures import number
from tastebench.board.load import Loaded
from tastebench.board.model import Board
from tastebench.board.names import group_cells
from tastebench.errors import DataError, UsageError

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

_PANEL = 170  # pixels
_COLUMNS = 4
_TABLE = "calibration.parquet"
_NEEDED = ("rows", "probability", "rate", "low", "high")


@dataclass(frozen=True)
class _Panel:
    """What one row predicts on one dataset.

    Attributes:
        points: A bin each: its rows, mean probability, rate of clicks and the ends of its interval.
        ece: Expected calibration error; None where the run did not measure it.
    """

    name: str
    dataset: str
    points: list[dict[str, float]]
    ece: float | None


def draw(loaded: Loaded, board: Board, path: Path) -> None:
    """Writes the picture, SVG or an HTML page that needs no network, by the ending of `path`.

    Args:
        loaded: The records, whose tables lie beside them.
        board: Their board, by whose rows panels are named and ordered.
        path: Where to.

    Raises:
        UsageError: Another ending, or no run says how likely a click is.
        DataError: A table is broken.
        OSError: It cannot be written.
    """
    write_chart(lambda: make_chart(loaded, board), path, "reliability")


def make_chart(loaded: Loaded, board: Board) -> alt.VConcatChart:
    """The picture as an Altair chart.

    A point is a bin of predicted probabilities, larger for more rows; on the diagonal what is
    predicted happens. All panels have the same axes. Of several seeds the first is drawn.

    Raises:
        UsageError: No run says how likely a click is.
        DataError: A table is broken.
    """
    import altair as alt

    panels, without = _panels(loaded, board)
    if not panels:
        raise UsageError(
            "no run here has a table of predicted probabilities beside its record",
            fix="run a plan with tasks: [ctr], and draw the folder of its results",
        )
    top = max(end for panel in panels for one in panel.points for end in _ends(one))
    most = max(one["rows"] for panel in panels for one in panel.points)
    several = len({panel.dataset for panel in panels}) > 1
    drawn = [_chart(panel, min(1.0, 1.05 * top), most, several) for panel in panels]
    under = [
        "a point is a bin of predictions, larger for more rows; bars: 95 % intervals, rows of one "
        "user taken together",
        "on the line what is predicted happens; the first seed of each",
        *([f"no probabilities: {', '.join(without)}"] if without else []),
    ]
    title = heading(f"{board.title}: observed over predicted rate of clicks", under)
    chart = alt.concat(*drawn, columns=_COLUMNS, spacing=20).properties(title=title)
    made: alt.VConcatChart = chart.configure_view(stroke=None)
    return made


def _panels(loaded: Loaded, board: Board) -> tuple[list[_Panel], list[str]]:
    """By dataset, then as the rows stand on the board; and which rows have no table."""
    clicks = [entry.record.spec.task for entry in loaded.entries]
    if "ctr" not in clicks:
        return [], []
    cells = cells_of(of_task(loaded, "ctr"), mixed=True)
    place = {row.name: i for i, row in enumerate(board.rows)}
    rows = group_cells(cells, board.row_by).rows
    named = [(name, cell) for name, mine in rows.items() for cell in mine]
    named.sort(key=lambda one: (one[1].record.spec.dataset, place.get(one[0], len(place))))
    panels = [(name, _panel(name, cell)) for name, cell in named]
    without = dict.fromkeys(name for name, panel in panels if panel is None)
    return [panel for _, panel in panels if panel is not None], list(without)


def _panel(name: str, cell: Cell) -> _Panel | None:
    """A row on a dataset; None where there is no table, or nothing in it."""
    table = cell.entries[0].table(_TABLE)
    if table is None:
        return None
    if not set(_NEEDED) <= set(table.columns):
        raise DataError(
            f"unreadable table: it lacks {', '.join(sorted(set(_NEEDED) - set(table.columns)))}",
            where=f"{cell.entries[0].folder}/{_TABLE}",
            fix="remove its folder and run the plan again: everything else is kept",
        )
    points = list(_points(table))
    ece = cell.record.metrics.get("ece")
    known = None if ece is None else ece.mean
    return _Panel(name, cell.record.spec.dataset, points, known) if points else None


def _points(table: pl.DataFrame) -> Iterator[dict[str, float]]:
    """The bins with rows."""
    import polars as pl

    table = table.select(pl.col(_NEEDED).cast(pl.Float64))
    for one in table.iter_rows(named=True):
        if one["rows"] and not any(one[name] is None or math.isnan(one[name]) for name in _NEEDED):
            yield one


def _ends(point: dict[str, float]) -> tuple[float, float]:
    return point["probability"], point["high"]


def _chart(panel: _Panel, top: float, most: float, several: bool) -> alt.LayerChart:
    import altair as alt

    scale = alt.Scale(domain=[0, top], nice=False, clamp=True)
    axis = alt.Axis(tickCount=4, grid=False)
    x = alt.X("probability:Q", title="predicted", scale=scale, axis=axis)
    y, low = (
        alt.Y(f"{name}:Q", title="observed", scale=scale, axis=axis) for name in ("rate", "low")
    )
    drawn: Any = alt.Chart(alt.InlineData(panel.points))
    ends = [{"probability": end, "rate": end} for end in (0.0, top)]
    size = alt.Size("rows:Q", scale=alt.Scale(domain=[0, most], range=[8, 140]), legend=None)
    tip = [f"{name}:Q" for name in _NEEDED]
    layers = [
        alt.Chart(alt.InlineData(ends)).mark_line(color=BASELINE, strokeDash=[4, 3]).encode(x, y),
        drawn.mark_rule(color=MODEL).encode(x, low, y2="high:Q"),
        drawn.mark_point(filled=True, color=MODEL, opacity=1).encode(x, y, size, tooltip=tip),
    ]
    told = [panel.dataset] if several else []
    told += [f"ece {number(panel.ece)}"] if panel.ece is not None else []
    title = alt.TitleParams(
        panel.name, subtitle=", ".join(told), anchor="start", color=INK, subtitleColor=SOFT
    )
    return alt.LayerChart(layer=layers, width=_PANEL, height=_PANEL, title=title)
