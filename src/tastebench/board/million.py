"""What a million items cost to encode."""

from __future__ import annotations

from collections.abc import Sequence

from tastebench.board.cells import Cell

_MILLION = 1_000_000


def per_million(cells: Sequence[Cell]) -> dict[str, float | None]:
    """Hours and US dollars to encode a million items such as these, on the machine that did it.

    Read off the step that took longest, as the other costs of encoding are. Hours are None where
    nothing was encoded or timed, dollars where nothing was paid.
    """
    costs = [entry.record.cost for cell in cells for entry in cell.entries]
    steps = [cost.encode for cost in costs if cost is not None and cost.encode is not None]
    step = max(steps, key=lambda one: one.seconds or 0.0, default=None)
    if step is None or not step.texts_per_second:
        return {"hours": None, "usd": None}
    return {"hours": _MILLION / step.texts_per_second / 3600, "usd": None}
