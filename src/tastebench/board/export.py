"""A board as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from tastebench.board import figures
from tastebench.board.model import Board, Column, Row, Score

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
    }


def to_json(board: Board) -> str:
    """The board as one JSON object."""
    return json.dumps(as_dict(board), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(board: Board) -> str:
    """One line a row and ranking column, numbers unrounded."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    for row in board.rows:
        for column in board.columns:
            score = row.scores.get(column.key)
            if score is not None:
                writer.writerow(_line(row, column, score))
    return out.getvalue()


def to_markdown(board: Board) -> str:
    """A table with the best of each column bold, and the same notes as in the terminal."""
    several = len({column.dataset for column in board.columns}) > 1
    heads = [
        f"{c.part}{f' / {c.dataset}' if several else ''}<br>{c.metric} {'↑' if c.sign > 0 else '↓'}"
        for c in board.columns
    ]
    numbers = figures.footnotes(board)
    lines = [
        _cells(["#", board.row_by, *heads, "Borda", "time"]),
        _cells(["--:", ":--", *["--:"] * len(heads), "--:", "--:"]),
    ]
    for row in board.rows:
        kind = "" if row.kind == "model" else f" ({row.kind})"
        marks = "".join(f" [{numbers[mark]}]" for mark in row.marks)
        lines.append(
            _cells(
                [
                    "" if row.rank is None else str(row.rank),
                    f"{_plain(row.name)}{kind}{marks}",
                    *(_number(board, row, column) for column in board.columns),
                    figures.points(row),
                    figures.seconds(figures.row_seconds(row)),
                ]
            )
        )
    notes = [
        *(figures.column_line(board, column) for column in board.columns),
        *figures.data_lines(board),
        *(f"[{number}] {mark.text}" for mark, number in numbers.items()),
        *board.notes,
        *(f"failed: {figures.failure_line(failure)}" for failure in board.failed),
    ]
    foot = [f"- {_plain(note)}" for note in notes]
    return "\n".join([*lines, "", _plain(board.summary), "", *foot]) + "\n"


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
    ]


def _number(board: Board, row: Row, column: Column) -> str:
    score = row.scores.get(column.key)
    mean, half = figures.mean(score), figures.half_width(score)
    best, _ = figures.leaders(board, column)
    shown = f"**{mean}**" if row.name in best else mean
    return shown if half is None else f"{shown} ± {half}"


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is."""
    for sign in ("\\", "|", "*", "_", "`", "<", "["):
        text = text.replace(sign, f"\\{sign}")
    return text


def _cells(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
