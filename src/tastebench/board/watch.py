"""A board that follows its folder while runs end: drawn anew on a terminal, else printed anew."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from tastebench.board.load import Entry, Loaded, sort_out
from tastebench.board.model import Board
from tastebench.board.render import print_board, symbols_for
from tastebench.errors import DataError, TastebenchError, counted
from tastebench.runs.record import Record
from tastebench.runs.store import RECORD

EVERY = 2.0
"""Seconds between two looks."""

Make = Callable[[Loaded], Board]
"""Records to the board that is wanted."""


@dataclass(frozen=True)
class View:
    """What there is to show.

    Attributes:
        board: The board; None before there is one, and where there is none.
        message: Why there is none, or why it is an older one; empty otherwise.
        records: Records that lie there.
    """

    board: Board | None
    message: str
    records: int


State = tuple[tuple[str, int, int], ...]
"""Path, time of change and size of every record."""


def state_of(root: Path) -> State:
    """The records under a folder as they are now; folders of runs under way are not looked into."""
    found = []
    for folder, names, files in os.walk(root):  # what vanishes meanwhile is passed over
        names[:] = [name for name in names if not name.startswith(".")]
        path = Path(folder) / RECORD
        if RECORD in files:
            try:
                about = path.stat()
            except FileNotFoundError:  # a run is done again: the old record goes, a new one comes
                continue
            found.append((str(path), about.st_mtime_ns, about.st_size))
    return tuple(sorted(found))


def view_of(root: Path, state: State, make: Make, before: View | None = None) -> View:
    """What the records of a state show.

    What cannot be read is left out and counted: it may be on its way. What cannot be shown, say
    records of several plans or no record of a task yet, is said, and the last board stays.

    Args:
        root: The folder, for messages.
        state: From `state_of`.
        make: Records to the board.
        before: What was shown last.
    """
    last = None if before is None else before.board
    if not state:
        return View(last, f"waiting for the first record in {root}", 0)
    entries, broken = [], 0
    for name, _, _ in state:
        path = Path(name)
        try:
            entries.append(Entry(Record.read(path), path.parent))
        except DataError:
            broken += 1
    if not entries:
        return View(last, f"{counted(broken, 'record')} cannot be read", 0)
    try:
        loaded = sort_out(entries, str(root))
        board = make(loaded)
    except TastebenchError as error:
        return View(last, str(error), len(entries))
    if broken:
        note = f"{counted(broken, 'record')} cannot be read"
        board = replace(board, notes=(*board.notes, note))
    return View(board, "", len(entries))


def views(root: Path, make: Make, wait: Callable[[], None]) -> Iterator[View]:
    """A view whenever records came, went or changed; the first one at once."""
    before, last = None, None
    while True:
        state = state_of(root)
        if state != before:
            before, last = state, view_of(root, state, make, last)
            yield last
        wait()


def watch(
    root: Path,
    make: Make,
    console: Console,
    every: float = EVERY,
    sleep: Callable[[float], None] = time.sleep,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Shows the board until Ctrl-C, then leaves the last one on the terminal.

    Args:
        root: Results folder; it need not be there yet.
        make: Records to the board.
        console: Where to. Without a terminal a board is printed whenever it changed.
        every: Seconds between two looks.
        sleep: Waits so many seconds.
        say: Told what stands in the way of a board, without a terminal.
    """
    last: View | None = None
    size = console.size

    def wait() -> None:
        """Sleeps; then draws anew what another size of the terminal has cut."""
        nonlocal size
        sleep(every)
        if live is not None and last is not None and console.size != size:
            live.update(_screen(last, console, every), refresh=True)
        size = console.size

    live = Live(console=console, screen=True, auto_refresh=False) if console.is_terminal else None
    around: AbstractContextManager[object] = nullcontext() if live is None else live
    try:
        with around:
            for last in views(root, make, wait):
                if live is not None:
                    live.update(_screen(last, console, every), refresh=True)
                elif last.message:
                    say(last.message)
                elif last.board is not None:
                    print_board(last.board, console)
                    console.print()
                    console.file.flush()
    except KeyboardInterrupt:
        if live is not None and last is not None and last.board is not None:
            print_board(last.board, console)


def _screen(view: View, console: Console, every: float) -> Group:
    """A board with a line above that says how things stand; what is too long is cut below."""
    now = time.strftime("%H:%M:%S")
    line = f"{counted(view.records, 'record')}, {now}; looked for every {every:g} s; Ctrl-C ends"
    parts = [Text(line, style="dim"), Text(view.message, style="bold")]
    if view.board is not None:
        inner = Console(
            file=StringIO(),
            width=console.width,
            force_terminal=not symbols_for(console).best,
            color_system="standard" if console.color_system else None,
        )
        print_board(view.board, inner)
        assert isinstance(inner.file, StringIO)
        parts.append(Text.from_ansi(inner.file.getvalue()))
    return Group(*parts)
