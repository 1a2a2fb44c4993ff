"""What is going on, on standard error: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tastebench.errors import counted
from tastebench.runs.record import Record
from tastebench.runs.watch import Watcher

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SHOWN_FINISHED = 12


def outcome(record: Record) -> str:
    """What came of a run in a few words."""
    if record.status == "failed":
        assert record.error is not None
        return f"FAILED: {record.error.what.splitlines()[0]}"
    value = record.metrics[record.headline].mean
    return f"{record.headline} {value:.4f}" if value is not None else f"{record.headline} undefined"


def seconds(value: float) -> str:
    """A duration, short.

    >>> seconds(3.21), seconds(4000)
    ('3.2s', '1h06m')
    """
    if value < 60:
        return f"{value:.1f}s"
    if value < 3600:
        return f"{value // 60:.0f}m{value % 60:02.0f}s"
    return f"{value // 3600:.0f}h{value % 3600 // 60:02.0f}m"


class _Clock(Watcher):
    """Counts and times; the two watchers below only draw."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self.finished = 0
        self.done = 0
        self.failed = 0
        self.began: dict[str, float] = {}
        self.start = time.monotonic()

    @override
    def begin(self, labels: Sequence[tuple[str, str]], finished: int) -> None:
        self.labels = dict(labels)
        self.finished = finished
        self.start = time.monotonic()

    @override
    def started(self, key: str) -> None:
        self.began[key] = time.monotonic()

    @override
    def ended(self, key: str, record: Record | None, problem: str | None = None) -> None:
        self.done += 1
        self.failed += bool(problem) or (record is not None and record.status == "failed")

    def took(self, key: str, record: Record | None = None) -> float:
        """Seconds of work; without a record, seconds since it began."""
        if record is not None and record.cost is not None:
            return record.cost.wall_seconds
        return time.monotonic() - self.began.get(key, self.start)

    def left(self) -> str:
        """How far it is, and about how long the rest will take."""
        total = len(self.labels)
        text = f"{self.done} of {total}"
        if self.failed:
            text += f", {self.failed} failed"
        if 0 < self.done < total:
            rest = (time.monotonic() - self.start) / self.done * (total - self.done)
            text += f", about {seconds(rest)} left"
        return text


class Lines(_Clock):
    """A line when something is done; for logs and pipes."""

    @override
    def say(self, line: str) -> None:
        self._print(line)

    @override
    def begin(self, labels: Sequence[tuple[str, str]], finished: int) -> None:
        super().begin(labels, finished)
        if finished:
            self._print(f"{counted(finished, 'run')} finished before and kept")

    @override
    def ended(self, key: str, record: Record | None, problem: str | None = None) -> None:
        super().ended(key, record, problem)
        text = outcome(record) if record else f"FAILED: {problem}" if problem else "done"
        self._print(
            f"[{self.left()}] {self.labels[key]}: {text} ({seconds(self.took(key, record))})"
        )

    def _print(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class Live(_Clock):
    """A table that redraws itself; for terminals."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.stages: dict[str, str] = {}
        self.recent: list[tuple[str, str, float]] = []
        self.display: Any = None

    @override
    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False)

    @override
    def begin(self, labels: Sequence[tuple[str, str]], finished: int) -> None:
        from rich.live import Live as Display

        super().begin(labels, finished)
        if finished:
            self.say(f"{counted(finished, 'run')} finished before and kept")
        if labels:
            self.display = Display(
                console=self.console,
                get_renderable=self._draw,
                refresh_per_second=4,
                transient=True,
            )
            self.display.start()

    @override
    def started(self, key: str) -> None:
        super().started(key)
        self.stages[key] = "starting"

    @override
    def stage(self, key: str, text: str) -> None:
        self.stages[key] = text

    @override
    def ended(self, key: str, record: Record | None, problem: str | None = None) -> None:
        super().ended(key, record, problem)
        self.stages.pop(key, None)
        text = outcome(record) if record else f"FAILED: {problem}" if problem else "done"
        self.recent = [*self.recent, (self.labels[key], text, self.took(key, record))][
            -SHOWN_FINISHED:
        ]
        if "FAILED" in text:
            self.say(f"{self.labels[key]}: {text}")

    @override
    def end(self) -> None:
        if self.display is not None:
            self.display.stop()

    def _draw(self) -> RenderableType:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column(Text(self.left()))
        table.add_column("")
        table.add_column("", justify="right")
        for label, text, took in self.recent:
            table.add_row(
                Text(label), Text(text, style="red" if "FAILED" in text else ""), seconds(took)
            )
        for key, text in list(self.stages.items()):
            table.add_row(
                Text(self.labels[key], style="cyan"),
                Text(text, style="dim"),
                seconds(self.took(key)),
            )
        return table


def watcher() -> Watcher:
    """The live table if standard error is a terminal, else lines."""
    from rich.console import Console

    console = Console(stderr=True)
    return Live(console) if console.is_terminal else Lines()
