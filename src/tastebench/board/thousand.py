"""What a thousand recommendations cost, where language models are asked for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tastebench.board.cells import Cell
from tastebench.board.model import Row
from tastebench.runs.record import Record

_NAMES = ("usd", "seconds", "prompt_tokens", "completion_tokens")


def thousand_of(cells: Sequence[Cell]) -> dict[str, dict[str, Any]]:
    """Per task and dataset, means over seeds: money, seconds and tokens of a thousand of them.

    A recommendation is what the task asks for one by one: the score of a candidate, the answer to
    a question, or a list of the whole catalogue. Of a language model it is as measured while the
    test part was asked (`asked: True`). Of others seconds are those of one request at a time, from
    the latency of the run, whose mean in milliseconds is the same number.

    A value that some seed lacks is None, and where all are there is nothing.
    """
    found = {
        f"{cell.record.spec.task}/{cell.record.spec.dataset}": _means(
            [entry.record for entry in cell.entries]
        )
        for cell in cells
    }
    return {place: one for place, one in found.items() if any(one[name] for name in _NAMES)}


def thousand_notes(rows: Sequence[Row]) -> list[str]:
    """What the column holds; nothing where no language model was asked."""
    if not has_asked(rows):
        return []
    return [
        "per 1,000: so many scored candidates (ctr), answered questions (userqa) or lists of the "
        "catalogue; of language models as measured on the test part, in money where a price is "
        "known, else in seconds and tokens (behind an address the seconds of requests side by side "
        "add up); of others the seconds of requests made one at a time"
    ]


def has_asked(rows: Sequence[Row]) -> bool:
    """Whether a row is of a language model that says what asking it took."""
    return any(one["asked"] for row in rows for one in row.cost.get("per_thousand", {}).values())


def _means(records: Sequence[Record]) -> dict[str, Any]:
    taken = [_taken(record) for record in records]
    asked = all(any(f"{name}_per_thousand" in r.probes for name in _NAMES) for r in records)
    return {**{name: _mean([one.get(name) for one in taken]) for name in _NAMES}, "asked": asked}


def _taken(record: Record) -> dict[str, float | None]:
    found: dict[str, float | None] = {
        name: record.probes.get(f"{name}_per_thousand") for name in _NAMES
    }
    if any(value is not None for value in found.values()):
        return found
    latency = record.cost.latency if record.cost is not None else None
    return {"seconds": latency.cached.mean if latency is not None else None}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None
