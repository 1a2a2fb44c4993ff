"""A board as columns of text, and which of them stand side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.text import Text

from tastebench.board import figures
from tastebench.board.model import Board, Column, Row, Score
from tastebench.board.published import PublishedRow
from tastebench.board.short import last_parts, shorten

NAME_WIDTH = 28
GAP = 2  # characters between two columns: a space and the divider

_DATASET_WIDTH = 13  # as wide as a number with its interval

_LINES = ("    ", "    ", " -- ", "    ", "    ", "    ", "    ", "    ")
_PLAIN_BOX = box.Box("".join(f"{line}\n" for line in _LINES), ascii=True)


@dataclass(frozen=True)
class Symbols:
    """What a terminal can show.

    Attributes:
        best, second: Said by characters where there is no bold and no underline.
    """

    up: str
    down: str
    pm: str
    best: str
    second: str
    box: box.Box


RICH = Symbols("↑", "↓", "±", "", "", box.SIMPLE_HEAD)
PLAIN = Symbols("(up)", "(down)", "+-", "*", "'", _PLAIN_BOX)


@dataclass(frozen=True)
class TextColumn:
    """A column as it is printed.

    Attributes:
        head: Lines of its head.
        cells: One for each of `lines_of`.
        left: Its cells begin at the left.
    """

    head: tuple[str, ...]
    cells: tuple[Text, ...]
    left: bool = False

    @property
    def width(self) -> int:
        """Characters it needs, the gap to the next one included."""
        texts = [*self.head, *(cell.plain for cell in self.cells)]
        return max(map(cell_len, texts)) + GAP


Line = Row | PublishedRow
Block = list[TextColumn]


def lines_of(board: Board) -> list[Line]:
    """What is printed in each line: the rows, then printed ones of others."""
    return [*board.rows, *(board.published.rows if board.published else ())]


def blocks(board: Board, width: int, symbols: Symbols) -> Iterator[Block]:
    """The columns, as many at a time as fit into `width`, each block with the names of the rows.

    Columns that belong together stay together if they can: the scores by task with the points, the
    averages with the cost, the datasets of a task. What is too wide even alone is cut up.
    """
    lines = lines_of(board)
    names = TextColumn((board.row_by,), tuple(map(Text, row_labels(board))), left=True)
    ranks = TextColumn((" #",), tuple(Text(_rank(line)) for line in lines), left=True)
    kinds = TextColumn(("",), tuple(Text(_kind(line), "dim") for line in lines), left=True)
    return flow([ranks, names, kinds], names, _groups(board, symbols), width)


def flow(lead: Block, names: TextColumn, groups: Iterable[Block], width: int) -> Iterator[Block]:
    """Groups of columns side by side after `lead`, and on after `names` where the width is used up.

    A group stays together if it can.
    """
    edge = 1 + _shown(names)
    block, used, empty = [*lead], 1 + sum(map(_shown, lead)), True
    for group in groups:
        for piece in _pieces(group, width - edge):
            more = sum(map(_shown, piece))
            if not empty and used + more > width:
                yield block
                block, used, empty = [names], edge, True
            block += piece
            used, empty = used + more, False
    yield block


def _shown(column: TextColumn) -> int:
    """Characters a column takes; names are folded."""
    return min(column.width, NAME_WIDTH + GAP) if column.left else column.width


def _pieces(group: list[TextColumn], room: int) -> list[list[TextColumn]]:
    """The group whole, or cut into as few pieces of about equal size as fit."""
    for count in range(1, len(group) + 1):
        size = math.ceil(len(group) / count)
        pieces = [group[i : i + size] for i in range(0, len(group), size)]
        if all(sum(column.width for column in piece) <= room for piece in pieces):
            return pieces
    return [[column] for column in group]


def row_labels(board: Board) -> list[str]:
    """The name of each line with the numbers of its marks.

    Where a name is too wide, all are named by the last part of their model's path.
    """
    names = short_names(board)
    numbers = figures.footnotes(board)
    labels = []
    for line in lines_of(board):
        marks = line.marks if isinstance(line, Row) else ()
        labels.append(names[_name(line)] + "".join(f" [{numbers[mark]}]" for mark in marks))
    return labels


def short_names(board: Board) -> dict[str, str]:
    """Each name as it is printed."""
    names = list(dict.fromkeys(_name(line) for line in lines_of(board)))
    if all(cell_len(name) <= NAME_WIDTH for name in names):
        return {name: name for name in names}
    return last_parts(names)


def short_datasets(board: Board) -> dict[str, str]:
    """Each dataset as it is printed at the head of a column."""
    return shorten(dict.fromkeys(column.dataset for column in board.columns), _DATASET_WIDTH)


def _groups(board: Board, symbols: Symbols) -> Iterator[list[TextColumn]]:
    """Columns that belong together.

    A task of several datasets has a column of its mean among the tasks, and its datasets follow;
    what only a printed table has is last.
    """
    n = len(board.rows)
    tasks = [_task(board, part, columns, symbols) for part, columns in board.parts.items()]
    borda = [figures.points(row) for row in board.rows]
    yield [*tasks, _texts("Borda", [*borda, *[""] * _printed(board)])] if tasks else []
    yield [
        _texts(name.replace("(", "\n("), [*map(figures.number, values[:n]), *_known(values[n:])])
        for name, values in figures.averages(board).items()
    ]
    yield _costs(board)
    for columns in board.parts.values():
        if len(columns) > 1:
            yield [_score_column(board, column, symbols) for column in columns]
    yield _printed_apart(board)


def _task(board: Board, part: str, columns: Sequence[Column], symbols: Symbols) -> TextColumn:
    """The mean of a task's columns, or its only column."""
    if len(columns) == 1:
        return _score_column(board, columns[0], symbols)
    metrics = dict.fromkeys(column.metric for column in columns)
    head = (*_task_head(columns[0], symbols), f"mean of {len(columns)}", "/".join(metrics))
    scores = {row.name: row.tasks.get(part) for row in board.rows}
    mean = _scores(board, head, scores, columns[0].sign, symbols)
    return _with_printed(board, mean, columns)


def _score_column(board: Board, column: Column, symbols: Symbols) -> TextColumn:
    several = len({one.dataset for one in board.columns}) > 1
    head = (
        *_task_head(column, symbols),
        *((short_datasets(board)[column.dataset],) if several else ()),
        column.metric,
    )
    scores = {row.name: row.scores.get(column.key) for row in board.rows}
    return _with_printed(board, _scores(board, head, scores, column.sign, symbols), [column])


def _with_printed(board: Board, column: TextColumn, columns: Sequence[Column]) -> TextColumn:
    """A column with the printed scores of the same beneath."""
    place = figures.printed_place(board, columns)
    printed = board.published.rows if board.published and place else ()
    cells = [Text(cell) for cell in _known([row.scores.get(place or "") for row in printed])]
    return TextColumn(column.head, (*column.cells, *(cells or [Text()] * _printed(board))))


def _printed_apart(board: Board) -> Block:
    """What the printed table has and the board has no column for."""
    printed = board.published.rows if board.published else ()
    above = [""] * len(board.rows)
    columns = [
        _texts(
            f"printed\n{place.rpartition('/')[2]}",
            [*above, *_known([row.scores[place] for row in printed])],
        )
        for place in figures.printed_apart(board)
    ]
    if any(row.latency_ms is not None for row in printed):
        times = [figures.milliseconds(row.latency_ms) for row in printed]
        columns.append(_texts("printed\nms", [*above, *times]))
    return columns


def _known(values: Sequence[float | None]) -> list[str]:
    """Printed numbers, empty where there are none."""
    return ["" if value is None else figures.number(value) for value in values]


def _task_head(column: Column, symbols: Symbols) -> tuple[str, ...]:
    arrow = symbols.up if column.sign > 0 else symbols.down
    return f"{column.task} {arrow}", *((column.group,) if column.group else ())


def _scores(
    board: Board,
    head: tuple[str, ...],
    scores: dict[str, Score | None],
    sign: int,
    symbols: Symbols,
) -> TextColumn:
    means = {row.name: _mean(scores[row.name]) for row in board.ranked}
    best, second = figures.best_two(means, sign)
    cells = [_cell(score, name in best, name in second, symbols) for name, score in scores.items()]
    return TextColumn(head, tuple(cells))


def _cell(score: Score | None, best: bool, second: bool, symbols: Symbols) -> Text:
    text = Text(symbols.best if best else symbols.second if second else "")
    style = "bold" if best else "underline" if second else ""
    text.append(figures.mean(score), style=style)
    half, spread = figures.half_width(score), figures.spread(score)
    if half is not None:
        text.append(f" {symbols.pm}{half}", style="dim")
    if spread is not None:
        text.append(f" s{spread}", style="dim")
    return text


def _costs(board: Board) -> list[TextColumn]:
    empty = [""] * _printed(board)
    rows = board.rows
    return [
        _texts("per 1 M\nitems", [*map(figures.row_per_million, rows), *empty]),
        _texts("time", [*(figures.seconds(figures.row_seconds(row)) for row in rows), *empty]),
        _texts("ms p50", [*map(figures.row_latency, rows), *empty]),
        *(_texts(head, [*cells, *empty]) for head, cells in figures.thousands(board).items()),
        *(_texts(head, [*cells, *empty]) for head, cells in figures.energies(board).items()),
    ]


def _texts(head: str, cells: Sequence[str]) -> TextColumn:
    return TextColumn(tuple(head.split("\n")), tuple(map(Text, cells)))


def _rank(line: Line) -> str:
    """A rank in two places, its interval behind."""
    own, _, interval = (figures.rank(line) if isinstance(line, Row) else "").partition(" ")
    return f"{own:>2} {interval}".rstrip()


def _kind(line: Line) -> str:
    if isinstance(line, PublishedRow):
        return "printed"
    return "" if line.kind == "model" else line.kind


def _name(line: Line) -> str:
    return line.name if isinstance(line, Row) else line.model


def _mean(score: Score | None) -> float | None:
    return None if score is None else score.mean


def _printed(board: Board) -> int:
    return len(board.published.rows) if board.published else 0
