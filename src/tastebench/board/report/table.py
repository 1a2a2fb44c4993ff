"""The board as cells of a page: what is shown, what it is sorted by, and where a click leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tastebench.board import figures
from tastebench.board.cells import Cell
from tastebench.board.model import Board, Column, Row, Score
from tastebench.board.report.column import cell_in
from tastebench.board.report.costs import dollars
from tastebench.board.report.level import STANDS, Level

MOST_OTHER = 3_000
"""Cells of metrics that do not rank, at most; more are left to `tastebench board --json`."""

NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Shown:
    """One cell.

    Attributes:
        text: What is shown; empty where nothing was measured.
        order: What it is sorted by; None stands last, whichever way.
        aside: Shown smaller behind: an interval.
        stand: How a score stands to the best of its column.
        told: The same in words.
        run: Key of the run card it opens.
    """

    text: str
    order: float | str | None
    aside: str = ""
    stand: str = ""
    told: str = ""
    run: str | None = None


@dataclass(frozen=True)
class Head:
    """A column of the table.

    Attributes:
        lines: Its head, line by line.
        told: What it means.
        shown: Whether it is there before anybody chooses columns.
        number: Whether it is sorted as numbers.
        best: Which end is the better one: `desc` or `asc`.
        cells: One a row of the board.
    """

    lines: tuple[str, ...]
    told: str
    shown: bool
    number: bool
    best: str
    cells: tuple[Shown, ...]

    @property
    def name(self) -> str:
        """In one line."""
        return " ".join(self.lines)


def heads(
    board: Board,
    levels: Sequence[Level],
    rows: Mapping[str, Sequence[Cell]],
    cards: Mapping[str, str],
) -> list[Head]:
    """All columns of the table of a board.

    Args:
        board: The board.
        levels: Who is best in its columns.
        rows: The cells of each row.
        cards: Spec hash of each run to the key of its card.
    """

    def card(row: Row, column: Column) -> str | None:
        cell = cell_in(rows[row.name], column)
        return None if cell is None else cards.get(cell.record.spec_hash)

    by = {level.column.key: level for level in levels}
    found = [_rank(board)]
    found += [_scores(board, c, by.get(c.key), card, shown=True) for c in board.columns]
    found += list(_tasks(board))
    found += list(_costs(board))
    found += list(_words(board))
    others = _other_columns(board)
    if len(others) * len(board.rows) <= MOST_OTHER:
        found += [_scores(board, column, None, card, shown=False) for column in others]
    return found


def _rank(board: Board) -> Head:
    told = "By Borda points over all columns; behind it the 95 % interval over resamples of users"
    cells = [
        Shown(
            "" if row.rank is None else str(row.rank),
            row.rank,
            aside=figures.rank(row).partition(" ")[2],
            told="cannot be beaten, so without a rank" if row.rank is None else "",
        )
        for row in board.rows
    ]
    return Head(("rank",), told, True, True, "asc", tuple(cells))


def _scores(
    board: Board,
    column: Column,
    level: Level | None,
    card: Callable[[Row, Column], str | None],
    *,
    shown: bool,
) -> Head:
    arrow, word = ("↑", "higher") if column.sign > 0 else ("↓", "lower")
    several = len({one.dataset for one in board.columns}) > 1
    lines = (column.part, *((column.dataset,) if several else ()), f"{column.metric} {arrow}")
    cells = [
        _score(row.scores.get(column.key), level, row, card(row, column)) for row in board.rows
    ]
    told = f"{figures.column_line(board, column)}; {word} is better"
    return Head(lines, told, shown, True, "desc" if column.sign > 0 else "asc", tuple(cells))


def _score(score: Score | None, level: Level | None, row: Row, run: str | None) -> Shown:
    if score is None or score.mean is None:
        return Shown("", None, told="undefined" if score else NOT_MEASURED, run=run)
    half = figures.half_width(score)
    known = level is not None and row.kind != "ceiling"
    stand = level.stand(row.name) if level is not None and known else ""
    told = "" if not stand else "best of its column" if stand == "best" else STANDS[stand]
    told = f"{told}; {score.seeds} seeds" if score.seeds > 1 else told
    return Shown(
        figures.mean(score),
        score.mean,
        aside=f"±{half}" if half else "",
        stand=stand,
        told=told.removeprefix("; "),
        run=run,
    )


def _tasks(board: Board) -> Iterator[Head]:
    """The mean of each task with several columns, Borda and averages."""
    for part, columns in board.parts.items():
        if len(columns) > 1:
            cells = [_score(row.tasks.get(part), None, row, None) for row in board.rows]
            told = f"Mean of {len(columns)} columns of {part}; only of rows that have them all"
            best = "desc" if columns[0].sign > 0 else "asc"
            yield Head((part, f"mean of {len(columns)}"), told, False, True, best, tuple(cells))
    borda = [_number(row.borda, figures.points(row)) for row in board.rows]
    told = "Rows that a row beats, summed over the columns; a tie counts a half"
    yield Head(("Borda",), told, False, True, "desc", tuple(borda))
    for name, values in figures.averages(board).items():
        cells = [_number(value, figures.number(value)) for value in values]
        told = "Mean over columns" if name != "Avg(Task)" else "Mean over tasks of their means"
        yield Head((name,), told, False, True, "desc", tuple(cells))


def _costs(board: Board) -> Iterator[Head]:
    rows = board.rows
    yield _cost(
        ("ms a", "request"),
        "Median time of one request alone on the machine, of the slowest task",
        [
            max((o["p50"] for o in r.cost.get("latency_ms", {}).values()), default=None)
            for r in rows
        ],
        [figures.row_latency(row) for row in rows],
        shown=True,
    )
    yield _cost(
        ("time", "to make"),
        "Encoding, training and measuring together",
        [figures.row_seconds(row) for row in rows],
        [figures.seconds(figures.row_seconds(row)) for row in rows],
        shown=True,
    )
    yield _cost(
        ("training",),
        "Fitting alone, summed over tasks",
        [row.cost.get("fit_seconds") for row in rows],
        [figures.seconds(row.cost.get("fit_seconds")) for row in rows],
    )
    yield _cost(
        ("per 1 M", "items"),
        "Encoding a million items: time, and money where some was paid",
        [row.cost.get("per_million", {}).get("hours") for row in rows],
        [figures.row_per_million(row) for row in rows],
    )
    usd = [
        max((o["usd"] for o in r.cost.get("per_thousand", {}).values() if o["usd"]), default=None)
        for r in rows
    ]
    if any(usd):
        told = "US dollars of a thousand recommendations, of the dearest task"
        yield _cost(("$ per", "1,000"), told, usd, [dollars(row) for row in rows], shown=True)
    for name in ("encoder", "recommender"):
        sizes = [row.cost.get("parameters", {}).get(name) for row in rows]
        told = f"Numbers the {name} is made of"
        yield _cost(
            ("parameters", name), told, sizes, [f"{n:,}" if n is not None else "" for n in sizes]
        )
    for head, texts in figures.energies(board).items():
        values = [None if text == figures.MISSING else float(text) for text in texts]
        yield _cost(tuple(head.split("\n")), "As measured or estimated while it ran", values, texts)


def _cost(
    lines: tuple[str, ...],
    told: str,
    values: Sequence[float | None],
    texts: Sequence[str],
    *,
    shown: bool = False,
) -> Head:
    cells = tuple(_number(value, text) for value, text in zip(values, texts, strict=True))
    shown = shown and any(value is not None for value in values)
    return Head(lines, f"{told}; less is better", shown, True, "asc", cells)


def _words(board: Board) -> Iterator[Head]:
    columns: dict[str, list[str]] = {
        "recommender": [", ".join(dict.fromkeys(r.recommender.values())) for r in board.rows],
        "representation": [row.representation for row in board.rows],
        "encoder": [row.encoder or "" for row in board.rows],
    }
    for name, values in columns.items():
        cells = [Shown(v, v or None, told="" if v else "none") for v in values]
        yield Head((name,), f"The {name} of a row", False, False, "asc", tuple(cells))


def _other_columns(board: Board) -> list[Column]:
    """The metrics that were measured and do not rank, in the columns' order."""
    ranking = {column.key for column in board.columns}
    keys = dict.fromkeys(key for row in board.rows for key in row.scores)
    found = []
    for column in board.columns:
        start = f"{column.part}/{column.dataset}/"
        names = [key.removeprefix(start) for key in keys if key.startswith(start)]
        found += [
            Column(column.task, column.group, column.dataset, name, column.protocol)
            for name in names
            if f"{start}{name}" not in ranking and "/" not in name
        ]
    return found


def _number(value: float | None, text: str) -> Shown:
    if value is None:
        return Shown("", None, told=NOT_MEASURED)
    return Shown(text, value)
