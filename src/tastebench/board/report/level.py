"""Who is best in a column, and who cannot be told from it: every test against the best, adjusted.

The tests are those of `tastebench compare` (`tastebench.board.significance`): sign-flip over the
same units, Holm over all tests of a table, and the interval over seeds too where there are several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tastebench.board.compare_model import MATTERS
from tastebench.board.compare_verdict import SURE, difference_that_matters
from tastebench.board.model import Column
from tastebench.board.report.column import Drawn
from tastebench.board.significance import Paired, holm, paired

Stand = Literal["worse", "close", "open", "untested"]

STANDS: dict[Stand, str] = {
    "worse": "surely worse than the best",
    "close": "no difference that matters",
    "open": "level: the data cannot tell it from the best",
    "untested": "not tested",
}
"""What each is called where people read it."""

_INTERVAL_RESAMPLES = 2000


@dataclass(frozen=True)
class Rival:
    """A row against the best of its column.

    Attributes:
        paired: The best less this one; None where nothing can be paired.
        holm: p of the sign-flip test, adjusted for all tests of the table.
        matters: The difference that matters, in the metric's own unit.
    """

    name: str
    paired: Paired | None
    matters: float
    holm: float = 1.0

    @property
    def stand(self) -> Stand:
        """`worse` only where neither chance nor training again explains the difference."""
        if self.paired is None or self.paired.widest is None:
            return "untested"
        low, high = self.paired.widest
        if self.holm < SURE and not low <= 0 <= high:
            return "worse"
        return "close" if max(abs(low), abs(high)) < self.matters else "open"


@dataclass(frozen=True)
class Level:
    """How sure the top of one column is.

    Attributes:
        best: The row with the best mean; None in an empty column.
        score: Its mean.
        rivals: The other rows that were tested, best first.
        beyond: Further rows, which were not.
    """

    column: Column
    best: str | None
    score: float | None
    rivals: tuple[Rival, ...]
    beyond: int = 0

    @property
    def level(self) -> tuple[Rival, ...]:
        """The rows that are not surely worse than the best."""
        return tuple(one for one in self.rivals if one.stand in ("close", "open"))

    @property
    def detectable(self) -> float | None:
        """The smallest difference from the best that the data show in four of five cases.

        Against the nearest row, or the least sure of those that are level.
        """
        known = [one.paired.detectable for one in self.level or self.rivals[:1] if one.paired]
        return max((one for one in known if one is not None), default=None)

    def stand(self, name: str) -> Stand | Literal["best"]:
        """How a row stands in this column."""
        if name == self.best:
            return "best"
        return next((one.stand for one in self.rivals if one.name == name), "untested")


def levels_of(columns: Mapping[Column, Sequence[Drawn]], rows: Mapping[Column, int]) -> list[Level]:
    """Every column's best against its rivals, adjusted together.

    Args:
        columns: The rows that are looked at, best first.
        rows: How many rows have a score in each column.
    """
    found = [
        Level(
            column,
            drawn[0].row.name if drawn else None,
            drawn[0].row.mean(column) if drawn else None,
            tuple(_rival(column, drawn[0], other) for other in drawn[1:]),
            rows[column] - len(drawn),
        )
        for column, drawn in columns.items()
    ]
    p = [one.paired.p for level in found for one in level.rivals if one.paired]
    adjusted = iter(holm(p))
    return [
        replace(
            level,
            rivals=tuple(
                replace(one, holm=next(adjusted)) if one.paired else one for one in level.rivals
            ),
        )
        for level in found
    ]


def _rival(column: Column, best: Drawn, other: Drawn) -> Rival:
    top, mean = best.row.mean(column), other.row.mean(column)
    assert top is not None and mean is not None
    matters = difference_that_matters(column, top, mean, MATTERS)
    return Rival(other.row.name, _paired(column, best, other), matters)


def _paired(column: Column, best: Drawn, other: Drawn) -> Paired | None:
    if best.seeds is None or other.seeds is None or best.ids is None:
        return None
    weights = best.ids.weights[:, 0]
    known = ~np.isnan(np.concatenate([best.seeds, other.seeds], axis=1)).any(axis=1) & (weights > 0)
    if not known.any():
        return None
    return paired(
        best.seeds[known],
        other.seeds[known],
        weights[known],
        interval_resamples=_INTERVAL_RESAMPLES,
        higher_is_better=column.sign > 0,
    )
