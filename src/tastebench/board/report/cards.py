"""Run cards: everything a record says about a run, as the page opens it.

A card is a list of sections in one of five forms (`rows`, `grid` with its head first, `list`,
`text` and `links` to other cards), all of them strings, so that the page has one way to show each
and never makes markup of what a record says. Sections that many runs share - protocol,
environment - are kept once and pointed at by number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tastebench.board import figures
from tastebench.board.load import Entry
from tastebench.board.report.curves import curve
from tastebench.board.report.words import said
from tastebench.files import canonical_json
from tastebench.runs.labels import flat
from tastebench.runs.record import MetricValue, Record

Section = dict[str, Any]

_LONGEST = 20_000
"""Characters of a `config.yaml` on a card."""


class Cards:
    """The cards of a page, and the sections they share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._at: dict[str, int] = {}
        self.shared: list[Section] = []
        self.cards: dict[str, dict[str, Any]] = {}

    def add(self, entries: Sequence[Entry], rows: Mapping[str, str]) -> dict[str, str]:
        """Cards of runs of one plan.

        Args:
            entries: The runs.
            rows: Spec hash to the row of the board it belongs to.

        Returns:
            Spec hash to the key of the card; the same, unless another plan has that run too.

        Raises:
            DataError: A table is broken.
        """
        keys: dict[str, str] = {}
        for entry in entries:
            own = entry.record.spec_hash
            keys[own] = own if own not in self.cards else f"{own}-{len(self.cards)}"
            self.cards[keys[own]] = self._card(entry)
        siblings: dict[str, list[str]] = {}
        for own, key in keys.items():
            if own in rows:
                siblings.setdefault(rows[own], []).append(key)
        for mine in siblings.values():
            for key in mine:
                others = [other for other in mine if other != key]
                title = "Other runs of this row"
                self.cards[key]["sections"] += [{"title": title, "links": others}] if others else []
        return keys

    def _card(self, entry: Entry) -> dict[str, Any]:
        record = entry.record
        spec = record.spec
        kind = "" if record.kind == "model" else f", {record.kind}"
        return {
            "title": spec.label,
            "place": f"{spec.task} on {spec.dataset}, seed {spec.seed}{kind}",
            "sections": [self._share(one) for one in self._sections(entry) if not _empty(one)],
            "curve": curve(entry),
        }

    def _sections(self, entry: Entry) -> Iterator[Section]:
        record = entry.record
        yield from _failure(record)
        yield from _metrics(record)
        yield from self._command(entry)
        yield from _training(record)
        yield _rows("Hyper-parameters", said(flat(record.spec.params, between=" ")))
        yield from _cost(record)
        yield _rows("Counts", {name: f"{n:,}" for name, n in record.counts.items()})
        yield _rows("Probes", said(record.probes))
        yield {**_rows("Protocol", _protocol(record)), "shared": True}
        yield _rows("Hashes", _hashes(record))
        environment = said(flat(record.environment, between=" "))
        yield {**_rows("Environment", environment), "shared": True}

    def _command(self, entry: Entry) -> Iterator[Section]:
        path = None if entry.folder is None else entry.folder / "config.yaml"
        if path is None or not path.is_file():
            return
        below = path.relative_to(self._root).as_posix()
        top = self._root.resolve().name
        yield {"title": "Repeat it", "text": f"tastebench run {_quoted(f'{top}/{below}')}"}
        text = path.read_text(encoding="utf-8", errors="replace")
        cut = "\n# ... cut" if len(text) > _LONGEST else ""
        yield {"title": "config.yaml", "text": text[:_LONGEST] + cut, "closed": True}

    def _share(self, section: Section) -> Section | int:
        if not section.pop("shared", False):
            return section
        key = canonical_json(section)
        if key not in self._at:
            self._at[key] = len(self.shared)
            self.shared.append(section)
        return self._at[key]


def _rows(title: str, rows: Mapping[str, str]) -> Section:
    return {"title": title, "rows": [[name, value] for name, value in rows.items()]}


def _empty(section: Section) -> bool:
    return section.get("rows") == []


def _failure(record: Record) -> Iterator[Section]:
    error = record.error
    if error is None:
        return
    told = {"what": error.what, "where": error.where, "fix": error.fix, "kind": error.kind}
    yield _rows("Failure", {name: value for name, value in told.items() if value})
    if error.trace:
        yield {"title": "Innermost calls", "text": "\n".join(error.trace)}


def _metrics(record: Record) -> Iterator[Section]:
    """Every metric with its interval, the one that ranks first."""
    parts = {"Test": record.metrics, **{f"Test, {g}": m for g, m in record.groups.items()}}
    for title, metrics in parts.items():
        names = sorted(metrics, key=lambda name: name != record.headline)
        valid = record.valid if title == "Test" else {}
        lines = [_metric(name, metrics[name], valid.get(name)) for name in names]
        if lines:
            head = ["metric", "mean", "95 % interval", "units", "undefined", "validation"]
            yield {"title": title, "grid": [head, *lines]}


def _metric(name: str, value: MetricValue, valid: float | None) -> list[str]:
    known = value.low is not None and value.high is not None
    return [
        name,
        figures.number(value.mean),
        f"{value.low:.4f} to {value.high:.4f}" if known else figures.MISSING,
        f"{value.n:,}",
        f"{value.undefined:,}",
        figures.number(valid),
    ]


def _training(record: Record) -> Iterator[Section]:
    fit = record.fit
    if fit is not None and fit.epochs is not None:
        ended = {True: "early stopping", False: "the epochs ran out", None: "not known"}
        yield _rows(
            "Training",
            {
                "epochs": str(fit.epochs),
                "best epoch": str(fit.best_epoch),
                "ended by": ended[fit.converged],
            },
        )
    if fit is not None and fit.notes:
        yield {"title": "Notes", "list": list(fit.notes)}
    budget = said(flat(record.budget.model_dump(mode="json"), between=" "))
    yield _rows("Budget", {name: value for name, value in budget.items() if value != "none"})
    if len(record.trials) > 1:
        grid = [
            [
                json.dumps(trial.params, ensure_ascii=False),
                figures.number(trial.valid),
                figures.seconds(trial.seconds),
                "chosen" if trial.chosen else trial.error or "",
            ]
            for trial in record.trials
        ]
        yield {"title": "Trials", "grid": [["setting", "validation", "time", ""], *grid]}


def _cost(record: Record) -> Iterator[Section]:
    if record.cost is None:
        return
    cost = record.cost.model_dump(mode="json", exclude_none=True)
    rows = {}
    for name, value in flat(cost, between=" ").items():
        leaf = name.rpartition(" ")[2]
        if leaf.endswith("_bytes"):
            rows[name.replace("_bytes", "")] = f"{value / 2**20:,.0f} MiB"
        elif leaf == "seconds" or leaf.endswith("_seconds"):
            rows[name.replace("_seconds", "")] = figures.brief(value)
        elif leaf in ("p50", "p95", "p99", "mean") or leaf.endswith("_ms"):
            rows[name.replace("_ms", "")] = f"{figures.milliseconds(value)} ms"
        else:
            rows[name] = said({"": value})[""]
    yield _rows("Cost", rows)


def _protocol(record: Record) -> dict[str, str]:
    found = {"fingerprint": record.protocol_id}
    if record.split:
        found["in words"] = "; ".join(record.split)
    return {**found, **said(flat(record.protocol, between=" "))}


def _hashes(record: Record) -> dict[str, str]:
    return {
        "run": record.spec_hash,
        "protocol": record.protocol_id,
        "budget": record.budget_id,
        **{name: value or "unknown" for name, value in record.fingerprints.items()},
        "record schema": str(record.schema_version),
        "ended": record.created,
    }


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
