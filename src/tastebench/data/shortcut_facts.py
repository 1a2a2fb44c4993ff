"""What is known of a dataset's shortcuts, and the line between having one and not.

Where few items follow an item, where what follows is like it, and where only the last items matter,
a lookup of neighbours does as well as a sequence model, and a table of models says little about
them ("An Embarrassingly Simple Graph Heuristic Reveals Shortcut-Solvable Benchmarks for Sequential
Recommendation"). Where the line is drawn is a convention of ours, chosen once over thirteen
datasets, and the numbers are there to draw another.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Shortcut = Literal["few successors", "like content", "short memory"]

LEAST_REACH = 0.05
LEAST_LIFT = 5.0
LEAST_AUC = 0.6
LEAST_MEMORY = 0.9


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Branching(_Found):
    """How many items follow one item.

    Attributes:
        successors: Effective number of successors of an asked history's last item, on average.
        observed: Training transitions out of it, on average; no number of successors is greater.
        without: Share of askers whose last item has none; they are in neither average.
    """

    successors: float | None
    observed: float | None
    without: float


class Reach(_Found):
    """What a few hops from the last item lead to.

    Attributes:
        share: Share of asked items among the candidates.
        candidates: Candidates, on average.
        chance: Share there would be if the next item were drawn by popularity: the candidates'
            share of training events, on average.
    """

    share: float
    candidates: float
    chance: float


class Hits(_Found):
    """Share of asked items among the best ten.

    Attributes:
        windows: Of the walk, by how many of the last items it starts from.
        popularity: Of the most popular items.
        n: Askers.
    """

    windows: dict[str, float]
    popularity: float
    n: int


class Likeness(_Found):
    """How like in content an item is to the one before it.

    Attributes:
        auc: Probability that an item is more like the one before it than an item that came after
            some other one is; 0.5 says nothing.
        rank: Place of the asked item among all items by likeness to the last one, as a share of
            the catalogue; the median over askers.
        hit: Share of asked items among the ten most like the last one.
        pairs: Pairs that were compared.
        asked: Askers.
    """

    auc: float
    rank: float
    hit: float
    pairs: int
    asked: int


class Shortcuts(_Found):
    """What a dataset, split in one way, gives away.

    Attributes:
        asked: Test events with a history.
        branching: How many items follow the last item.
        hops: What one and two hops from the last item lead to, by the number of hops.
        windows: Share of asked items one hop from any of the last 1, 2, 5 and (`all`) 50 items.
        hits: What a walk finds from so many of the last items, beside popularity.
        content: How like an item is to the one before it; None without text or vectors.
    """

    asked: int
    branching: Branching
    hops: dict[str, Reach]
    windows: dict[str, float]
    hits: Hits
    content: Likeness | None = None

    @property
    def lift(self) -> float | None:
        """How many times as many answers are next to the last item as popularity puts there."""
        one = self.hops["1"]
        return one.share / one.chance if one.chance > 0 else None

    @property
    def memory(self) -> float | None:
        """The walk's hits from the last two items, as a share of those from its best window."""
        best = max(self.hits.windows.values())
        return self.hits.windows["2"] / best if best > 0 else None

    @property
    def found(self) -> tuple[Shortcut, ...]:
        """The shortcuts that are there.

        - few successors: at least 5 % of the answers are next to the last item in the graph, and at
          least 5 times as many as popularity would put there.
        - like content: AUC of following pairs over dealt ones at least 0.6.
        - short memory: the walk from the last two items finds at least 90 % of what it finds from
          its best window, and more than popularity does.
        """
        names: list[Shortcut] = []
        if self.hops["1"].share >= LEAST_REACH and (self.lift or 0) >= LEAST_LIFT:
            names.append("few successors")
        if self.content is not None and self.content.auc >= LEAST_AUC:
            names.append("like content")
        better = self.hits.windows["2"] > self.hits.popularity
        if better and (self.memory or 0) >= LEAST_MEMORY:
            names.append("short memory")
        return tuple(names)

    @property
    def verdict(self) -> Literal["strong", "some", "none"]:
        """`strong` for a short memory with one of the others; `some` for any; else `none`."""
        found = self.found
        if "short memory" in found and len(found) > 1:
            return "strong"
        return "some" if found else "none"

    @property
    def sentence(self) -> str:
        """The verdict in words, with the numbers it rests on."""
        one = self.hops["1"]
        lift = "" if self.lift is None else f", {self.lift:.1f} times what popularity puts there"
        facts: dict[Shortcut, str] = {
            "few successors": f"{one.share:.1%} of answers next to the last item{lift}",
            "short memory": "the walk finds nothing"
            if self.memory is None
            else f"{self.memory:.0%} of the walk's hits from the last two items",
        }
        if self.content is not None:
            facts["like content"] = f"AUC of following pairs {self.content.auc:.2f}"
        has = ", ".join(f"{name} ({facts[name]})" for name in self.found)
        lacks = ", ".join(
            f"{name} ({fact})" for name, fact in facts.items() if name not in self.found
        )
        told = f"{has}; not found: {lacks}" if has and lacks else has or lacks
        return f"{_MEANS[self.verdict]}: {told}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: the numbers, and what follows from them."""
        return {
            "verdict": self.verdict,
            "found": list(self.found),
            "sentence": self.sentence,
            "lift": self.lift,
            "memory": self.memory,
            **self.model_dump(mode="json"),
        }


_MEANS = {
    "strong": "strong shortcuts, so that a model has to beat graph-walk",
    "some": "some shortcuts",
    "none": "no shortcuts found",
}
