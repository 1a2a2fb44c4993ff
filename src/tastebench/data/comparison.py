"""A dataset's own counts beside published ones, and why they may differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset


@dataclass(frozen=True)
class Counted:
    """One count.

    Attributes:
        what: What is counted.
        published: What the source of the comparison says; None where it says nothing.
        ours: What the dataset has.
    """

    what: str
    published: int | None
    ours: int

    @property
    def difference(self) -> int | None:
        """Ours less the published."""
        return None if self.published is None else self.ours - self.published


@dataclass(frozen=True)
class Comparison:
    """Counts beside published ones.

    Attributes:
        source: Who publishes them, e.g. `RecBench, table 2`.
        counts: In the order of the source.
        reasons: Why counts may differ, a sentence each.
    """

    source: str
    counts: tuple[Counted, ...]
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, with the differences."""
        counts = [{**asdict(count), "difference": count.difference} for count in self.counts]
        return {"source": self.source, "counts": counts, "reasons": list(self.reasons)}


def compare(dataset: Dataset) -> Comparison | None:
    """The counts of a benchmark's dataset beside those that the benchmark publishes.

    None for a dataset of no benchmark, or of one that publishes none.
    """
    from tastebench.data.sources import SOURCES

    source = SOURCES.get(dataset.name) if dataset.name in SOURCES else None
    return source.compare(dataset) if source is not None and source.compare is not None else None
