"""From records to a board."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tastebench.board.average import average
from tastebench.board.borda import borda_points, final_ranks, overall_average, task_average
from tastebench.board.cells import Cell, cost_of, make_cell
from tastebench.board.energy import energy_notes, energy_of
from tastebench.board.gate import check_protocols, main_protocol
from tastebench.board.load import Entry, Loaded, identity, load
from tastebench.board.marks import marks_of, usual_of
from tastebench.board.million import per_million
from tastebench.board.model import Board, Column, Kind, Row, RowBy, Score, row_by_of
from tastebench.board.names import Grouping, group_cells
from tastebench.board.questions import gflops_of, tokens_of
from tastebench.board.ranks import rank_intervals
from tastebench.board.summary import summarise
from tastebench.board.thousand import thousand_notes, thousand_of
from tastebench.errors import UsageError, did_you_mean
from tastebench.metrics.grammar import parse
from tastebench.runs.record import Record
from tastebench.tasks import TASKS

_SEED = 0  # equal records make equal boards


def read_board(
    root: Path,
    *,
    metric: str | None = None,
    task: str | None = None,
    mixed: bool = False,
    row_by: RowBy | None = None,
) -> Board:
    """The board of all records under a results folder.

    Args:
        root: Results folder, or a folder of one plan below it.
        metric: Rank by this metric instead of each task's headline.
        task: Only the columns of this task, or of this group of one, e.g. `search:short`.
        mixed: Let different protocols stand in one column, marked.
        row_by: What a row is; None means what the plan says.

    Raises:
        UsageError: No such folder, records of several plans, no such metric or task.
        DataError: No records, or an unreadable one.
        ProtocolError: Two protocols in one column, and not `mixed`.
    """
    return make_board(load(root), metric=metric, task=task, mixed=mixed, row_by=row_by)


def make_board(
    loaded: Loaded,
    *,
    metric: str | None = None,
    task: str | None = None,
    mixed: bool = False,
    row_by: RowBy | None = None,
) -> Board:
    """The board of records that are already read; arguments and errors as `read_board`."""
    loaded = loaded if task is None else of_task(loaded, task)
    everyone = [*(e.record for e in loaded.entries), *loaded.failed]
    cells = cells_of(loaded, mixed=mixed)
    columns, notes = columns_of(cells, metric)
    columns = columns if task is None else within(columns, task)
    wanted: RowBy = row_by or row_by_of(everyone[0].row_by if everyone else "encoder")
    grouping = group_cells(cells, wanted)
    rows = _ranked([_row(grouping, name) for name in grouping.rows], columns)
    rows = _with_rank_intervals(rows, grouping, columns)
    usual = usual_of(cells)
    rows = [
        replace(row, marks=marks_of(row, grouping.rows[row.name], rows, columns, usual))
        for row in rows
    ]
    if any(not cell.intervals for cell in cells):
        notes.append("some tables of values per unit are gone: no intervals over their seeds")
    board = Board(
        suite=everyone[0].suite if everyone else "",
        row_by=grouping.row_by,
        columns=columns,
        protocols=_protocols(cells),
        rows=tuple(sorted(rows, key=_order)),
        failed=tuple(_failure(record) for record in loaded.failed),
        notes=(
            *loaded.notes,
            *notes,
            *grouping.notes,
            *_uncontrolled(rows),
            *thousand_notes(rows),
            *energy_notes(rows),
        ),
        versions=_versions(cells),
        preliminary=any(record.preliminary for record in everyone),
    )
    return replace(board, summary=summarise(board))


def of_task(loaded: Loaded, task: str) -> Loaded:
    """The records of one task; those of all its groups, where it names a group.

    Raises:
        UsageError: There are none.
    """
    task = task.partition(":")[0]
    records = [*(entry.record for entry in loaded.entries), *loaded.failed]
    tasks = dict.fromkeys(record.spec.task for record in records)
    if records and task not in tasks:
        raise UsageError(
            f"no record is of a task {task!r}: {did_you_mean(task, tasks)}",
            fix=f"--task {next(iter(tasks))}",
        )
    return replace(
        loaded,
        entries=tuple(entry for entry in loaded.entries if entry.record.spec.task == task),
        failed=tuple(record for record in loaded.failed if record.spec.task == task),
    )


def within(columns: tuple[Column, ...], task: str) -> tuple[Column, ...]:
    """The columns of a task, or of one group of it.

    Raises:
        UsageError: There are none.
    """
    kept = tuple(column for column in columns if task in (column.task, column.part))
    if columns and not kept:
        parts = dict.fromkeys(column.part for column in columns)
        raise UsageError(
            f"no column is of {task!r}: {did_you_mean(task, parts)}",
            fix=f"--task {next(iter(parts))}",
        )
    return kept


def cells_of(loaded: Loaded, *, mixed: bool = False) -> list[Cell]:
    """One cell a setting, in the order of the records.

    Raises:
        ProtocolError: Two protocols in one column, and not `mixed`.
    """
    entries = loaded.entries
    by_place: dict[tuple[str, str], list[Entry]] = {}
    by_setting: dict[str, list[Entry]] = {}
    for entry in entries:
        spec = entry.record.spec
        by_place.setdefault((spec.task, spec.dataset), []).append(entry)
        by_setting.setdefault(entry.setting, []).append(entry)
    for place in by_place.values():
        check_protocols([entry.record for entry in place], mixed)
    return [make_cell(seeds) for seeds in by_setting.values()]


def columns_of(
    cells: Sequence[Cell], metric: str | None = None
) -> tuple[tuple[Column, ...], list[str]]:
    """The ranking columns in the order of the tasks, and what to say about them.

    Raises:
        UsageError: No record has this metric.
    """
    if metric is not None:
        metric = str(parse(metric))
        measured = sorted({name for cell in cells for _, name in cell.scores})
        if cells and metric not in measured:
            raise UsageError(
                f"no record has {metric}: {did_you_mean(metric, measured)}",
                fix=f"--metric {cells[0].record.headline}",
            )
    places: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        places.setdefault((cell.record.spec.task, cell.record.spec.dataset), []).append(cell)
    columns, without = [], []
    for (task, dataset), mine in sorted(places.items(), key=_task_order):
        protocol = main_protocol(cell.record.protocol_id for cell in mine)
        base = next(c for c in mine if c.record.protocol_id == protocol).record
        name = metric or base.headline
        groups: list[str | None] = list(dict.fromkeys(g for c in mine for g in c.record.groups))
        found = [
            Column(task, group, dataset, name, protocol)
            for group in groups or [None]
            if any((group, name) in cell.scores for cell in mine)
        ]
        columns += found
        if not found:
            without.append(f"{task} on {dataset}")
    notes = [f"without {metric}, so not on this board: {', '.join(without)}"] if without else []
    return tuple(columns), notes


def _task_order(place: tuple[tuple[str, str], list[Cell]]) -> tuple[int, str, list[str | int]]:
    """Tasks as listed everywhere, those of other packages last; then datasets, 9 before 10."""
    task, dataset = place[0]
    known = TASKS.names()
    parts = [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", dataset)]
    return known.index(task) if task in known else len(known), task, parts


def _row(grouping: Grouping, name: str) -> Row:
    cells = grouping.rows[name]
    specs = [cell.record.spec for cell in cells]
    return Row(
        name=name,
        kind=_kind(cells),
        recommender={spec.task: spec.recommender for spec in specs},
        representation=", ".join(dict.fromkeys(spec.representation for spec in specs)),
        encoder=next((spec.encoder for spec in specs if spec.encoder), None),
        scores={
            Column(
                cell.record.spec.task, group, cell.record.spec.dataset, metric, score.protocol
            ).key: score
            for cell in cells
            for (group, metric), score in cell.scores.items()
        },
        cost={
            **cost_of(cells),
            "per_million": per_million(cells),
            "per_thousand": thousand_of(cells),
            "energy": energy_of(cells),
            "tokens": tokens_of(cells),
            "gflops": gflops_of(cells),
        },
        params={f"{spec.task}/{spec.dataset}": spec.params for spec in specs},
    )


def _kind(cells: Sequence[Cell]) -> Kind:
    kinds = {cell.record.kind for cell in cells}
    if "ceiling" in kinds:
        return "ceiling"
    return "control" if "control" in kinds else "model"


def _uncontrolled(rows: Sequence[Row]) -> list[str]:
    """Said where encoders stand with nothing to show what vectors without meaning reach."""
    kinds = {row.kind for row in rows if row.encoder is not None}
    missing = "model" in kinds and "control" not in kinds
    return ["no control vectors here: add `random` to the plan's encoders"] if missing else []


def _ranked(rows: Sequence[Row], columns: Sequence[Column]) -> list[Row]:
    """The rows with Borda, rank and averages; a ceiling takes no part."""
    taking = [row for row in rows if row.kind != "ceiling"]
    scores = _matrix(taking, columns)
    signs = np.array([column.sign for column in columns])
    points = borda_points(scores * signs).sum(axis=1)
    ranks = final_ranks(points)
    place = {row.name: i for i, row in enumerate(taking)}
    return [_placed(row, columns, place.get(row.name), points, ranks) for row in rows]


def _with_rank_intervals(
    rows: Sequence[Row], grouping: Grouping, columns: Sequence[Column]
) -> list[Row]:
    """The rows with how sure their ranks are, where that can be said."""
    taking = {row.name: grouping.rows[row.name] for row in rows if row.kind != "ceiling"}
    found = rank_intervals(taking, columns, np.random.default_rng(_SEED))
    return [
        replace(row, rank_low=rank.low, rank_high=rank.high, p_first=rank.first)
        if (rank := found.get(row.name)) is not None
        else row
        for row in rows
    ]


def _placed(
    row: Row, columns: Sequence[Column], i: int | None, points: np.ndarray, ranks: np.ndarray
) -> Row:
    """A row with its place among those that take part, and its averages."""
    own = _matrix([row], columns)
    ranked = i is not None and len(columns) > 0
    # A mean over columns of which some are better when lower means nothing.
    averaged = len(columns) > 0 and all(column.sign > 0 for column in columns)
    return replace(
        row,
        tasks=_tasks(row, columns),
        rank=int(ranks[i]) if ranked else None,
        borda=float(points[i]) if ranked else None,
        missing=int(np.isnan(own).sum()),
        average_overall=_number(overall_average(own)[0]) if averaged else None,
        average_task=_number(task_average(own, [c.part for c in columns])[0]) if averaged else None,
    )


def _tasks(row: Row, columns: Sequence[Column]) -> dict[str, Score]:
    """The mean of each task whose columns the row has all and that is about one direction."""
    found = {}
    for part in dict.fromkeys(column.part for column in columns):
        own = [column for column in columns if column.part == part]
        scores = [score for column in own if (score := row.scores.get(column.key)) is not None]
        if len(scores) == len(own) and len({column.sign for column in own}) == 1:
            found[part] = average(scores)
    return {part: score for part, score in found.items() if score is not None}


def _matrix(rows: Sequence[Row], columns: Sequence[Column]) -> np.ndarray:
    """Means `[rows, columns]`, NaN where missing."""
    means = [[row.mean(column) for column in columns] for row in rows]
    filled = [[np.nan if mean is None else mean for mean in line] for line in means]
    return np.array(filled, dtype=np.float64).reshape(len(rows), len(columns))


def _order(row: Row) -> tuple[bool, int, str]:
    return row.kind == "ceiling", row.rank or 0, row.name


def _protocols(cells: Sequence[Cell]) -> tuple[dict[str, Any], ...]:
    """Each question once: what was asked, of which data, and what its split leaks."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for cell in cells:
        spec = cell.record.spec
        found.setdefault((spec.task, spec.dataset, cell.record.protocol_id), []).append(cell.record)
    return tuple(
        {
            "id": protocol_id,
            "task": task,
            "dataset": dataset,
            "dataset_fingerprint": records[0].fingerprints.get("dataset"),
            "split": list(records[0].split),
            "shortcuts": next((r.shortcuts.to_dict() for r in records if r.shortcuts), None),
            "protocol": records[0].protocol,
            "counts": _alike([record.counts for record in records]),
        }
        for (task, dataset, protocol_id), records in found.items()
    )


def _alike(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    """What all counted alike: it is of the question, and not of an answer."""
    first, *rest = counts
    return {name: n for name, n in first.items() if all(one.get(name) == n for one in rest)}


def _failure(record: Any) -> dict[str, Any]:
    error = record.error
    return {**identity(record), "error": error.model_dump(mode="json") if error else None}


def _versions(cells: Iterable[Cell]) -> tuple[str, ...]:
    found = {(cell.record.environment.get("packages") or {}).get("tastebench") for cell in cells}
    return tuple(sorted(str(version) for version in found if version))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
