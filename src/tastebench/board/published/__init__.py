"""Boards of others, as printed: to be read beside one's own, never ranked with them.

One CSV a board: a row a model, a column what it was measured on, and above them comments that say
where it was printed and how it was measured.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from importlib import resources

from tastebench.errors import UsageError, did_you_mean

_RANKED = ("borda", "average_overall", "average_task", "latency_ms")
"""Columns that are no score; a table need not have them."""


@dataclass(frozen=True)
class PublishedRow:
    """A model as printed; what its table does not have is None.

    Attributes:
        scores: What it was measured on to its score: a task with its group if it has one, e.g.
            `search:short`, with a dataset where the table has it, e.g. `ctr/recbench/hm`.
        rank, borda: Among the models of that table only.
        latency_ms: Of one request.
    """

    model: str
    scores: dict[str, float]
    rank: int | None = None
    borda: float | None = None
    average_overall: float | None = None
    average_task: float | None = None
    latency_ms: float | None = None


@dataclass(frozen=True)
class Published:
    """A printed board.

    Attributes:
        source: Where it was printed.
        protocol: How its numbers were measured.
        metrics: What they are, by the names of metrics here: columns ranked by another metric do
            not show them.
        note: What is odd about it; empty for nothing.
        setting: What else is known of how they came about, by what it says: `encoder`, `seeds`, ...
    """

    name: str
    source: str
    protocol: str
    metrics: tuple[str, ...]
    note: str
    rows: tuple[PublishedRow, ...]
    setting: dict[str, str] = field(default_factory=dict)

    @property
    def places(self) -> tuple[str, ...]:
        """What there are scores of, in the order of the table."""
        return tuple(self.rows[0].scores)


def names() -> list[str]:
    """The printed boards there are."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".csv") for file in files if file.name.endswith(".csv"))


def get_published(name: str) -> Published:
    """The printed board of this name.

    Raises:
        UsageError: There is none.
    """
    if name not in names():
        raise UsageError(
            f"no published board is called {name!r}: {did_you_mean(name, names())}",
            fix=f"--published {names()[0]}",
        )
    lines = (resources.files(__name__) / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    said = dict(comment.split(": ", 1) for comment in comments)
    table = csv.DictReader(line for line in lines if not line.startswith("#"))
    return Published(
        name,
        source=said.pop("source"),
        protocol=said.pop("protocol"),
        metrics=tuple(said.pop("metrics").split()),
        note=said.pop("note", ""),
        rows=tuple(_row(dict(row)) for row in table),
        setting=said,
    )


def _row(row: dict[str, str]) -> PublishedRow:
    model, rank = row.pop("model"), row.pop("rank", None)
    ranked = {name: float(row.pop(name)) if row.get(name) else None for name in _RANKED}
    scores = {place: float(score) for place, score in row.items() if place not in _RANKED}
    return PublishedRow(model, scores, int(rank) if rank else None, **ranked)
