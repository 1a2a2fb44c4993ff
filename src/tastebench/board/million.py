"""What a million items cost to encode."""

from __future__ import annotations

from collections.abc import Sequence

from tastebench.board.cells import Cell

_MILLION = 1_000_000


def per_million(cells: Sequence[Cell]) -> dict[str, float | None]:
    """Hours and US dollars to encode a million items such as these, on the machine that did it.

    Read off the step that took longest, as the other costs of encoding are. Dollars are those of a
    mean text of that step, queries included. Hours are None where nothing was encoded or timed,
    dollars where no price is known.
    """
    costs = [entry.record.cost for cell in cells for entry in cell.entries]
    steps = [cost.encode for cost in costs if cost is not None and cost.encode is not None]
    step = max(steps, key=lambda one: one.seconds or 0.0, default=None)
    if step is None:
        return {"hours": None, "usd": None}
    speed, paid, texts = step.texts_per_second, step.usd, step.texts_encoded
    return {
        "hours": _MILLION / speed / 3600 if speed else None,
        "usd": _MILLION * paid / texts if paid is not None and texts else None,
    }
