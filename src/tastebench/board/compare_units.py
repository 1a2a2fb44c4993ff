"""Two cells of one column, unit by unit: the tests of all units and of each segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tastebench.board.cells import Cell
from tastebench.board.compare_cases import Titles, most_different, questions_of
from tastebench.board.compare_model import Adjusted, Options, Outcome, Segment, pooled
from tastebench.board.compare_verdict import difference_that_matters
from tastebench.board.load import Entry
from tastebench.board.model import Column
from tastebench.board.significance import Paired, benjamini_hochberg, holm, paired
from tastebench.board.tables import UNITS
from tastebench.tasks.evaluate import HISTORY_LABELS, POPULARITY_LABELS

if TYPE_CHECKING:
    import polars as pl

_SEGMENT_RESAMPLES = 2000
"""Of the ends of a segment's interval; its test has as many draws as any other."""


@dataclass(frozen=True, eq=False)
class Both:
    """What the same units got from both, those left out that have no value in some run.

    Attributes:
        a, b: float64 `[n, seeds]`.
        known: Which of all units these are, bool.
    """

    a: np.ndarray
    b: np.ndarray
    weights: np.ndarray
    ids: pl.Series
    known: np.ndarray

    def test(self, column: Column, options: Options, at: np.ndarray | None = None) -> Paired:
        """Those of a mask, or all."""
        rows = slice(None) if at is None else at
        return paired(
            self.a[rows],
            self.b[rows],
            self.weights[rows],
            seed=options.seed,
            resamples=options.resamples,
            interval_resamples=None if at is None else min(_SEGMENT_RESAMPLES, options.resamples),
            higher_is_better=column.sign > 0,
        )


def outcome_of(
    column: Column, mine: Cell, theirs: Cell, options: Options, titles: Titles
) -> Outcome:
    """Two rows in one column, not yet adjusted for others.

    Raises:
        DataError: A table is broken.
    """
    means = [cell.scores[column.group, column.metric].mean for cell in (mine, theirs)]
    assert means[0] is not None and means[1] is not None
    found = Outcome(
        column=column,
        mean_a=means[0],
        mean_b=means[1],
        seeds_a=len(mine.entries),
        seeds_b=len(theirs.entries),
        paired=None,
        matters=difference_that_matters(column, means[0], means[1], options.matters),
    )
    both, why = both_of(column, mine, theirs)
    if both is None or not both.known.any():
        return replace(found, why=why or "no unit has a value from both")
    found = replace(
        found,
        paired=both.test(column, options),
        left_out=int((~both.known).sum()),
        questions=questions_of(column, mine.entries[0], theirs.entries[0]),
    )
    if pooled(column.metric):
        assert found.paired is not None
        parts = replace(found.paired, wins=None, ties=None, losses=None, p_wilcoxon=None)
        return replace(found, paired=parts)
    values = np.stack([both.a.mean(axis=1), both.b.mean(axis=1)], axis=1)
    pair = mine.entries[0], theirs.entries[0]
    ahead, behind = most_different(both.ids, values, column.sign, options.users, pair, titles)
    return replace(
        found, segments=_segments(column, mine, both, options), ahead=ahead, behind=behind
    )


def both_of(column: Column, mine: Cell, theirs: Cell) -> tuple[Both | None, str]:
    """The units of both in a column, or why there are none.

    Raises:
        DataError: A table is broken.
    """
    tables = [e.units([column.metric]) for cell in (mine, theirs) for e in cell.entries]
    parts = [None if table is None else table.of(column.group) for table in tables]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None, "a table of values per unit is gone"
    if not all(known[0].same(one) for one in known):
        return None, "the two were not asked the same units"
    values = np.concatenate([one.values for one in known], axis=1)
    defined = ~np.isnan(values).any(axis=1)
    n = len(mine.entries)
    return Both(
        a=values[defined, :n],
        b=values[defined, n:],
        weights=known[0].weights[defined, 0],
        ids=known[0].ids.filter(defined),
        known=defined,
    ), ""


def _segments(column: Column, cell: Cell, both: Both, options: Options) -> tuple[Segment, ...]:
    """The units of each label of each segment column, in the order of the labels."""
    found = []
    for by, labels in _labels(cell.entries[0], column.group).items():
        mine = labels.filter(both.known).to_numpy()
        for label in sorted(set(mine.tolist()), key=_order):
            at = mine == label
            found.append(Segment(by, label, both.test(column, options, at)))
    return tuple(found)


def _labels(entry: Entry, group: str | None) -> dict[str, pl.Series]:
    """What units are told apart by: the text columns of their table, but for id and group.

    Raises:
        DataError: The table is broken.
    """
    import polars as pl

    table = entry.table(UNITS)
    assert table is not None
    table = table if group is None else table.filter(pl.col("group") == group)
    apart = (table.columns[0], "group")
    names = [name for name, kind in table.schema.items() if kind == pl.String]
    return {name: table[name].fill_null("unknown") for name in names if name not in apart}


def _order(label: str) -> tuple[int, str]:
    """Known labels as they go up, others by name."""
    known = (*HISTORY_LABELS, *POPULARITY_LABELS)
    return (known.index(label) if label in known else len(known)), label


def corrected(tests: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """All p-values of one comparison adjusted together: columns and segments."""
    p = [
        one.p
        for t in tests
        for one in (t.paired, *(segment.paired for segment in t.segments))
        if one is not None
    ]
    adjusted = map(Adjusted, p, holm(p), benjamini_hochberg(p))
    return tuple(
        replace(
            t,
            adjusted=next(adjusted) if t.paired else None,
            segments=tuple(replace(s, adjusted=next(adjusted)) for s in t.segments),
        )
        for t in tests
    )
