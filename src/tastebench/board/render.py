"""A board in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tastebench.board import figures
from tastebench.board.layout import (
    GAP,
    NAME_WIDTH,
    PLAIN,
    RICH,
    Block,
    Line,
    Symbols,
    blocks,
    lines_of,
    short_datasets,
    short_names,
)
from tastebench.board.model import Board, Row
from tastebench.board.questions import question_blocks

FILE_WIDTH = 132  # Rich takes what has no width for 80 characters wide


def symbols_for(console: Console) -> Symbols:
    """Unicode and styles on a terminal that has them, else ASCII."""
    rich = console.is_terminal and console.encoding.lower().startswith("utf")
    return RICH if rich else PLAIN


def output_console() -> Console:
    """Standard output: as wide as the terminal, or 132 characters in a file or a pipe."""
    console = Console()
    return console if console.is_terminal else Console(width=FILE_WIDTH)


def print_board(board: Board, console: Console) -> None:
    """Prints the table, what it says, and what to know about it.

    With more columns than the terminal is wide, they follow in further tables of the same rows.
    """
    symbols = symbols_for(console)
    console.print(Text(board.title, style="bold italic"))
    lines = lines_of(board)
    sections = [_section(line) for line in lines]
    styles = [_style(line) for line in lines]
    for block in blocks(board, console.width, symbols):
        print_block(block, console, styles, sections)
    for title, block in question_blocks(board, intervals=False):
        console.print(Text(title, style="italic"))
        print_block(block, console, styles, sections)
    for line in _foot(board, symbols):
        console.print(line, highlight=False)


def as_text(board: Board) -> str:
    """What `print_board` prints, as a string without styles."""
    file = StringIO()
    print_board(board, Console(file=file, width=FILE_WIDTH))
    return file.getvalue().rstrip()


def print_block(
    block: Block, console: Console, styles: Sequence[str], sections: Sequence[str] = ()
) -> None:
    """Prints columns side by side, but for lines of which nothing but the name is in the block.

    Args:
        block: The columns.
        console: Where to.
        styles: Of each line.
        sections: Of each line; a rule is drawn where the section changes. Empty for one section.
    """
    table = Table(box=symbols_for(console).box, padding=(0, GAP - 1, 0, 0))
    for column in block:
        table.add_column(
            Text("\n".join(column.head)),
            justify="left" if column.left else "right",
            no_wrap=not column.left,
            max_width=NAME_WIDTH if column.left else None,
            overflow="fold",
        )
    last = None
    for i, style in enumerate(styles):
        if not any(column.cells[i] for column in block if not column.left):
            continue
        if sections and last not in (None, sections[i]):
            table.add_section()
        last = sections[i] if sections else None
        table.add_row(*(column.cells[i] for column in block), style=style)
    console.print(table)


def _style(line: Line) -> str:
    return "" if isinstance(line, Row) and line.kind == "model" else "italic"


def _section(line: Line) -> str:
    """What is set apart: what cannot be beaten, and what others printed."""
    if not isinstance(line, Row):
        return "printed"
    return "ceiling" if line.kind == "ceiling" else ""


def _foot(board: Board, symbols: Symbols) -> Iterator[Text]:
    if board.summary:
        yield Text(board.summary, style="bold")
        yield Text()
    if agreement := figures.agreement_lines(board):
        yield from map(Text, agreement)
        yield Text()
    best = "bold" if not symbols.best else symbols.best
    second = "underlined" if not symbols.second else symbols.second
    pm = symbols.pm
    lines = [
        f"{best} best, {second} second; {pm} half the 95 % interval over units{_spread(board)}",
        f"Borda: {_borda(board)}",
        *figures.published_lines(board),
        *_shortened(board),
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


def _spread(board: Board) -> str:
    scores = (row.scores.get(column.key) for row in board.rows for column in board.columns)
    known = any(figures.spread(score) is not None for score in scores)
    return "; s standard deviation over the seeds, where it is not 0" if known else ""


def _shortened(board: Board) -> list[str]:
    """What short names at the heads and in the rows stand for."""
    told = {**short_datasets(board), **short_names(board)}
    pairs = [f"{short} = {name}" for name, short in told.items() if short != name]
    return [f"short: {', '.join(pairs)}"] if pairs else []


def _borda(board: Board) -> str:
    n, columns = len(board.ranked), len(board.columns)
    of = f"{n} rows, {columns} column{'s' * (columns != 1)}"
    return f"at most {max(n - 1, 0) * columns} points ({of})"


def _missing(board: Board) -> list[str]:
    rows = [f"{row.name} {row.missing}" for row in board.ranked if row.missing]
    if not rows:
        return []
    return [f"columns without a score count 0 points: {', '.join(rows)}"]
