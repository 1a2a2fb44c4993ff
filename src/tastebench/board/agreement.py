"""Does the board agree with another order of the same models, and do its own columns agree?"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from tastebench.board.correlate import Correlation, kendall, pearson, spearman
from tastebench.board.model import Board, Column, Row
from tastebench.errors import DataError, UsageError, did_you_mean

_EXAMPLE = "model,rank\\nminilm,3\\norganisation/model,1"


@dataclass(frozen=True)
class Ranking:
    """Somebody's order of models, as a file gives it.

    Attributes:
        by: `rank` (lower is better) or `score` (higher is better).
        values: Model to rank or score.
    """

    source: str
    by: Literal["rank", "score"]
    values: dict[str, float]


@dataclass(frozen=True)
class Against:
    """How the order of a board agrees with another one; positive where the two agree.

    Attributes:
        pairs: Name here to name there.
        only_here, only_there: Models of one list only.
    """

    source: str
    by: Literal["rank", "score"]
    spearman: Correlation
    kendall: Correlation
    pairs: dict[str, str]
    only_here: tuple[str, ...]
    only_there: tuple[str, ...]

    @property
    def n(self) -> int:
        """Models in both."""
        return len(self.pairs)


@dataclass(frozen=True)
class Correlated:
    """How two columns of a board agree over its models."""

    columns: tuple[str, str]
    pearson: Correlation
    spearman: Correlation


def against(board: Board, path: Path) -> Against:
    """How the Borda order of the board's rows agrees with the one in a file.

    A control that the file names takes part as well; one that it does not name is not missed.

    Raises:
        UsageError: There is no such file, or a name fits several models.
        DataError: The file does not hold a ranking.
    """
    ranking = read_ranking(path)
    rows = {row.name: row for row in board.ranked}
    pairs = match(list(rows), list(ranking.values), ranking.source)
    sign = -1 if ranking.by == "rank" else 1
    here = np.array([rows[name].borda for name in pairs], dtype=np.float64)
    there = np.array([sign * ranking.values[name] for name in pairs.values()], dtype=np.float64)
    taken = set(pairs.values())
    return Against(
        source=ranking.source,
        by=ranking.by,
        spearman=spearman(here, there),
        kendall=kendall(here, there),
        pairs=pairs,
        only_here=tuple(
            row.name for row in rows.values() if row.kind == "model" and row.name not in pairs
        ),
        only_there=tuple(name for name in ranking.values if name not in taken),
    )


def read_ranking(path: Path) -> Ranking:
    """Reads a CSV with the columns `model` and `rank` or `score`; others are ignored.

    Raises:
        UsageError: There is no such file.
        DataError: A column is missing, a value is no number, or a model stands there twice.
    """
    if not path.is_file():
        raise UsageError(
            f"{str(path)!r} is no file; published ranks of others are not shipped with Tastebench",
            fix="save them as a CSV with the columns model and rank (1 is best) or score (higher "
            f'is better), e.g. "{_EXAMPLE}", and give that file',
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"unreadable ranking: {error}", where=str(path), fix="save it as CSV in UTF-8"
        ) from error
    table = csv.DictReader(io.StringIO(text, newline=""))
    try:
        heads, rows = table.fieldnames or [], [(table.line_num, row) for row in table]
    except csv.Error as error:
        raise DataError(
            f"this is no CSV: {error}", where=f"{path}, line {table.line_num}", fix="mend the line"
        ) from error
    measures: list[Literal["rank", "score"]] = [
        by for by in ("rank", "score") if heads.count(by) == 1
    ]
    if heads.count("model") != 1 or len(measures) != 1:
        raise DataError(
            f"a ranking has a column model, and either rank or score; this has "
            f"{', '.join(heads) or 'none'}",
            where=str(path),
            fix=f'make it look like "{_EXAMPLE}"',
        )
    by = measures[0]
    values: dict[str, float] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        model = (row["model"] or "").strip()
        if not model or model in values:
            problem = f"{model!r} stands here twice" if model else "a row without a model"
            raise DataError(problem, where=where, fix="one row a model")
        values[model] = _number(row[by], by, where)
    return Ranking(str(path), by, values)


def _number(text: str | None, by: str, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise DataError(
            f"{text or ''!r} is no {by}", where=where, fix="a number, or leave the model out"
        )
    return value


def match(here: Sequence[str], there: Sequence[str], source: str) -> dict[str, str]:
    """Name here to the name of the same model there, in the order of `here`.

    Names that are equal, then those equal but for upper and lower case, then those whose last parts
    are (`organisation/model@commit` has the last part `model`); each step among what is left.

    Raises:
        UsageError: A step finds several models for one name.
    """
    found: dict[str, str] = {}
    steps: tuple[Callable[[str], str], ...] = (str, str.casefold, _last_part)
    for step in steps:
        left = [name for name in here if name not in found]
        rest = [name for name in there if name not in found.values()]
        for name in left:
            same = [other for other in rest if step(other) == step(name)]
            rivals = [other for other in left if step(other) == step(name)]
            if same and len(same) + len(rivals) > 2:
                raise UsageError(
                    f"row {name!r} cannot be matched: {' and '.join(rivals)} here, "
                    f"{' and '.join(same)} there",
                    where=source,
                    fix="write the row's whole name into the file",
                )
            if same:
                found[name] = same[0]
    return {name: found[name] for name in here if name in found}


def _last_part(name: str) -> str:
    last = name.rstrip("/").rsplit("/", 1)[-1]
    return last.partition("@")[0].casefold()


# -------------------------------------------------------------------------------- two columns


def correlate(board: Board, first: str, second: str) -> Correlated:
    """How two columns agree over the models that have both; controls and ceilings take no part.

    Args:
        board: The board.
        first: A column's key, its task and dataset, its task (the mean of its columns), or its
            dataset where no other column has the same.
        second: Likewise.

    Raises:
        UsageError: No column has this name.
    """
    known = _by_name(board)
    for name in (first, second):
        if name not in known:
            raise UsageError(
                f"no column is called {name!r}: {did_you_mean(name, known)}",
                fix=f"--correlate {' '.join(list(known)[:2])}",
            )
    models = [row for row in board.ranked if row.kind == "model"]
    pairs = [(_value(row, known[first]), _value(row, known[second])) for row in models]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    x, y = np.array(both, dtype=np.float64).reshape(-1, 2).T
    return Correlated((first, second), pearson(x, y), spearman(x, y))


def _by_name(board: Board) -> dict[str, str | Column]:
    """What a task's mean or a column may be called."""
    counts = Counter(column.dataset for column in board.columns)
    known: dict[str, str | Column] = {part: part for part in board.parts}
    for column in board.columns:
        short = [column.dataset] if counts[column.dataset] == 1 else []
        for name in (*short, f"{column.part}/{column.dataset}", column.key):
            known[name] = column
    return known


def _value(row: Row, what: str | Column) -> float | None:
    if isinstance(what, Column):
        return row.mean(what)
    return row.tasks[what].mean if what in row.tasks else None
