"""Work in processes of its own: warm start, its own peak memory, and a kill takes one.

Processes are forked from a server that has loaded the heavy libraries once and done nothing else,
so a run starts in milliseconds and its memory is its own. Several work at a time, except for what
must be alone on the machine (latency): a process that reaches that point parks, a few parked ones
are collected while others still work, then nothing new starts, the working ones finish, and the
parked ones go on one by one.

A process ends with whoever started it: it watches for its parent's death, so that a plan killed
with `kill -9` leaves nothing running behind.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from tastebench import files
from tastebench.runs.compose import explain
from tastebench.runs.job import Surroundings
from tastebench.runs.record import KILLED, Failure
from tastebench.training.seat import LostTeamError

Target = Callable[[Any, Surroundings], None]
"""What a process does; importable, and its argument can be pickled."""

PARKED_PER_WORKER = 2
LAST_WORDS_SECONDS = 5.0


@dataclass(frozen=True)
class Need:
    """What work takes of the machine that does it; who has several machines places it by this.

    Attributes:
        cores: It computes on.
        gpu: It computes on one where there is one.
        memory: Bytes, as far as guessed; a machine that has less may still do it.
        alone: Nothing else of the plan may run on its machine.
    """

    cores: int = 1
    gpu: bool = False
    memory: int = 0
    alone: bool = False


ANY = Need()
"""A core."""


@dataclass(frozen=True, eq=False)
class Work:
    """One thing to do in a process.

    Attributes:
        key: Names it.
        after: Key of what has to end before, well or not.
        beside: Arguments of further processes, which do the target too and are a part of it: when
            it ends they end, and when one of them fails it has failed.
        log: Where its standard output and error go.
        need: What it takes.
    """

    key: str
    target: Target
    argument: Any
    log: Path
    after: str | None = None
    need: Need = ANY
    beside: tuple[Any, ...] = ()


class Listener:
    """Told what happens; does nothing by itself."""

    def started(self, key: str) -> None:
        """A process has begun."""

    def said(self, key: str, text: str) -> None:
        """It says in a few words what it is doing."""

    def ended(self, key: str, failure: Failure | None) -> None:
        """It is gone; `failure` says why, if it did not do its work."""


@dataclass(eq=False)
class _Live:
    work: Work
    process: Any
    pipe: Connection
    finished: bool = False
    failure: Failure | None = None
    helpers: list[_Live] = field(default_factory=list)
    """Those that do it too; each is at work until it is gone, and has none itself."""

    @property
    def all(self) -> list[_Live]:
        return [self, *self.helpers]

    def gone(self) -> None:
        """Its pipe is closed; says why, if it did not do its work."""
        self.process.join()
        self.pipe.close()
        if not self.finished and self.failure is None:
            self.failure = Failure(kind=KILLED, what=_cause(self.process.exitcode))


@dataclass(frozen=True)
class Host:
    """Who else is on this machine, and what processes find in it.

    Attributes:
        turn: Called before a parked process goes on; returns when the machine is its own.
        environment: Instead of this process's own; None takes that.
        folder: Where processes work, if it is there; None leaves them where they are started.
    """

    turn: Callable[[], None] = field(default=lambda: None)
    environment: Mapping[str, str] | None = None
    folder: Path | None = None


HERE = Host()
"""This process and its machine, with nobody else."""


def run_all(works: Sequence[Work], workers: int, listener: Listener, host: Host = HERE) -> None:
    """Does all the work, at most `workers` at a time, in order as far as `after` allows.

    On any exception here (Ctrl-C, a full disk) the processes are stopped before it goes on.
    """
    crew = _Crew(works, workers, listener, host)
    try:
        while crew.busy:
            crew.step()
    finally:
        crew.stop()


class _Crew:
    def __init__(self, works: Sequence[Work], workers: int, listener: Listener, host: Host) -> None:
        self.pending = list(works)
        self.unfinished = {work.key for work in works}
        self.working: list[_Live] = []
        self.parked: list[_Live] = []
        self.workers, self.listener, self.host = workers, listener, host
        self.room_to_park = 1 if workers == 1 else PARKED_PER_WORKER * workers
        self.alone = False
        self.context = _context()

    @property
    def busy(self) -> bool:
        return bool(self.pending or self.working or self.parked)

    def step(self) -> None:
        """Starts what can start, lets one go on alone if it is time, then waits for news."""
        while not self.alone and len(self.working) < self.workers and not self._draining():
            work = next((w for w in self.pending if w.after not in self.unfinished), None)
            if work is None:
                break
            self.pending.remove(work)
            self.working.append(self._start(work))
        if self.parked and not self.working:
            live = self.parked.pop(0)
            self.host.turn()
            with contextlib.suppress(OSError):  # killed while it was parked: the wait hears of it
                live.pipe.send("go")
            self.working, self.alone = [live], True
        heard = {one.pipe: (live, one) for live in self.working for one in live.all}
        for ready in wait(list(heard)):
            live, one = heard[ready]  # type: ignore[index]
            if one is live:
                self._hear(live)
            elif one in live.helpers:  # else its end has come with that of the work
                self._hear_helper(live, one)

    def _draining(self) -> bool:
        return len(self.parked) >= self.room_to_park

    def _start(self, work: Work) -> _Live:
        live = self._started(work)
        live.helpers = [self._started(replace(work, argument=argument)) for argument in work.beside]
        self.listener.started(work.key)
        return live

    def _started(self, work: Work) -> _Live:
        ours, theirs = self.context.Pipe()
        process = self.context.Process(  # type: ignore[attr-defined]
            target=_main,
            args=(theirs, work, _environment(self.host), self.host.folder),
            daemon=True,
        )
        with _no_main_module(), _no_interrupts():
            process.start()
        theirs.close()
        return _Live(work, process, ours)

    def _hear(self, live: _Live) -> None:
        try:
            kind, news = live.pipe.recv()
        except (EOFError, OSError):
            self._bury(live)
            return
        if kind == "say":
            self.listener.said(live.work.key, news)
        elif kind == "park":
            self.working.remove(live)
            self.parked.append(live)
        else:
            live.finished = True
            if live.failure is None or news is None or news.kind != LostTeamError.__name__:
                live.failure = news

    def _hear_helper(self, live: _Live, helper: _Live) -> None:
        try:
            kind, news = helper.pipe.recv()
        except (EOFError, OSError):
            live.helpers.remove(helper)
            helper.gone()
            self._blame(live, helper)
            return
        if kind in {"end", "fail"}:
            helper.finished, helper.failure = True, news

    def _blame(self, live: _Live, helper: _Live) -> None:
        """What a helper could not do, the work could not."""
        done = live.finished and live.failure is None
        # One that only lost another says nothing: what became of that one is news of its own.
        if done or helper.failure is None or helper.failure.kind == LostTeamError.__name__:
            return
        if live.failure is None or live.failure.kind == LostTeamError.__name__:
            live.failure = helper.failure
        live.process.kill()  # it may wait for the helper, and for ever

    def _bury(self, live: _Live) -> None:
        # One that lost another may be heard of before the other has said why it went.
        lost = live.failure is not None and live.failure.kind == LostTeamError.__name__
        for helper in list(live.helpers):
            while helper in live.helpers and helper.pipe.poll(LAST_WORDS_SECONDS if lost else 0):
                self._hear_helper(live, helper)
        _end(live.helpers)
        live.gone()
        self.working.remove(live)
        self.alone = False
        self.unfinished.discard(live.work.key)
        self.listener.ended(live.work.key, live.failure)

    def stop(self) -> None:
        _end([one for live in self.working + self.parked for one in live.all])


def _end(those: Sequence[_Live]) -> None:
    for live in those:
        live.process.terminate()
    for live in those:
        live.process.join(timeout=5)
        if live.process.is_alive():
            live.process.kill()
            live.process.join()


def _environment(host: Host) -> dict[str, str]:
    if host.environment is not None:
        return dict(host.environment)
    return {**os.environ, files.HOME: str(files.home())}


def _cause(exit_code: int | None) -> str:
    """Why a process is gone, in words.

    >>> _cause(-9)
    'its process was killed (SIGKILL), perhaps for want of memory'
    """
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"its process was killed ({name}){hint}"
    return f"its process ended with exit code {exit_code} before the run did"


# ---------------------------------------------------------------------------- inside the process


def _main(pipe: Connection, work: Work, environment: dict[str, str], folder: Path | None) -> None:
    # Ctrl-C reaches the whole process group; what to do about it is the starter's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The server's environment is that of its first process; the starter's may have changed since:
    # another home, the key of a remote model.
    os.environ.clear()
    os.environ.update(environment)
    if folder is not None and folder.is_dir():
        os.chdir(folder)
    work.log.parent.mkdir(parents=True, exist_ok=True)
    with work.log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        work.target(work.argument, Surroundings(_Line(pipe).tell, _Line(pipe).alone))
        pipe.send(("end", None))
    except Exception as error:  # told to the starter, who goes on with what does not need it
        pipe.send(("fail", explain(error)))


class _Line:
    """The way to the starter; without one there is nobody left to work for."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def tell(self, text: str) -> None:
        try:
            self.pipe.send(("say", text))
        except OSError:
            os._exit(1)

    def alone(self) -> None:
        try:
            self.pipe.send(("park", None))
            self.pipe.recv()
        except (EOFError, OSError):
            os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


# --------------------------------------------------------------------------------------- starting


def _context() -> BaseContext:
    # Threads that wait by spinning are fast alone and ruinous beside anything else: encoding with
    # two threads on two cores, one of them busy, was 13 times slower than with waiting asleep.
    # OpenMP reads this when it is loaded, so it has to be in the environment of the server.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tastebench.runs.warm"])
    return context


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C waits until this ends; the server started here never hears it.

    Else it dies of it while it loads the libraries, and prints where.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started inside, it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Hides the caller's script, which a new process would otherwise import, and so run again.

    Work is importable by name, so nothing of the script is needed; without this a study without an
    `if __name__ == "__main__"` would start itself in each of its own runs.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
