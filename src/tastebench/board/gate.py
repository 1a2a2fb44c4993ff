"""The comparison gate: numbers that answer different questions do not stand in one column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tastebench.errors import ProtocolError
from tastebench.runs.record import Record

_SHOWN = 3


def main_protocol(ids: Iterable[str]) -> str:
    """The most frequent fingerprint, of equals the first in order."""
    counts = Counter(sorted(ids))
    return max(counts, key=lambda one: counts[one])


def check_protocols(records: Sequence[Record], mixed: bool) -> None:
    """Refuses a column with two protocols unless `mixed`.

    Args:
        records: All records of one task on one dataset.
        mixed: Let them stand together; the board marks them.

    Raises:
        ProtocolError: Names what differs and in which records.
    """
    by_id: dict[str, list[Record]] = {}
    for record in records:
        by_id.setdefault(record.protocol_id, []).append(record)
    if len(by_id) < 2 or mixed:
        return
    spec = records[0].spec
    sides = "; ".join(f"{one} ({_names(by_id[one])})" for one in sorted(by_id))
    raise ProtocolError(
        f"{spec.task} on {spec.dataset} was measured under {len(by_id)} protocols, so its numbers "
        f"do not compare: {sides}. They differ in {differences([r[0] for r in by_id.values()])}",
        where=f"column {spec.task}/{spec.dataset}",
        fix="run the plan again under one protocol, or add --mixed to see both, marked",
    )


def differences(records: Sequence[Record]) -> str:
    """The protocol fields in which records differ, with their values."""
    flat = [_fields(record) for record in records]
    names = sorted({name for fields in flat for name in fields})
    found = []
    for name in names:
        values = list(dict.fromkeys(str(fields.get(name)) for fields in flat))
        if len(values) > 1:
            found.append(f"{name} ({' / '.join(values)})")
    return ", ".join(found) or "nothing but the version of the metric definitions"


def _fields(record: Record) -> dict[str, Any]:
    """The protocol as dotted names, and what else its fingerprint covers."""
    fields = dict(_flat(record.protocol))
    fields["dataset values"] = (record.fingerprints.get("dataset") or "unknown")[:12]
    return fields


def _flat(value: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, part in value.items():
        if isinstance(part, dict):
            yield from _flat(part, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", part


def _names(records: Sequence[Record]) -> str:
    names = list(dict.fromkeys(f"{r.spec.label} seed {r.spec.seed}" for r in records))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
