"""Numbers and names as they are printed, the same in every form of a board."""

from __future__ import annotations

from collections.abc import Sequence

from tastebench.board.model import Board, Column, Mark, Row, Score

MISSING = "-"


def mean(score: Score | None, digits: int = 4) -> str:
    """A mean, `-` where there is none."""
    return MISSING if score is None or score.mean is None else f"{score.mean:.{digits}f}"


def half_width(score: Score | None, digits: int = 4) -> str | None:
    """Half the interval, without the 0 before the point; None where there is none."""
    if score is None or score.low is None or score.high is None:
        return None
    return f"{(score.high - score.low) / 2:.{digits}f}".removeprefix("0")


def seconds(value: float | None) -> str:
    """A duration.

    >>> seconds(3.14159), seconds(125), seconds(7300), seconds(None)
    ('3.1s', '2m05s', '2h01m', '-')
    """
    if value is None:
        return MISSING
    if value < 59.95:
        return f"{value:.1f}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def row_seconds(row: Row) -> float | None:
    """Encoding, training and measuring together."""
    wall: float = row.cost.get("wall_seconds") or 0.0
    encode: float = row.cost.get("encode_seconds") or 0.0
    return wall + encode or None


def row_latency(row: Row) -> str:
    """The slowest task's median milliseconds a request."""
    found = [one["p50"] for one in row.cost.get("latency_ms", {}).values()]
    return f"{max(found):.1f}" if found else MISSING


def points(row: Row) -> str:
    """Borda points: halves only where scores tie."""
    return MISSING if row.borda is None else f"{row.borda:g}"


def leaders(board: Board, column: Column) -> tuple[set[str], set[str]]:
    """Names of the best and the second-best rows of a column; equals stand together."""
    means = {row.name: row.mean(column) for row in board.ranked}
    signed = {name: column.sign * value for name, value in means.items() if value is not None}
    steps = sorted(set(signed.values()), reverse=True)[:2]
    sets = [{name for name, value in signed.items() if value == step} for step in steps]
    sets += [set()] * (2 - len(sets))
    return sets[0], sets[1]


def footnotes(board: Board) -> dict[Mark, int]:
    """Each different mark with its number, in the order of the rows."""
    marks = dict.fromkeys(mark for row in board.rows for mark in row.marks)
    return {mark: number for number, mark in enumerate(marks, start=1)}


def column_line(board: Board, column: Column) -> str:
    """What a column's numbers are means of: units, seeds, recommenders, protocol."""
    scores = [s for row in board.rows if (s := row.scores.get(column.key)) is not None]
    units = _span([score.n for score in scores])
    seeds = _span([score.seeds for score in scores])
    by = dict.fromkeys(
        row.recommender[column.task]
        for row in board.rows
        if row.encoder is not None and column.task in row.recommender
    )
    asked = next((p for p in board.protocols if p["id"] == column.protocol), {})
    rows = (asked.get("protocol") or {}).get("average") == "row"
    what = "queries" if column.task == "search" else "rows" if rows else "users"
    parts = [
        f"{column.key}: {units} {what}, {seeds} seed{'s' * (seeds != '1')}",
        f"through {', '.join(by)}" if by else "",
        f"protocol {column.protocol}",
    ]
    return ", ".join(part for part in parts if part)


def data_lines(board: Board) -> list[str]:
    """Which data: fingerprints, how each dataset was cut and what that leaks."""
    prints = {
        f"{one['dataset']}: data {(one['dataset_fingerprint'] or 'unknown')[:12]}": None
        for one in board.protocols
    }
    splits = {
        f"{one['task']}/{one['dataset']}: {'; '.join(one['split'])}": None
        for one in board.protocols
        if one["split"]
    }
    return [*prints, *splits]


def failure_line(failure: dict[str, object]) -> str:
    """One failed run."""
    error = failure.get("error")
    why = error.get("what") if isinstance(error, dict) else "no reason recorded"
    place = f"{failure['task']}/{failure['dataset']}"
    return f"{failure['name']} on {place}, seed {failure['seed']}: {why}"


def _span(values: Sequence[int]) -> str:
    if not values:
        return "0"
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}-{high:,}"
