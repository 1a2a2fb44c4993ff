"""A board as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tastebench.board import figures
from tastebench.board.layout import Block
from tastebench.board.model import Board, Column, Row, Score
from tastebench.board.questions import kind_columns, question_blocks
from tastebench.board.tested import Tested

BETTER, WORSE, BELOW_BEST = "↑", "↓", "†"
"""Signs behind a score that differs surely."""

CSV_HEAD = (
    "rank",
    "name",
    "kind",
    "recommender",
    "representation",
    "encoder",
    "task",
    "group",
    "dataset",
    "metric",
    "mean",
    "low",
    "high",
    "n",
    "seeds",
    "protocol",
    "borda",
    "spread",
    "rank_low",
    "rank_high",
    "preliminary",
)


def as_dict(board: Board) -> dict[str, Any]:
    """The board as JSON values; what is undefined is None.

    `scores` holds every metric that was measured; `columns` names the ones that rank.
    """
    return {
        "suite": board.suite,
        "summary": board.summary,
        "protocols": list(board.protocols),
        "row_by": board.row_by,
        "columns": [
            {**asdict(column), "key": column.key, "higher_is_better": column.sign > 0}
            for column in board.columns
        ],
        "rows": [_row(row) for row in board.rows],
        "failed": list(board.failed),
        "notes": list(board.notes),
        "versions": list(board.versions),
        "preliminary": board.preliminary,
        "against": asdict(board.against) if board.against else None,
        "correlated": asdict(board.correlated) if board.correlated else None,
        "published": asdict(board.published) if board.published else None,
    }


def to_json(board: Board) -> str:
    """The board as one JSON object."""
    return json.dumps(as_dict(board), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(board: Board) -> str:
    """One line a row and ranking column, and one a kind of question; numbers unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    columns = [*board.columns, *kind_columns(board)]
    for row in board.rows:
        for column in columns:
            score = row.scores.get(column.key)
            if score is not None:
                writer.writerow([*_line(row, column, score), board.preliminary])
    return out.getvalue()


def to_markdown(board: Board, tested: Tested | None = None) -> str:
    """A table with the best of each column bold, and the same notes as in the terminal.

    A task of several datasets has a column of its mean before theirs. Questions about users have a
    table by kind below.

    Args:
        board: The board.
        tested: Which scores are marked as surely better or worse; None for none.
    """
    columns = _markdown_columns(board, tested)
    averages = figures.averages(board)
    apart = {**figures.thousands(board), **figures.energies(board)}
    heads = ["#", board.row_by, *(column.head for column in columns), "Borda", *averages]
    heads += ["per 1 M items", "time", "ms p50", *(head.replace("\n", " ") for head in apart)]
    lines = [_cells(heads), _cells([":--" if head == board.row_by else "--:" for head in heads])]
    numbers = figures.footnotes(board)
    for i, row in enumerate(board.rows):
        kind = "" if row.kind == "model" else f" ({row.kind})"
        marks = "".join(f" [{numbers[mark]}]" for mark in row.marks)
        lines.append(
            _cells(
                [
                    figures.rank(row),
                    f"{plain(row.name)}{kind}{marks}",
                    *(column.cell(row) for column in columns),
                    figures.points(row),
                    *(figures.number(values[i]) for values in averages.values()),
                    figures.row_per_million(row),
                    figures.seconds(figures.row_seconds(row)),
                    figures.row_latency(row),
                    *(values[i] for values in apart.values()),
                ]
            )
        )
    notes = [
        *([tested.line(_marks_for(tested))] if tested is not None and tested.n else []),
        *(figures.column_line(board, column) for column in board.columns),
        *figures.data_lines(board),
        *(f"[{number}] {mark.text}" for mark, number in numbers.items()),
        *board.notes,
        *(f"failed: {figures.failure_line(failure)}" for failure in board.failed),
    ]
    warning = ["**Preliminary: reduced budget.**", ""] if board.preliminary else []
    foot = [f"- {plain(note)}" for note in [*figures.agreement_lines(board), *notes]]
    said = [*warning, plain(board.summary), "", *foot]
    return "\n".join([*lines, "", *_kinds(board), *said, *_published(board)]) + "\n"


def _kinds(board: Board) -> list[str]:
    """Right answers to questions about users by kind, a table a dataset."""
    lines = []
    for title, block in question_blocks(replace(board, published=None)):
        lines += [plain(title), "", *block_lines(block), ""]
    return lines


def block_lines(block: Block) -> list[str]:
    """Columns of text as a Markdown table; a row without a cell beside its name is left out."""
    cells = [[plain(cell.plain) for cell in column.cells] for column in block]
    return [
        _cells([plain(" ".join(column.head)) for column in block]),
        _cells([":--" if column.left else "--:" for column in block]),
        *(
            _cells([cell or figures.MISSING for cell in row])
            for row in zip(*cells, strict=True)
            if any(row[1:])
        ),
    ]


@dataclass(frozen=True)
class _MarkdownColumn:
    """A column of scores: each row's by its name, and who is best."""

    head: str
    scores: dict[str, Score | None]
    best: set[str]
    marks: dict[str, str] = field(default_factory=dict)

    def cell(self, row: Row) -> str:
        score = self.scores[row.name]
        mean, half, spread = figures.mean(score), figures.half_width(score), figures.spread(score)
        shown = f"**{mean}**" if row.name in self.best else mean
        shown += self.marks.get(row.name, "")
        parts = [shown, f"± {half}" if half else "", f"s {spread}" if spread else ""]
        return " ".join(part for part in parts if part)


def _marks_for(tested: Tested) -> tuple[str, str]:
    """The signs of a better and of a worse score."""
    return BETTER, WORSE if tested.against is not None else BELOW_BEST


def _marks(board: Board, column: Column, tested: Tested | None) -> dict[str, str]:
    """The sign of each row whose score differs surely."""
    if tested is None:
        return {}
    signs = _marks_for(tested)
    found = {row.name: tested.sure(row, column) for row in board.rows}
    return {
        name: signs[0] if one.better else signs[1]
        for name, one in found.items()
        if one is not None and not (one.better and tested.against is None)
    }


def _markdown_columns(board: Board, tested: Tested | None) -> list[_MarkdownColumn]:
    several = len({column.dataset for column in board.columns}) > 1
    found = []
    for part, columns in board.parts.items():
        arrow = "↑" if columns[0].sign > 0 else "↓"
        if len(columns) > 1:
            scores = {row.name: row.tasks.get(part) for row in board.rows}
            metrics = "/".join(dict.fromkeys(column.metric for column in columns))
            head = f"{plain(part)}<br>mean of {len(columns)}<br>{metrics} {arrow}"
            found.append(_markdown_column(board, head, scores, columns[0].sign))
        for column in columns:
            name = f"{part} / {column.dataset}" if several else part
            head = f"{plain(name)}<br>{column.metric} {arrow}"
            scores = {row.name: row.scores.get(column.key) for row in board.rows}
            one = _markdown_column(board, head, scores, column.sign)
            found.append(replace(one, marks=_marks(board, column, tested)))
    return found


def _markdown_column(
    board: Board, head: str, scores: dict[str, Score | None], sign: int
) -> _MarkdownColumn:
    means = {row.name: score.mean for row in board.ranked if (score := scores[row.name])}
    return _MarkdownColumn(head, scores, figures.best_two(means, sign)[0])


def _published(board: Board) -> list[str]:
    """Numbers of others as a table of their own."""
    printed = board.published
    if printed is None:
        return []
    rest = {
        "Avg(Overall)": [figures.number(row.average_overall) for row in printed.rows],
        "Avg(Task)": [figures.number(row.average_task) for row in printed.rows],
        "ms": [figures.milliseconds(row.latency_ms) for row in printed.rows],
    }
    known = {head: cells for head, cells in rest.items() if set(cells) != {figures.MISSING}}
    heads = ["printed model", *printed.places, *known]
    rows = [
        [plain(row.model), *map(figures.number, row.scores.values())]
        + [cells[i] for cells in known.values()]
        for i, row in enumerate(printed.rows)
    ]
    return [
        "",
        *(plain(line) for line in figures.published_lines(board)),
        "",
        _cells(heads),
        _cells([":--", *["--:"] * (len(heads) - 1)]),
        *map(_cells, rows),
    ]


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "recommender": row.recommender,
        "representation": row.representation,
        "encoder": row.encoder,
        "rank": row.rank,
        "borda": row.borda,
        "missing": row.missing,
        "average": {"overall": row.average_overall, "task": row.average_task},
        "rank_low": row.rank_low,
        "rank_high": row.rank_high,
        "p_first": row.p_first,
        "tasks": {part: asdict(score) for part, score in row.tasks.items()},
        "scores": {key: asdict(score) for key, score in row.scores.items()},
        "cost": row.cost,
        "marks": [asdict(mark) for mark in row.marks],
    }


def _line(row: Row, column: Column, score: Score) -> list[Any]:
    return [
        row.rank,
        row.name,
        row.kind,
        row.recommender[column.task],
        row.representation,
        row.encoder,
        column.task,
        column.group,
        column.dataset,
        column.metric,
        score.mean,
        score.low,
        score.high,
        score.n,
        score.seeds,
        score.protocol,
        row.borda,
        score.spread,
        row.rank_low,
        row.rank_high,
    ]


def plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(sign, f"\\{sign}")
    return text


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
