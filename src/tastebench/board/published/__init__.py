"""Boards of others, as printed: to be read beside one's own, never ranked with them.

One CSV a board: a row a model, a column a task, and above them comments that name the source and
the protocol.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib import resources

from tastebench.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class PublishedRow:
    """A model as printed.

    Attributes:
        scores: Task, or task and group, to its score, e.g. `search:short`.
        rank, borda: Among the models of that table only.
    """

    model: str
    rank: int
    borda: float
    average_overall: float
    average_task: float
    scores: dict[str, float]


@dataclass(frozen=True)
class Published:
    """A printed board.

    Attributes:
        source: Where it was printed.
        protocol: How its numbers were measured.
        note: What is odd about it; empty for nothing.
    """

    name: str
    source: str
    protocol: str
    note: str
    rows: tuple[PublishedRow, ...]


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
    rows = tuple(_row(dict(row)) for row in table)
    return Published(name, said["source"], said["protocol"], said.get("note", ""), rows)


def _row(row: dict[str, str]) -> PublishedRow:
    return PublishedRow(
        model=row.pop("model"),
        rank=int(row.pop("rank")),
        borda=float(row.pop("borda")),
        average_overall=float(row.pop("average_overall")),
        average_task=float(row.pop("average_task")),
        scores={part: float(score) for part, score in row.items()},
    )
