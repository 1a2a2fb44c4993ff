"""What a table says, in sentences that follow from its numbers by rule.

1. Who ranks first over all columns, and how often in resamples of the users.
2. Which rows are nowhere surely worse than the best: between these the data do not decide.
3. Which of these costs less.
4. How small a difference could have been seen at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tastebench.board.model import Board, Column, Row
from tastebench.board.report.costs import cheaper, load
from tastebench.board.report.level import Level
from tastebench.errors import counted

_NAMED = 5


def conclude(board: Board, levels: Sequence[Level]) -> tuple[str, ...]:
    """The sentences, the most important one first."""
    if not board.ranked:
        return ("No run here is finished and complete, so that there is nothing to compare.",)
    if not levels:
        return ("No column can be ranked.",)
    if len(board.ranked) == 1:
        return (f"{board.ranked[0].name} is the only row: there is nothing to compare it with.",)
    top = top_rows(board, levels)
    return (
        _lead(board, levels, top),
        *_controls(levels, top),
        *_less(top),
        *_rank(board),
        *_untested(levels),
        *_could(board, levels),
    )


def top_rows(board: Board, levels: Sequence[Level]) -> list[Row]:
    """The rows that were measured in every column and are nowhere surely worse than the best."""
    never = ("worse", "untested")
    found = [row for row in board.ranked if all(one.stand(row.name) not in never for one in levels)]
    return sorted(found, key=lambda row: (row.rank or 0, row.name))


def place(board: Board, column: Column) -> str:
    """A column in words, no longer than it has to be."""
    several = len({one.dataset for one in board.columns}) > 1
    return f"{column.part} on {column.dataset}" if several else column.part


def _lead(board: Board, levels: Sequence[Level], top: Sequence[Row]) -> str:
    """Which row to take."""
    if not top:
        where: dict[str, list[str]] = {}
        for level in levels:
            where.setdefault(str(level.best), []).append(place(board, level.column))
        best = "; ".join(f"{name} in {_and(places)}" for name, places in where.items())
        return f"No row is at the top everywhere. The best are: {best}."
    if len(levels) == 1:
        return _lead_of_one(levels[0], top[0], top[1:])
    first, rest = top[0], top[1:]
    if not rest and all(level.best == first.name for level in levels):
        return f"{first.name} is best in every column, and no row is level with it in all."
    if not rest:
        return f"{first.name} is the only row that is nowhere surely worse than the best."
    return f"{_listed(top)} are nowhere surely worse than the best: take one of them."


def _lead_of_one(level: Level, first: Row, rest: Sequence[Row]) -> str:
    """The same where there is a single column."""
    if not rest and any(one.stand == "untested" for one in level.rivals):
        return f"{first.name} scores best, and not every other row could be tested against it."
    if not rest:
        tested = "other row" if not level.beyond else "row that was tested against it"
        return f"{first.name} is best: every {tested} is surely worse."
    are = "is" if len(rest) == 1 else "are"
    return f"{first.name} scores best, and {_listed(rest)} {are} level with it."


def _rank(board: Board) -> Iterator[str]:
    """Who ranks first over all columns; where rows lack a column, that the rank says little."""
    leaders = [row for row in board.ranked if row.rank == 1]
    lacking = [row for row in board.ranked if row.missing]
    over = f" over {counted(len(board.columns), 'column')}" if len(board.columns) > 1 else ""
    if len(leaders) > 1:
        told = f"{_listed(leaders)} share the first of {len(board.ranked)} ranks{over}"
    else:
        row = leaders[0]
        sure = "" if lacking else _sureness(board, row)
        told = f"{row.name} ranks first of {len(board.ranked)} rows{over}{sure}"
    if lacking:
        told += (
            f"; but {_listed(lacking)} were not measured in every column and get no points where "
            "they were not, so that this rank says little of them"
        )
    yield f"{told}."


def _sureness(board: Board, row: Row) -> str:
    if row.p_first is None or row.rank_low is None or row.rank_high is None:
        return "; how sure that is cannot be said without values per user"
    asked = dict.fromkeys("queries" if c.task == "search" else "users" for c in board.columns)
    first = f"first in {_share(row.p_first)} of resamples of the {_and(list(asked))}"
    if row.rank_low == row.rank_high:
        return f", {first}"
    return f", {first}; with 95 % confidence its rank is {row.rank_low} to {row.rank_high}"


def _controls(levels: Sequence[Level], top: Sequence[Row]) -> Iterator[str]:
    """Said where something that a model has to beat is not beaten."""
    controls = [row.name for row in top if row.kind == "control"]
    best = {level.best for level in levels}
    for name in controls:
        if name in best:
            yield f"{name} is a control, which a model has to beat, and no model surely does."
        else:
            yield f"{name} is a control, which a model has to beat, and it is among the level ones."


def _less(top: Sequence[Row]) -> Iterator[str]:
    """The cheapest of those that are level, where it is cheaper than the first of them."""
    saving = [(row, told) for row in top[1:] if (told := cheaper(row, top[0]))]
    if saving:
        row, told = min(saving, key=lambda one: load(one[0]))
        yield f"Of these {row.name} costs least: {told} ({top[0].name})."


def _untested(levels: Sequence[Level]) -> Iterator[str]:
    if any(one.stand == "untested" for level in levels for one in level.rivals):
        yield "Some rows could not be tested against the best: their values per user are gone."


def _could(board: Board, levels: Sequence[Level]) -> Iterator[str]:
    """How small a difference the data show, where rows are level; the bluntest column of many."""
    blunt = [
        (one.detectable / abs(one.score), one)
        for one in levels
        if one.level and one.detectable is not None and one.score
    ]
    if not blunt:
        return
    share, level = max(blunt, key=lambda one: one[0])
    where = f" in {place(board, level.column)}" if len(levels) > 1 else ""
    assert level.detectable is not None
    yield (
        "What is level was not told apart by these data. They show a difference of "
        f"{level.detectable:.4f}{where} ({share:.0%} of the best score) in four of five cases; "
        f"smaller ones may be there and stay hidden."
    )


def _listed(rows: Sequence[Row]) -> str:
    names = [row.name for row in rows]
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return _and(names)


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _share(share: float) -> str:
    """A share of resamples: all of them are no certainty."""
    return "over 99 %" if share > 0.99 else f"{100 * share:.0f} %"
