"""What is known of processes that train together before there is one: plain values, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class LostTeamError(RuntimeError):
    """The processes cannot go on together. No error of a setting: a search ends with it."""


@dataclass(frozen=True)
class Seat:
    """A place among processes that share the steps of a fit.

    Attributes:
        rank: 0 for the one that validates, writes and decides; the others follow it.
        size: How many there are.
        meeting: File that they find each other by, in a folder of the run's own; nothing is there
            before, and no two attempts have the same.
    """

    rank: int = 0
    size: int = 1
    meeting: Path | None = None


def seats(size: int, meeting: Path) -> tuple[Seat, ...]:
    """All of them, the first one first."""
    return tuple(Seat(rank, size, meeting) for rank in range(size))
