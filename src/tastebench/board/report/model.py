"""From records to what a page shows: one value of dictionaries, lists, numbers and strings."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic import ValidationError

from tastebench.board import export, figures
from tastebench.board.board import make_board
from tastebench.board.load import Entry, identity
from tastebench.board.model import Board, RowBy
from tastebench.board.published import get_published
from tastebench.board.report.cards import Cards
from tastebench.board.report.column import ROWS, cells_by_row, drawn_rows
from tastebench.board.report.conclusion import conclude, place
from tastebench.board.report.curves import card_curve, curve_pictures
from tastebench.board.report.level import Level, levels_of
from tastebench.board.report.order import order_pictures
from tastebench.board.report.pareto import pareto_pictures
from tastebench.board.report.read import Found, Part, parts_of
from tastebench.board.report.segments import segment_pictures
from tastebench.board.report.spec import Picture
from tastebench.board.report.table import Head, heads
from tastebench.board.report.words import said
from tastebench.errors import TastebenchError, UsageError, counted
from tastebench.runs.labels import flat
from tastebench.tasks.protocol import TaskProtocol

MANY = 1000
"""Rows of a table that a browser lays out at once; more of them come by pages."""
PAGE = 500
"""Rows of such a page; the style sheet knows the number as well."""


@dataclass(frozen=True)
class Options:
    """What a page shows of its records.

    Attributes:
        metric: Rank by this metric instead of each task's headline.
        task: Only the columns of this task, or of this group of one.
        row_by: What a row is; None means what the plan says.
        mixed: One table with different protocols in a column, marked, instead of several tables.
        published: A printed board to stand apart.
    """

    metric: str | None = None
    task: str | None = None
    row_by: RowBy | None = None
    mixed: bool = False
    published: str | None = None


def make_report(found: Found, options: Options | None = None) -> dict[str, Any]:
    """All that a page shows.

    Args:
        found: The records.
        options: What of them.

    Returns:
        `sections`, one a table, for the page's markup; `data` for its script: run cards by hash,
        sections they share, and charts.

    Raises:
        UsageError: No plan has such a metric or task, or no printed board has that name.
        DataError: A table is broken.
    """
    options = options or Options()
    cards = Cards(found.root)
    charts: dict[str, Any] = {}
    sections: list[dict[str, Any]] = []
    unfit: list[tuple[Part, UsageError]] = []
    for part in parts_of(found, mixed=options.mixed):
        try:
            made = _section(part, options, cards, f"t{len(sections)}")
        except UsageError as error:
            unfit.append((part, error))  # said below: another plan may well have that metric
            continue
        charts |= made.pop("charts")
        sections.append(made)
    if not sections:
        raise unfit[0][1]
    _publish_once(sections)
    entries = found.entries
    return {
        "title": ", ".join(dict.fromkeys(section["suite"] for section in sections)),
        "counts": _counts(found),
        "left_out": [f"{part.suite}: {error.what}" for part, error in unfit],
        "skipped": [asdict(one) for one in found.skipped],
        "from": min(entry.record.created for entry in entries)[:10],
        "to": max(entry.record.created for entry in entries)[:10],
        "sections": sections,
        "data": {
            "cards": cards.cards,
            "shared": cards.shared,
            "charts": {**charts, "curve": card_curve()},
            "told": {
                one["id"]: one["told"]
                for section in sections
                for some in section["pictures"].values()
                for one in some
            },
        },
    }


def _counts(found: Found) -> list[str]:
    """How many records of which kind, in words; kinds that are not there are left out."""
    records = [entry.record for entry in found.entries]
    failed = sum(record.status == "failed" for record in records)
    partial = sum(record.partial and record.status == "ok" for record in records)
    told = [counted(len(records) - failed - partial, "finished run")]
    told += [f"{failed:,} failed"] if failed else []
    told += [f"{partial:,} with --limit, on no table"] if partial else []
    told += [f"{counted(len(found.skipped), 'file')} skipped"] if found.skipped else []
    return told


def _section(part: Part, options: Options, cards: Cards, key: str) -> dict[str, Any]:
    """One table with all that belongs to it."""
    board = make_board(
        part.loaded,
        metric=options.metric,
        task=options.task,
        mixed=options.mixed,
        row_by=options.row_by,
    )
    if options.published is not None:
        board = replace(board, published=get_published(options.published))
    rows = cells_by_row(part.loaded, board)
    names = {
        entry.record.spec_hash: name
        for name, cells in rows.items()
        for cell in cells
        for entry in cell.entries
    }
    failed = [e for e in part.entries if e.record in part.loaded.failed]
    keys = cards.add([*part.loaded.entries, *failed], names)
    columns = {column: drawn_rows(board, rows, column) for column in board.columns}
    measured = {c: sum(row.mean(c) is not None for row in board.ranked) for c in board.columns}
    levels = levels_of(columns, measured)
    pictures = {
        "cost": list(pareto_pictures(board, rows)),
        "order": list(order_pictures(board, columns)),
        "segments": list(segment_pictures(board, columns)),
        "curves": list(curve_pictures(board, columns)),
    }
    return {
        "key": key,
        "suite": part.suite,
        "title": f"{part.suite}: {part.protocol}" if part.protocol else part.suite,
        "protocol": part.protocol,
        "row_by": board.row_by,
        "preliminary": board.preliminary,
        "conclusion": list(conclude(board, levels)),
        "summary": board.summary,
        "levels": [_level(board, level) for level in levels],
        **_table(board, heads(board, levels, rows, keys)),
        "page": PAGE if len(board.rows) > MANY else None,
        "pictures": {name: _pictures(f"{key}-{name}", some) for name, some in pictures.items()},
        "charts": {
            f"{key}-{name}-{i}": one.spec
            for name, some in pictures.items()
            for i, one in enumerate(some)
        },
        "failed": [_failed(entry, keys) for entry in failed],
        "notes": list(board.notes),
        "protocols": [_protocol(board, one) for one in board.protocols],
        "published": _published(board),
        "versions": ", ".join(board.versions),
    }


def _level(board: Board, level: Level) -> dict[str, Any]:
    """A line of the table that says how sure the top of a column is."""
    by: dict[str, list[str]] = {}
    for one in level.rivals:
        by.setdefault(one.stand, []).append(one.name)
    share = abs(level.detectable / level.score) if level.detectable and level.score else None
    return {
        "place": place(board, level.column),
        "metric": level.column.metric,
        "best": level.best,
        "score": figures.number(level.score),
        "open": by.get("open", []),
        "close": by.get("close", []),
        "worse": len(by.get("worse", [])),
        "untested": by.get("untested", []),
        "beyond": level.beyond,
        "shows": "" if level.detectable is None else f"{level.detectable:.4f}",
        "share": "" if share is None else f"{share:.0%}",
    }


def _table(board: Board, columns: Sequence[Head]) -> dict[str, Any]:
    """The board's cells, row by row, and what is said of it."""
    numbers = figures.footnotes(board)
    return {
        "heads": [
            {
                "name": head.name,
                "lines": list(head.lines),
                "told": head.told,
                "shown": head.shown,
                "number": head.number,
                "best": head.best,
            }
            for head in columns
        ],
        "rows": [
            {
                "name": row.name,
                "kind": row.kind,
                "marks": [{"n": numbers[mark], "text": mark.text} for mark in row.marks],
                "run": next((one.cells[i].run for one in columns if one.cells[i].run), None),
                "cells": [asdict(one.cells[i]) | {"number": one.number} for one in columns],
            }
            for i, row in enumerate(board.rows)
        ],
        "marks": [{"n": n, "text": mark.text} for mark, n in numbers.items()],
        "tested": ROWS,
        "csv": base64.b64encode(export.to_csv(board).encode("utf-8", "replace")).decode(),
    }


def _pictures(key: str, some: Sequence[Picture]) -> list[dict[str, str]]:
    return [
        {"id": f"{key}-{i}", "label": one.label, "told": one.told} for i, one in enumerate(some)
    ]


def _failed(entry: Entry, keys: dict[str, str]) -> dict[str, Any]:
    record = entry.record
    error = record.error
    return {
        **identity(record),
        "run": keys[record.spec_hash],
        "what": error.what if error else "no reason recorded",
        "fix": (error.fix if error else None) or "",
    }


def _protocol(board: Board, one: dict[str, Any]) -> dict[str, Any]:
    """A protocol in words, then in full."""
    shortcuts = one.get("shortcuts")
    rows = {
        "fingerprint": one["id"],
        "data": one["dataset_fingerprint"] or "unknown",
        **said(flat(one["protocol"] or {}, between=" ")),
        **{f"counted: {name}": f"{n:,}" for name, n in (one["counts"] or {}).items()},
    }
    return {
        "id": one["id"],
        "place": f"{one['task']} on {one['dataset']}",
        "words": _words(one["protocol"]),
        "split": one["split"],
        "shortcuts": shortcuts["sentence"] if shortcuts else "",
        "rows": list(rows.items()),
    }


def _words(protocol: dict[str, Any] | None) -> str:
    """A protocol in one line; of another version only its fields can be shown."""
    try:
        return TaskProtocol.model_validate(protocol).describe()
    except (ValidationError, TastebenchError):
        return "its fields are not those of this version; they stand below as recorded"


def _publish_once(sections: Sequence[dict[str, Any]]) -> None:
    """Leaves a printed board with the tables of its tasks; where there are none, with the first."""
    fits = [one["published"]["fits"] for one in sections if one["published"]]
    for i, section in enumerate(sections):
        if fits and not (fits[i] if any(fits) else i == 0):
            section["published"] = None


def _published(board: Board) -> dict[str, Any] | None:
    printed = board.published
    if printed is None:
        return None
    printed_tasks = {place.partition("/")[0].partition(":")[0] for place in printed.places}
    rest: dict[str, list[float | None]] = {
        "Avg(Overall)": [row.average_overall for row in printed.rows],
        "Avg(Task)": [row.average_task for row in printed.rows],
        "ms": [row.latency_ms for row in printed.rows],
    }
    forms = {name: figures.milliseconds if name == "ms" else figures.number for name in rest}
    known = {
        name: [forms[name](value) for value in values]
        for name, values in rest.items()
        if any(value is not None for value in values)
    }
    return {
        "fits": bool({column.task for column in board.columns} & printed_tasks),
        "name": printed.name,
        "source": printed.source,
        "notes": figures.published_lines(board),
        "heads": ["model", *printed.places, *known],
        "rows": [
            [row.model, *(figures.number(row.scores.get(p)) for p in printed.places)]
            + [values[i] for values in known.values()]
            for i, row in enumerate(printed.rows)
        ],
    }
