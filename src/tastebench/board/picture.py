"""A board as a picture: one panel a column, a dot and its interval a row, a line for the ceiling.

Self-contained SVG in plain shapes and text: no script, no font of ours, readable in a README.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from tastebench.board import svg
from tastebench.board.model import Board, Column, Row, Score

_PANEL, _GAP, _ROW = 190.0, 34.0, 24.0
_TOP, _BOTTOM, _MARGIN = 84.0, 40.0, 16.0
_CHARACTER = 6.8  # width of a 12 px character, about
_INK, _SOFT, _GRID = "#1f2933", "#66727f", "#e4e7eb"
_MODEL, _CONTROL, _CEILING = "#1d5fa8", "#98a4b0", "#b4530a"

_START: svg.Anchor = "start"
_MIDDLE: svg.Anchor = "middle"
_END: svg.Anchor = "end"

Scale = Callable[[float], float]


def to_svg(board: Board) -> str:
    """The picture as an SVG document."""
    rows = board.ranked
    left = 2 * _MARGIN + max([60.0, *(len(row.name) * _CHARACTER for row in rows)])
    width = max(left + len(board.columns) * (_PANEL + _GAP), 480.0)
    height = _TOP + len(rows) * _ROW + _BOTTOM
    shapes = [
        svg.rectangle(0, 0, width, height, "#ffffff"),
        svg.text((_MARGIN, 26), board.title, _INK, size=15, bold=True),
        *_legend(board, width),
        *_names(rows),
    ]
    for i, column in enumerate(board.columns):
        shapes += _panel(board, column, left + i * (_PANEL + _GAP), height - _BOTTOM)
    return svg.document(width, height, f"{board.title}. {board.summary}", shapes)


def _legend(board: Board, width: float) -> Iterator[str]:
    """What the colours say, from the right edge inwards."""
    kinds = {row.kind for row in board.rows}
    entries = [
        (name, colour)
        for name, colour in (("model", _MODEL), ("control", _CONTROL), ("ceiling", _CEILING))
        if name in kinds
    ]
    x = width - _MARGIN
    for name, colour in reversed(entries):
        x -= len(name) * _CHARACTER
        yield svg.text((x, 26), name, _SOFT, size=11)
        yield svg.dot(x - 9, 22, 4, colour)
        x -= 30


def _names(rows: tuple[Row, ...]) -> Iterator[str]:
    for i, row in enumerate(rows):
        at = (_MARGIN, _middle(i) + 4)
        yield svg.text(at, row.name, _INK, italic=row.kind == "control")


def _panel(board: Board, column: Column, x: float, bottom: float) -> Iterator[str]:
    low, high, ticks = _axis(board, column)

    def scale(value: float) -> float:
        return x + (value - low) / (high - low) * _PANEL

    several = len({one.dataset for one in board.columns}) > 1
    name = f"{column.part} / {column.dataset}" if several else column.part
    direction = "higher is better" if column.sign > 0 else "lower is better"
    yield svg.text((x, 56), name, _INK, bold=True)
    yield svg.text((x, 72), f"{column.metric}, {direction}", _SOFT, size=10)
    for tick in ticks:
        yield svg.line((scale(tick), _TOP, scale(tick), bottom), _GRID)
        yield svg.text((scale(tick), bottom + 14), f"{tick:g}", _SOFT, size=10, anchor="middle")
    for row in board.ceilings:
        yield from _ceiling(row, column, scale, x, bottom)
    for i, row in enumerate(board.ranked):
        yield from _dot(row, column, scale, _middle(i))


def _ceiling(row: Row, column: Column, scale: Scale, x: float, bottom: float) -> Iterator[str]:
    """A line, or an arrow where it is far beyond the panel."""
    score = row.scores.get(column.key)
    if score is None or score.mean is None:
        return
    at = scale(score.mean)
    words, anchor, shapes = row.name, _MIDDLE, []
    if x <= at <= x + _PANEL:
        shapes.append(svg.line((at, _TOP, at, bottom), _CEILING, 1.5))
    elif at > x:
        at, words, anchor = x + _PANEL, f"{row.name} {score.mean:.4f} →", _END
    else:
        at, words, anchor = x, f"← {row.name} {score.mean:.4f}", _START
    shapes.append(svg.text((at, bottom + 28), words, _CEILING, size=10, anchor=anchor))
    yield svg.tipped(_says(row, score), shapes)


def _dot(row: Row, column: Column, scale: Scale, y: float) -> Iterator[str]:
    score = row.scores.get(column.key)
    if score is None or score.mean is None:
        return
    colour = _MODEL if row.kind == "model" else _CONTROL
    shapes = [svg.dot(scale(score.mean), y, 3.5, colour)]
    if score.low is not None and score.high is not None:
        shapes.insert(0, svg.line((scale(score.low), y, scale(score.high), y), colour, 2.5))
    yield svg.tipped(_says(row, score), shapes)


def _says(row: Row, score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{row.name}: {score.mean:.4f}"
    return f"{row.name}: {score.mean:.4f} ({score.low:.4f} to {score.high:.4f})"


def _axis(board: Board, column: Column) -> tuple[float, float, list[float]]:
    """Ends and ticks that hold every dot and interval, and a ceiling that is not far from them.

    A ceiling further away than the dots spread would press them together; it is pointed at instead.
    """
    low, high = _ends(board.ranked, column) or _ends(board.ceilings, column) or (0.0, 1.0)
    span = (high - low) or abs(high) or 1.0
    ceiling = _ends(board.ceilings, column)
    if ceiling is not None and low - span <= ceiling[0] and ceiling[1] <= high + span:
        low, high = min(low, ceiling[0]), max(high, ceiling[1])
        span = (high - low) or span
    low, high = low - 0.06 * span, high + 0.06 * span
    step = _nice((high - low) / 4)
    first = math.ceil(low / step)
    ticks = [round(i * step, 10) for i in range(first, math.floor(high / step) + 1)]
    return low, high, ticks


def _ends(rows: tuple[Row, ...], column: Column) -> tuple[float, float] | None:
    scores = [score for row in rows if (score := row.scores.get(column.key)) is not None]
    ends = [end for s in scores for end in (s.mean, s.low, s.high) if end is not None]
    return (min(ends), max(ends)) if ends else None


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10, ... times a power of ten that is not below `step`.

    >>> _nice(0.03), _nice(0.7), _nice(5.0)
    (0.05, 1.0, 5.0)
    """
    power: float = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _middle(i: int) -> float:
    return _TOP + _ROW * (i + 0.5)
