"""Questions about a user with what each model answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from tastebench.build.printable import printable, printed

_SAME = ("kind", "question", "options", "gold")


@dataclass(frozen=True)
class Question:
    """A question as it may be printed.

    Attributes:
        options: What could be answered.
        gold: Place of the right one.
        answers: Per model the place of its answer; None where there is none.
        status: Per model how it went: `answered`, `unparsed`, ...
    """

    number: int
    kind: str
    text: str
    options: tuple[str, ...]
    gold: int
    answers: tuple[int | None, ...]
    status: tuple[str, ...]


def questions_about(tables: Sequence[pl.DataFrame | None]) -> tuple[Question, ...]:
    """The questions about a user, with the answers of each model.

    Args:
        tables: The user's rows of `predictions.parquet` of each model, the run looked at first; a
            model without, or that was asked otherwise, has no answers.
    """
    first = tables[0]
    if first is None:
        return ()
    answers = [_answers(first, table) for table in tables]
    rows = first.select(_SAME).iter_rows(named=True)
    return tuple(
        Question(
            number=i + 1,
            kind=printed(row["kind"]),
            text=printed(row["question"]),
            options=tuple(printable(pl.Series(row["options"], dtype=pl.String))),
            gold=row["options"].index(row["gold"]),
            answers=tuple(
                row["options"].index(given) if (given := picked[i][0]) is not None else None
                for picked in answers
            ),
            status=tuple(picked[i][1] for picked in answers),
        )
        for i, row in enumerate(rows)
    )


def _answers(first: pl.DataFrame, table: pl.DataFrame | None) -> list[tuple[str | None, str]]:
    """What was picked and how it went, in the order of the first table."""
    if table is None or not table.select(_SAME).equals(first.select(_SAME)):
        return [(None, "not asked")] * len(first)
    return list(zip(table["answer"].to_list(), table["status"].to_list(), strict=True))
