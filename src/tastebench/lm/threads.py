"""Work on several threads whose results come as they are ready."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

T = TypeVar("T")

Stop = threading.Event
"""Set once no more work is wanted: whoever waits, waits on it."""


class Stopped(Exception):  # noqa: N818 - no error: the answer to a `Stop`
    """Raised by work that was told to stop while it waited."""


def each(n: int, work: Callable[[int, Stop], T], threads: int) -> Iterator[tuple[int, T]]:
    """`(i, work(i, stop))` for i in 0 .. n - 1, in the order in which they get ready.

    When one fails nothing new is started, what is under way is still handed out - it may have been
    paid for - and then the failure is raised. A caller who leaves early (Ctrl-C) waits for nothing.
    """
    stop = Stop()
    todo, one_at_a_time = iter(range(n)), threading.Lock()
    done: queue.SimpleQueue[tuple[int, T] | Exception | None] = queue.SimpleQueue()

    def next_index() -> int | None:
        with one_at_a_time:
            return next(todo, None)

    def run() -> None:
        try:
            while not stop.is_set() and (index := next_index()) is not None:
                done.put((index, work(index, stop)))
        except Stopped:
            pass  # the failure or the caller's leave that stopped it is told elsewhere
        except Exception as error:
            stop.set()
            done.put(error)
        finally:
            done.put(None)

    # Daemons: a process that is told to end does not wait for a server that says nothing.
    working = [threading.Thread(target=run, daemon=True) for _ in range(min(threads, n))]
    for thread in working:
        thread.start()
    failure: Exception | None = None
    try:
        left = len(working)
        while left:
            result = done.get()
            if result is None:
                left -= 1
            elif isinstance(result, Exception):
                failure = failure or result
            else:
                yield result
    finally:
        stop.set()
    if failure is not None:
        raise failure
