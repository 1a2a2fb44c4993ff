"""What a comparison of two rows holds: plain data, computed once, rendered many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from tastebench.board.model import Column, RowBy
from tastebench.board.significance import RESAMPLES, Paired
from tastebench.errors import UsageError, did_you_mean
from tastebench.metrics.grammar import parse

Correction = Literal["holm", "bh"]

CORRECTIONS: dict[Correction, str] = {"holm": "Holm", "bh": "Benjamini-Hochberg"}
"""What each is called where people read it."""

MATTERS = 0.05

_POOLED = ("auc", "f1", "ece")


def correction_of(name: str) -> Correction:
    """A correction for many comparisons, by name.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in get_args(Correction):
        hint = did_you_mean(name, get_args(Correction))
        raise UsageError(f"no correction is called {name!r}: {hint}", fix="--correction holm")
    return cast(Correction, name)


def pooled(metric: str) -> bool:
    """Whether only all rows together have the metric: a unit's value is its part in it.

    Such values add up to the metric, so that its difference can be tested, and say nothing of a
    unit or a segment alone.
    """
    return parse(metric).name in _POOLED


@dataclass(frozen=True)
class Options:
    """How two rows are compared.

    Attributes:
        metric: Compare by this one instead of each task's headline.
        task: Only the columns of this task, or of this group of one, e.g. `search:short`.
        row_by: What a row is; None means what the plan says.
        correction: For many comparisons, in verdicts; both are in the result.
        matters: The share of a score that a difference has to be to matter.
        users: How many units that differ most are shown, for and against each.
        seed: Of all that is drawn.
        resamples: Of units, and of signs.
    """

    metric: str | None = None
    task: str | None = None
    row_by: RowBy | None = None
    correction: Correction = "holm"
    matters: float = MATTERS
    users: int = 3
    seed: int = 0
    resamples: int = RESAMPLES

    def __post_init__(self) -> None:
        """Checks what a user may have given.

        Raises:
            UsageError: A number that cannot be meant.
        """
        if not 0 < self.matters < 1:
            raise UsageError(
                f"a difference that matters is a share of a score between 0 and 1, "
                f"not {self.matters}",
                fix=f"--matters {MATTERS}",
            )
        if self.seed < 0:
            raise UsageError(f"a seed is not negative, as {self.seed} is", fix="--seed 0")


@dataclass(frozen=True)
class Adjusted:
    """A p-value among all of one comparison."""

    p: float
    holm: float
    bh: float

    def by(self, correction: Correction) -> float:
        """Adjusted the one way or the other."""
        return self.holm if correction == "holm" else self.bh


@dataclass(frozen=True)
class Segment:
    """The units of one label.

    Attributes:
        by: What units are told apart by, e.g. `history`.
        adjusted: Of the sign-flip test.
    """

    by: str
    label: str
    paired: Paired
    adjusted: Adjusted | None = None


@dataclass(frozen=True)
class Person:
    """A user or query for whom the two differ most.

    Attributes:
        a, b: What each got, over its seeds.
        shown_a, shown_b: The first items that the first seed of each had for it, titles where they
            are known, else ids; in ctr with a `+` before what was clicked. Empty without lists.
    """

    id: str
    a: float
    b: float
    shown_a: tuple[str, ...] = ()
    shown_b: tuple[str, ...] = ()


@dataclass(frozen=True)
class Questions:
    """The same questions answered by the first seed of each, right or wrong.

    Attributes:
        both, only_a, only_b, neither: Who had how many right.
        tied: Left out: the right option and another one score highest alike.
        p: McNemar's exact test, two-sided; questions of one user are taken as independent.
    """

    both: int
    only_a: int
    only_b: int
    neither: int
    tied: int
    p: float


@dataclass(frozen=True)
class Outcome:
    """Two rows in one column.

    Attributes:
        mean_a, mean_b: As on the board.
        seeds_a, seeds_b: Seeds of each.
        paired: None where nothing can be paired; `why` says why.
        left_out: Units without a value in some run of either.
        adjusted: Of the sign-flip test.
        ahead, behind: Units that differ most, for A and against it.
        matters: The difference that matters, in the metric's own unit.
        verdict: What the numbers say, by rule.
    """

    column: Column
    mean_a: float
    mean_b: float
    seeds_a: int
    seeds_b: int
    paired: Paired | None
    why: str = ""
    left_out: int = 0
    adjusted: Adjusted | None = None
    segments: tuple[Segment, ...] = ()
    ahead: tuple[Person, ...] = ()
    behind: tuple[Person, ...] = ()
    questions: Questions | None = None
    matters: float = 0.0
    verdict: str = ""

    @property
    def place(self) -> str:
        """Task, group and dataset."""
        return f"{self.column.part}/{self.column.dataset}"


@dataclass(frozen=True)
class Line:
    """One test as a line of a table: a column of the board, or the units of a segment in it.

    Attributes:
        seeds: Of both, in words.
        segment: It is of some units only.
    """

    name: str
    a: float
    b: float
    paired: Paired | None
    adjusted: Adjusted | None
    seeds: str = ""
    segment: bool = False


@dataclass(frozen=True)
class Compared:
    """Two rows of a board, column by column.

    Attributes:
        n_tests: p-values that were adjusted together: columns and segments.
        seed, resamples: Of all that was drawn.
        notes: What a reader has to know.
    """

    suite: str
    a: str
    b: str
    tests: tuple[Outcome, ...]
    correction: Correction
    n_tests: int
    matters: float
    seed: int
    resamples: int
    notes: tuple[str, ...]
    preliminary: bool

    def __str__(self) -> str:
        """The table as plain text, as `tastebench compare` prints it into a file."""
        from tastebench.board.compare_forms import as_text

        return as_text(self)
