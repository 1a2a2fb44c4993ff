"""The switchboard of a plan on a cluster: who is on which node, whose turn it is, what they say.

One actor beside the caller. Units - the work of one Ray task - ask it before they start and before
they measure latency, and tell it what they are doing; the caller listens. Per node it keeps the
rule that `tastebench.runs.processes` keeps on one machine: who must be alone waits until the others
there are done, nobody starts meanwhile, then those who wait go on one by one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class News(NamedTuple):
    """Something about a unit: it has started, it says what it does, or it has left its node."""

    what: Literal["started", "said", "left"]
    unit: str
    text: str = ""


@dataclass(eq=False)
class _Waiting:
    unit: str
    called: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Floor:
    """Who is on one node.

    Attributes:
        inside: Units at work beside each other.
        parked: Those who wait to be alone, in their order.
        outside: Those who wait to start.
        sole: The one that is alone.
    """

    inside: set[str] = field(default_factory=set)
    parked: list[_Waiting] = field(default_factory=list)
    outside: list[_Waiting] = field(default_factory=list)
    sole: str | None = None

    def settle(self) -> None:
        """Calls those whose turn it is."""
        if self.sole is not None:
            return
        if self.parked:
            if not self.inside:
                waiting = self.parked.pop(0)
                self.sole = waiting.unit
                waiting.called.set()
            return
        for waiting in self.outside:
            self.inside.add(waiting.unit)
            waiting.called.set()
        self.outside.clear()

    def forget(self, unit: str) -> None:
        """Takes a unit off the node, wherever it stood."""
        self.inside.discard(unit)
        self.parked = [waiting for waiting in self.parked if waiting.unit != unit]
        self.outside = [waiting for waiting in self.outside if waiting.unit != unit]
        if self.sole == unit:
            self.sole = None


class Board:
    """The switchboard; an actor whose methods wait without holding up each other."""

    def __init__(self) -> None:
        self._floors: dict[str, _Floor] = {}
        self._gone: set[str] = set()
        self._news: list[News] = []
        self._something = asyncio.Event()

    async def node(self) -> str:
        """The node that it is on."""
        import ray  # who waits for whom needs none, and is tested without

        found: str = ray.get_runtime_context().get_node_id()
        return found

    async def enter(self, unit: str, node: str, alone: bool) -> None:
        """Returns when the unit may start on its node: beside the others there, or alone."""
        if unit in self._gone:
            return
        floor, waiting = self._floors.setdefault(node, _Floor()), _Waiting(unit)
        (floor.parked if alone else floor.outside).append(waiting)
        floor.settle()
        await waiting.called.wait()
        self._tell(News("started", unit))

    async def alone(self, unit: str, node: str) -> None:
        """Returns when nothing else of the plan is at work on the unit's node."""
        floor = self._floors.setdefault(node, _Floor())
        if floor.sole == unit or unit in self._gone:
            return
        floor.inside.discard(unit)
        waiting = _Waiting(unit)
        floor.parked.append(waiting)
        floor.settle()
        await waiting.called.wait()

    async def say(self, unit: str, text: str) -> None:
        """Passes on what a unit is doing."""
        self._tell(News("said", unit, text))

    async def leave(self, unit: str) -> None:
        """The unit is done, or its worker is lost; what it still says afterwards is not heard."""
        if unit in self._gone:
            return
        self._gone.add(unit)
        for floor in self._floors.values():
            floor.forget(unit)
            floor.settle()
        self._news.append(News("left", unit))
        self._something.set()

    async def hear(self) -> list[News]:
        """Waits for news, and returns them in their order."""
        await self._something.wait()
        self._something.clear()
        news, self._news = self._news, []
        return news

    def _tell(self, news: News) -> None:
        if news.unit not in self._gone:
            self._news.append(news)
            self._something.set()
