"""What a board says, in sentences made by rule."""

from __future__ import annotations

from collections.abc import Sequence

from tastebench.board.average import average
from tastebench.board.model import Board, Column, Row

_TOLD = 6  # columns that are told one by one
_NAMED = 3  # columns of one rival that are named


def summarise(board: Board) -> str:
    """A few sentences: who leads, how surely, and how it and all others stand to the baselines.

    On a board by encoder the encoders compete, and what needs none (BM25, EASE) is a baseline like
    the controls.
    """
    models = [row for row in board.ranked if row.kind == "model"]
    if not models or not board.columns:
        return "No finished run to compare." if not board.ranked else "There are only controls."
    noun: str = board.row_by
    encoded = [row for row in models if row.encoder is not None]
    if noun == "encoder" and encoded:
        models = encoded
    elif noun == "encoder":
        noun = "recommender"
    competing = {row.name for row in models}
    baselines = [row for row in board.ranked if row.name not in competing]
    sentences = [
        _lead(board, models, noun),
        *_against(board, models[0], baselines),
        *_controlled(board, encoded),
    ]
    return " ".join(sentences)


def _lead(board: Board, models: Sequence[Row], noun: str) -> str:
    leader, total = models[0], len(board.columns)
    columns = "task" if len({c.dataset for c in board.columns}) == 1 else "column"
    if len(models) == 1:
        return f"{leader.name} is the only {noun} to compare."
    equals = [row.name for row in models if row.rank == leader.rank]
    if len(equals) > 1:
        return f"{' and '.join(equals)} share the best rank of {len(models)} {noun}s."
    best = [column for column in board.columns if _best(column, models) is leader]
    first = (
        f"{leader.name} is best of {len(models)} {noun}s on {len(best)} of {total} "
        f"{columns}{'s' * (total != 1)}"
    )
    close: dict[str, list[str]] = {}
    for column in best:
        rival = _close(column, leader, models)
        if rival is not None:
            close.setdefault(rival.name, []).append(_name(board, column))
    if not close:
        return f"{first}{', outside the interval of every other' if best else ''}."
    places = {
        name: " and ".join(names) if len(names) <= _NAMED else f"{len(names)} {columns}s"
        for name, names in close.items()
    }
    told = ", ".join(f"with {name} on {place}" for name, place in places.items())
    return f"{first}; intervals overlap {told}."


def _best(column: Column, rows: Sequence[Row]) -> Row | None:
    """The row that is alone at the top of a column."""
    scored = [(column.sign * mean, row) for row in rows if (mean := row.mean(column)) is not None]
    if not scored:
        return None
    top = max(value for value, _ in scored)
    tops = [row for value, row in scored if value == top]
    return tops[0] if len(tops) == 1 else None


def _close(column: Column, leader: Row, rows: Sequence[Row]) -> Row | None:
    """The best other row whose interval overlaps the leader's."""
    second = [row for row in rows if row is not leader and row.mean(column) is not None]
    second.sort(key=lambda row: -column.sign * (row.mean(column) or 0.0))
    overlapping = [r for r in second if r.scores[column.key].overlaps(leader.scores[column.key])]
    return overlapping[0] if overlapping else None


def _against(board: Board, leader: Row, baselines: Sequence[Row]) -> list[str]:
    """How far the leader is from the best baseline of each column; with many, where it is below."""
    noun = "control" if all(row.kind == "control" for row in baselines) else "baseline"
    told, below = [], []
    for column in board.columns:
        own = leader.mean(column)
        rival = max(
            (row for row in baselines if row.mean(column) is not None),
            key=lambda row: column.sign * (row.mean(column) or 0.0),
            default=None,
        )
        if own is None or rival is None:
            continue
        other = rival.mean(column) or 0.0
        overlap = leader.scores[column.key].overlaps(rival.scores[column.key])
        sure = ", intervals overlap" if overlap else ""
        lower = ", lower is better" * (column.sign < 0)
        told.append(f"{_margin(own, other)} on {_name(board, column)}{lower} ({rival.name}{sure})")
        if column.sign * (own - other) <= 0:
            below.append(f"{column.part}/{column.dataset} ({rival.name})")
    if not told:
        return []
    if len(told) <= _TOLD:
        return [f"Against the best {noun}: {'; '.join(told)}."]
    where = f"all but {', '.join(below)}" if below else "all of them"
    return [f"Of {len(told)} columns with a {noun} it is above the best one on {where}."]


def _controlled(board: Board, encoders: Sequence[Row]) -> list[str]:
    """Every encoder that is not surely above vectors that say nothing, by task.

    Such vectors are those of the control encoders: random ones, and good ones on the wrong items. A
    task is the mean of its columns; the interval of an encoder that is above must not overlap.
    Where rows are no encoders, a row's controls are those that went through the same recommender.
    """
    noun = "encoder" if board.row_by == "encoder" else "run with an encoder"
    every = [row for row in board.ranked if row.kind == "control" and row.encoder is not None]
    controls = {
        row.name: [one for one in every if noun == "encoder" or one.recommender == row.recommender]
        for row in encoders
    }
    encoders = [row for row in encoders if controls[row.name]]
    if not encoders:
        return []
    told = []
    for part, columns in board.parts.items():
        stands = {row.name: _stand(columns, row, controls[row.name]) for row in encoders}
        low = {name: stand for name, stand in stands.items() if stand is not None}
        if low:
            told.append(f"on {part}: {_named(low, len(encoders), noun)}")
    if told:
        return [f"Not surely above control vectors {'; '.join(told)}."]
    who = f"Every {noun} is" if len(encoders) > 1 else f"{encoders[0].name} is"
    return [f"{who} above the control vectors on every task, outside their intervals."]


def _named(low: dict[str, str], encoders: int, noun: str) -> str:
    """Encoders, with the control that they are below where they are."""
    if 1 < len(low) == encoders:
        below = [f"{name} {stand}" for name, stand in low.items() if stand]
        told = f" ({', '.join(below)})" if below else ""
        return f"every {noun}{told}"
    return ", ".join(f"{name} ({stand})" if stand else name for name, stand in low.items())


def _stand(columns: Sequence[Column], row: Row, controls: Sequence[Row]) -> str | None:
    """`below` and the best control that is above the row, over the columns that both have.

    Empty where only intervals overlap, None where the row is surely above all.
    """
    above: list[tuple[float, str]] = []
    overlaps = False
    for control in controls:
        both = [c.key for c in columns if c.key in row.scores and c.key in control.scores]
        own = average([row.scores[key] for key in both])
        other = average([control.scores[key] for key in both])
        if own is None or other is None or own.mean is None or other.mean is None:
            continue
        if (behind := columns[0].sign * (other.mean - own.mean)) >= 0:
            above.append((behind, control.name))
        overlaps = overlaps or own.overlaps(other)
    if above:
        return f"below {max(above)[1]}" if max(above)[0] > 0 else f"equal to {max(above)[1]}"
    return "" if overlaps else None


def _margin(own: float, other: float) -> str:
    if other == 0:
        return f"{own - other:+.4f}"
    return f"{(own - other) / abs(other):+.0%}".replace("%", " %")


def _name(board: Board, column: Column) -> str:
    several = len({c.dataset for c in board.columns}) > 1
    return f"{column.part}/{column.dataset}" if several else column.part
