"""What a board holds: plain data, computed once, rendered many times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from tastebench.errors import UsageError, did_you_mean
from tastebench.metrics.grammar import parse

if TYPE_CHECKING:
    from tastebench.board.agreement import Against, Correlated
    from tastebench.board.published import Published

Kind = Literal["model", "control", "ceiling"]
RowBy = Literal["encoder", "recommender", "run"]


def row_by_of(name: str) -> RowBy:
    """What a row may be, by name.

    Raises:
        UsageError: Rows cannot be that.
    """
    if name not in get_args(RowBy):
        hint = did_you_mean(name, get_args(RowBy))
        raise UsageError(f"rows cannot be by {name!r}: {hint}", fix="--row-by encoder")
    return cast(RowBy, name)


@dataclass(frozen=True)
class Score:
    """The mean of a metric over units, averaged over seeds.

    Attributes:
        mean: None where no unit has a value.
        low, high: Ends of the 95 % interval over units; None where there is none.
        n: Units with a value.
        seeds: Seeds averaged over.
        undefined: Units without a value, left out.
        protocol: Fingerprint of the question that was asked.
        spread: Standard deviation of the seeds' means, `n - 1` in it; None for one seed.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    seeds: int
    undefined: int
    protocol: str
    spread: float | None = None

    def overlaps(self, other: Score) -> bool:
        """Whether the two intervals share a value; an unknown interval shares all."""
        ends = (self.low, self.high, other.low, other.high)
        if any(end is None for end in ends):
            return True
        low, high, other_low, other_high = (float(end) for end in ends if end is not None)
        return low <= other_high and other_low <= high


@dataclass(frozen=True)
class Column:
    """One vote: a task, or a group of its units, on a dataset, by one metric.

    Attributes:
        protocol: Fingerprint that most of its scores have.
    """

    task: str
    group: str | None
    dataset: str
    metric: str
    protocol: str

    @property
    def part(self) -> str:
        """The task, with its group if it has one."""
        return self.task if self.group is None else f"{self.task}:{self.group}"

    @property
    def key(self) -> str:
        """`<task or task:group>/<dataset>/<metric>`."""
        return f"{self.part}/{self.dataset}/{self.metric}"

    @property
    def sign(self) -> int:
        """1 where higher is better, else -1."""
        return 1 if parse(self.metric).higher_is_better else -1


@dataclass(frozen=True)
class Mark:
    """Something a reader has to know before comparing a row."""

    code: Literal["protocol", "budget", "control", "unconverged"]
    text: str


@dataclass(frozen=True)
class Row:
    """One line of a board.

    Attributes:
        recommender: Task to the recommender that was measured.
        scores: Column key to score, for every metric that was measured, not only the ranking one.
        tasks: Task (and group) to the mean of its columns; a row that misses one of them has none.
        rank, borda: None for a ceiling, which takes no part.
        rank_low, rank_high: Ends of the 95 % interval of the rank over units; None if not known.
        p_first: Share of resamples in which it ranks first; None if not known.
        missing: Ranking columns without a score.
        average_overall, average_task: None where a column is missing.
        cost: What its runs took.
        params: Task and dataset (`seqrec/shop`) to the hyper-parameters of the run there.
    """

    name: str
    kind: Kind
    recommender: dict[str, str]
    representation: str
    encoder: str | None
    scores: dict[str, Score]
    cost: dict[str, Any]
    tasks: dict[str, Score] = field(default_factory=dict)
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    p_first: float | None = None
    borda: float | None = None
    missing: int = 0
    average_overall: float | None = None
    average_task: float | None = None
    marks: tuple[Mark, ...] = ()
    params: dict[str, dict[str, Any]] = field(default_factory=dict)

    def mean(self, column: Column) -> float | None:
        """The mean in a column; None where there is none."""
        score = self.scores.get(column.key)
        return None if score is None else score.mean


@dataclass(frozen=True)
class Board:
    """Rows by rank, ceilings last.

    Attributes:
        columns: The columns that rank.
        protocols: Each question that was asked, in full.
        failed: Runs that failed, and why.
        notes: What a reader has to know about the whole.
        summary: What the numbers say, in a few sentences.
        versions: Of Tastebench, of the runs that are shown.
        preliminary: Some of its runs had less training than their protocol asks for.
        against: How its order agrees with another one.
        correlated: How two of its columns agree.
        published: A printed board of others, to be read beside it.
    """

    suite: str
    row_by: RowBy
    columns: tuple[Column, ...]
    protocols: tuple[dict[str, Any], ...]
    rows: tuple[Row, ...]
    failed: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    summary: str = ""
    versions: tuple[str, ...] = field(default=())
    preliminary: bool = False
    against: Against | None = None
    correlated: Correlated | None = None
    published: Published | None = None

    @property
    def title(self) -> str:
        """What it is a board of."""
        warning = ", preliminary: reduced budget" if self.preliminary else ""
        return f"{self.suite}, by {self.row_by}{warning}"

    @property
    def parts(self) -> dict[str, tuple[Column, ...]]:
        """Task (and group) to its columns, in their order."""
        return {
            part: tuple(column for column in self.columns if column.part == part)
            for part in dict.fromkeys(column.part for column in self.columns)
        }

    @property
    def ranked(self) -> tuple[Row, ...]:
        """Rows that take part in the ranking."""
        return tuple(row for row in self.rows if row.kind != "ceiling")

    @property
    def ceilings(self) -> tuple[Row, ...]:
        """Rows that cannot be beaten."""
        return tuple(row for row in self.rows if row.kind == "ceiling")

    def __str__(self) -> str:
        """The table as plain text, as `tastebench board` prints it into a file."""
        from tastebench.board.render import as_text

        return as_text(self)
