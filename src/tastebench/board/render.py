"""A board in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tastebench.board import figures
from tastebench.board.model import Board, Column, Row

_FILE_WIDTH = 132  # Rich takes what has no width for 80 characters wide
_NAME_WIDTH = 32
_KIND = 7
_GAP = 2  # characters between two columns: a space and the divider
_TOTALS = (5, 6, 6)  # Borda, time, latency

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


def symbols_for(console: Console) -> Symbols:
    """Unicode and styles on a terminal that has them, else ASCII."""
    rich = console.is_terminal and console.encoding.lower().startswith("utf")
    return RICH if rich else PLAIN


def output_console() -> Console:
    """Standard output: as wide as the terminal, or 132 characters in a file or a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=_FILE_WIDTH)


def print_board(board: Board, console: Console) -> None:
    """Prints the table, what it says, and what to know about it.

    With more columns than the terminal is wide, they follow in further tables of the same rows.
    """
    symbols = symbols_for(console)
    for number, block in enumerate(_blocks(board, console.width, symbols)):
        console.print(_table(board, block, symbols, totals=number == 0))
    for line in _foot(board, symbols):
        console.print(line, highlight=False)


def as_text(board: Board) -> str:
    """What `print_board` prints, as a string without styles."""
    file = StringIO()
    print_board(board, Console(file=file, width=_FILE_WIDTH))
    return file.getvalue().rstrip()


def _blocks(board: Board, width: int, symbols: Symbols) -> Iterator[tuple[Column, ...]]:
    """The columns, as many at a time as fit beside the names; the first have the totals too."""
    names = max([len(board.row_by), *(len(_label(board, row)) for row in board.rows)])
    edges = 1 + sum(part + _GAP for part in (2, min(names, _NAME_WIDTH), _KIND))
    totals = sum(part + _GAP for part in _TOTALS)
    heads = max([0, *(len(line) for c in board.columns for line in _head(board, c, symbols))])
    numbers = len(f"{symbols.best}0.1234 {symbols.pm}.1234")
    cell = max(heads, numbers) + _GAP
    start, room = 0, width - edges - totals
    while start == 0 or start < len(board.columns):
        count = max(1, room // cell)
        yield board.columns[start : start + count]
        start, room = start + count, width - edges


def _head(board: Board, column: Column, symbols: Symbols) -> list[str]:
    """The lines at the head of a column."""
    several = len({one.dataset for one in board.columns}) > 1
    arrow = symbols.up if column.sign > 0 else symbols.down
    lines = [f"{column.task} {arrow}", column.group or "", column.dataset if several else ""]
    return [*(line for line in lines if line), column.metric]


def _table(board: Board, columns: tuple[Column, ...], symbols: Symbols, totals: bool) -> Table:
    table = Table(
        box=symbols.box,
        padding=(0, _GAP - 1, 0, 0),
        title=f"{board.suite}, by {board.row_by}" if totals else None,
        title_justify="left",
    )
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column(board.row_by, max_width=_NAME_WIDTH, overflow="fold")
    table.add_column("", style="dim", no_wrap=True)
    for column in columns:
        head = Text("\n".join(_head(board, column, symbols)))
        table.add_column(head, justify="right", no_wrap=True)
    for name in ("Borda", "time", "ms p50") if totals else ():
        table.add_column(name, justify="right", no_wrap=True)
    marked = {column: figures.leaders(board, column) for column in columns}
    for i, row in enumerate(board.rows):
        if row.kind == "ceiling" and i and board.rows[i - 1].kind != "ceiling":
            table.add_section()
        sums = (
            figures.points(row),
            figures.seconds(figures.row_seconds(row)),
            figures.row_latency(row),
        )
        table.add_row(
            "" if row.rank is None else str(row.rank),
            Text(_label(board, row), style="" if row.kind == "model" else "italic"),
            "" if row.kind == "model" else row.kind,
            *(_cell(row, column, marked[column], symbols) for column in columns),
            *(sums if totals else ()),
        )
    return table


def _label(board: Board, row: Row) -> str:
    numbers = figures.footnotes(board)
    return row.name + "".join(f" [{numbers[mark]}]" for mark in row.marks)


def _cell(row: Row, column: Column, marked: tuple[set[str], set[str]], symbols: Symbols) -> Text:
    score = row.scores.get(column.key)
    best, second = (row.name in names for names in marked)
    sign = symbols.best if best else symbols.second if second else ""
    text = Text(sign)
    style = "bold" if best else "underline" if second else ""
    text.append(figures.mean(score), style=style)
    half = figures.half_width(score)
    if half is not None:
        text.append(f" {symbols.pm}{half}", style="dim")
    return text


def _foot(board: Board, symbols: Symbols) -> Iterator[Text]:
    if board.summary:
        yield Text(board.summary, style="bold")
        yield Text()
    best = "bold" if not symbols.best else symbols.best
    second = "underlined" if not symbols.second else symbols.second
    pm = symbols.pm
    lines = [
        f"{best} best, {second} second; {pm} half the 95 % interval over units",
        f"Borda: {_borda(board)}",
        *(figures.column_line(board, column) for column in board.columns),
        *figures.data_lines(board),
        *(f"[{number}] {mark.text}" for mark, number in figures.footnotes(board).items()),
        *_missing(board),
        *board.notes,
        f"tastebench {', '.join(board.versions) or 'of unknown version'}",
    ]
    for line in lines:
        yield Text(line, style="dim")
    for failure in board.failed:
        yield Text(f"failed: {figures.failure_line(failure)}", style="red")


def _borda(board: Board) -> str:
    n, columns = len(board.ranked), len(board.columns)
    return f"at most {max(n - 1, 0) * columns} points ({n} rows, {columns} columns)"


def _missing(board: Board) -> list[str]:
    rows = [f"{row.name} {row.missing}" for row in board.ranked if row.missing]
    if not rows:
        return []
    return [f"columns without a score count 0 points: {', '.join(rows)}"]
