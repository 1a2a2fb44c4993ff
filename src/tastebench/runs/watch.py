"""Who watches a plan: told what is about to happen, what is going on and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from tastebench.runs.record import Record


class Watcher:
    """Does nothing by itself; `tastebench.runs.progress` prints, a test may collect."""

    def say(self, line: str) -> None:
        """Something worth a line, e.g. that a dataset is being prepared."""

    def begin(self, labels: Sequence[tuple[str, str]], finished: int) -> None:
        """The plan starts: key and label of everything to do, and how much was done before."""

    def started(self, key: str) -> None:
        """It has begun."""

    def stage(self, key: str, text: str) -> None:
        """It says in a few words what it is doing."""

    def ended(self, key: str, record: Record | None, problem: str | None = None) -> None:
        """It is over; `record` is None for an encode step."""

    def end(self) -> None:
        """The plan is over, well or not."""
