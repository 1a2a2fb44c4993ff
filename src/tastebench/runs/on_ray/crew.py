"""The caller's side of work on a cluster: what is ready goes to Ray, what is lost goes again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from tastebench.errors import DataError
from tastebench.runs.on_ray.board import News
from tastebench.runs.on_ray.unit import do_unit
from tastebench.runs.processes import Listener, Work
from tastebench.runs.record import KILLED, Failure

if TYPE_CHECKING:
    from tastebench.runs.on_ray.cluster import Cluster

ATTEMPTS = 3
"""How often a unit is tried whose worker is lost."""

QUIET_SECONDS = 30.0
"""After so long without news it is looked whether any node is left that could do the work."""

STOP_SECONDS = 20.0

_CAUSES = (
    (exceptions.OutOfMemoryError, "Ray stopped it for want of memory on its node"),
    (exceptions.NodeDiedError, "its node was lost"),
    (exceptions.WorkerCrashedError, "its worker was killed, perhaps for want of memory"),
)


@dataclass(eq=False)
class _Live:
    """A unit that Ray has.

    Attributes:
        unit: Its name on the board; a unit that is tried again has another.
        started: It is at work and not only waiting for a place.
        left: The board has said that nothing more will come from it.
        ended: Ray has given its result back.
    """

    work: Work
    attempt: int
    unit: str
    started: bool = False
    left: bool = False
    ended: bool = False
    failure: Failure | None = None


class Crew:
    """Does all the work on the cluster, at most `workers` at a time, in the order of `after`."""

    def __init__(
        self, cluster: Cluster, works: Sequence[Work], workers: int | None, listener: Listener
    ) -> None:
        self.cluster, self.listener = cluster, listener
        self.pending = [(work, 1) for work in works]
        self.unfinished = {work.key for work in works}
        self.workers = workers or len(works)
        self.live: dict[Any, _Live] = {}
        self.by_unit: dict[str, _Live] = {}

    @property
    def busy(self) -> bool:
        """Whether something is left to do."""
        return bool(self.pending or self.live)

    def step(self) -> None:
        """Hands over what can start, then waits for news.

        Raises:
            DataError: The cluster is gone, or no node is left that could do the work.
        """
        ready_works = [(w, n) for w, n in self.pending if w.after not in self.unfinished]
        for work, attempt in ready_works[: self.workers - len(self.live)]:
            self.pending.remove((work, attempt))
            self._start(work, attempt)
        hearing = self.cluster.hearing()
        working = [reference for reference, live in self.live.items() if not live.ended]
        ready, _ = ray.wait([hearing, *working], num_returns=1, timeout=QUIET_SECONDS)
        if not ready:
            self._check_nodes()
        for reference in ready:
            if reference != hearing:  # Ray's client gives back equal ones, not the same
                self._hear_end(reference)
        if hearing in ready:  # behind the ends, whose last words are among the news
            for news in self.cluster.heard():
                self._hear(news)
        for reference, live in list(self.live.items()):
            if live.ended and live.left:
                self._close(reference, live)

    def _start(self, work: Work, attempt: int) -> None:
        unit = f"{work.key}#{attempt}"
        options = self.cluster.nodes.options(work.need)
        reference = (
            ray.remote(do_unit)
            .options(max_retries=0, name=f"tastebench {work.target.__name__}", **options)
            .remote(self.cluster.board, unit, work, self.cluster.caller)
        )
        self.live[reference] = self.by_unit[unit] = _Live(work, attempt, unit)

    def _hear(self, news: News) -> None:
        live = self.by_unit.get(news.unit)
        if live is None:  # of a unit that was given up
            return
        if news.what == "started":
            live.started = True
            self.listener.started(live.work.key)
        elif news.what == "said":
            self.listener.said(live.work.key, news.text)
        else:
            live.left = True

    def _hear_end(self, reference: Any) -> None:
        live = self.live[reference]
        live.ended = True
        try:
            live.failure = ray.get(reference)
        except exceptions.RayTaskError as error:
            raise error.as_instanceof_cause() from None
        except exceptions.RayError as error:
            live.failure = Failure(kind=KILLED, what=_cause(error))
            self.cluster.board.leave.remote(live.unit)

    def _close(self, reference: Any, live: _Live) -> None:
        del self.live[reference], self.by_unit[live.unit]
        key, failure = live.work.key, live.failure
        if failure is not None and failure.kind == KILLED:
            if live.attempt < ATTEMPTS:
                again = f"{failure.what}; again, {live.attempt + 1} of {ATTEMPTS}"
                if not live.started:
                    self.listener.started(key)
                self.listener.said(key, again)
                self.pending.insert(0, (live.work, live.attempt + 1))
                self.cluster.look()
                return
            failure = failure.model_copy(
                update={"what": f"{failure.what}; it was tried {ATTEMPTS} times"}
            )
        self.unfinished.discard(key)
        self.listener.ended(key, failure)

    def _check_nodes(self) -> None:
        """Nothing has been heard for a while: is there anything left that could be heard of?"""
        self.cluster.look()
        for live in self.live.values():
            if not live.started and not self.cluster.nodes.fit(live.work.need):
                raise DataError(
                    f"no node of the cluster is left that has {live.work.need.cores} cores",
                    where=self.cluster.address,
                    fix="start a node and give the same command again: what is finished is kept",
                )

    def stop(self) -> None:
        """Ends what is still at work, and waits until it is gone."""
        for reference in self.live:
            ray.cancel(reference, force=True)
        if self.live:
            ray.wait(list(self.live), num_returns=len(self.live), timeout=STOP_SECONDS)
        for live in self.live.values():
            self.cluster.board.leave.remote(live.unit)


def _cause(error: Exception) -> str:
    return next((said for kind, said in _CAUSES if isinstance(error, kind)), type(error).__name__)
