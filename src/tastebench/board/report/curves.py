"""Learning curves: what a run scored on the validation part after each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tastebench.board.load import Entry
from tastebench.board.model import Board, Column
from tastebench.board.report.column import Drawn
from tastebench.board.report.conclusion import place
from tastebench.board.report.spec import Picture, inline, picture
from tastebench.board.tables import CURVE

MOST = 8
"""Lines of a chart: of the best rows that are trained by epochs."""

POINTS = 200
"""Epochs of a curve; of more, so many spread over all."""

_HEIGHT = 280


def curve(entry: Entry) -> list[tuple[int, float | None, float | None]]:
    """Epoch, loss and validation score of a run; empty where nothing was trained by epochs.

    Raises:
        DataError: The table is broken.
    """
    table = entry.table(CURVE)
    if table is None or "epoch" not in table.columns or not table["epoch"].dtype.is_integer():
        return []
    step = -(-table.height // POINTS)
    kept = table.gather_every(step) if step > 1 else table
    columns = [
        kept[name].to_list() if name in kept.columns else [None] * kept.height
        for name in ("loss", "valid")
    ]
    losses, valid = ([_short(value) for value in column] for column in columns)
    return list(zip([int(epoch) for epoch in kept["epoch"]], losses, valid, strict=True))


def _short(value: Any) -> float | None:
    """To five digits; None for what is no number."""
    short = None if value is None else float(f"{value:.5g}")
    return short if short is not None and abs(short) < float("inf") else None


def curve_pictures(board: Board, columns: Mapping[Column, Sequence[Drawn]]) -> Iterator[Picture]:
    """A chart for each task and dataset with something that was trained by epochs.

    Raises:
        DataError: A table is broken.
    """
    seen = set()
    for column, drawn in columns.items():
        where = (column.task, column.dataset)
        if where in seen:
            continue
        seen.add(where)
        lines = {one.row.name: curve(one.cell.entries[0]) for one in drawn}
        lines = {name: points for name, points in lines.items() if len(points) > 1}
        values = [
            {"row": name, "epoch": epoch, "valid": valid}
            for name, points in list(lines.items())[:MOST]
            for epoch, _, valid in points
            if valid is not None
        ]
        if values:
            yield _picture(board, column, values)


def _picture(board: Board, column: Column, values: list[dict[str, Any]]) -> Picture:
    where = place(board, column)
    told = (
        f"{column.metric} on the validation part of {where} after each epoch, of the first seed of "
        "the best rows. A curve that still rises at its end had too few epochs."
    )
    return picture(where, _chart(values, column), told)


def _chart(values: list[dict[str, Any]], column: Column) -> Any:
    import altair as alt

    names = list(dict.fromkeys(value["row"] for value in values))
    color = alt.Color("row:N").scale(domain=names).title(None)
    tips = [
        alt.Tooltip("row:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("valid:Q", format=".4f", title="validation"),
    ]
    return (
        alt.Chart(inline(values))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("epoch:Q").axis(tickMinStep=1, format="d").scale(zero=False, nice=False),
            y=alt.Y("valid:Q").scale(zero=False).title("validation score"),
            color=color,
            strokeDash=alt.StrokeDash("row:N").scale(domain=names).title(None),
            tooltip=tips,
        )
        .properties(width="container", height=_HEIGHT)
    )


def card_curve() -> dict[str, Any]:
    """The curve of one run, its values left to the page: validation above, training loss below."""
    import altair as alt

    panels = [
        alt.Chart()
        .mark_line(point=True)
        .encode(
            x=alt.X("epoch:Q").axis(tickMinStep=1, format="d"),
            y=alt.Y(f"{name}:Q").scale(zero=False).title(title),
            tooltip=["epoch:Q", f"{name}:Q"],
        )
        .properties(height=120, width=420)
        for name, title in (("valid", "validation"), ("loss", "training loss"))
    ]
    chart = alt.vconcat(*panels, data=inline([{"epoch": 1, "valid": 0, "loss": 0}]))
    return picture("", chart, "Validation score and training loss after each epoch").spec
