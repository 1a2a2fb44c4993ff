"""What is to be known when a printed table is read beside one's own: in what the two differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tastebench.board.model import Board, Column, Row
from tastebench.board.published import Published

_BENCHMARK = "recbench/"


def beside(board: Board, printed: Published) -> list[str]:
    """A line for each dataset and setting in which own and printed numbers may differ."""
    tasks = {place.partition("/")[0].partition(":")[0] for place in printed.places}
    columns = [column for column in board.columns if column.task in tasks]
    if not columns or not printed.setting:
        return []
    rows = [row for row in board.ranked if row.kind == "model" and tasks & row.recommender.keys()]
    own = {
        "history": _histories(board, columns),
        "split": _distinct(asked["split"][0] for asked in _asked(board, columns) if asked["split"]),
        "behaviour": _distinct(_behaviour(one) for one in _asked(board, columns)),
        "predictors": _distinct(variant for row in rows for variant in _variants(row)),
        "encoder": _distinct(row.encoder for row in rows if "vector" in row.representation),
        "seeds": _distinct(sorted({one.seeds for row in rows for one in row.scores.values()})),
        "budget": _distinct(budget for row in rows for budget in _budgets(row)),
    }
    return [
        *_datasets(board, printed, columns),
        *(
            f"{what}: {own[what]} here; printed: {theirs}"
            for what, theirs in printed.setting.items()
            if own.get(what)
        ),
    ]


def _datasets(board: Board, printed: Published, columns: list[Column]) -> Iterator[str]:
    """What was asked here and there, of the datasets that both have; which one has alone."""
    alone = []
    for column, asked in zip(columns, _asked(board, columns), strict=True):
        if f"{column.part}/{_printed_name(column.dataset)}" in printed.places:
            yield from _both(column, asked.get("counts") or {})
        elif column.dataset not in alone:
            alone.append(column.dataset)
    if alone:
        yield f"{', '.join(alone)}: not in the printed table"


def _printed_name(dataset: str) -> str:
    """What the benchmark calls a dataset, also where its own code's rules made it."""
    return dataset.replace("recbench-reference/", _BENCHMARK, 1)


def _both(column: Column, counts: dict[str, int]) -> Iterator[str]:
    """Sizes of a test part beside the published ones, and how its files are read otherwise."""
    from tastebench.data.sources.recbench import VIEWS
    from tastebench.data.sources.recbench_counts import TABLE_2

    name = _printed_name(column.dataset).removeprefix(_BENCHMARK)
    theirs = TABLE_2.get(name)
    if theirs is not None and column.task == "ctr" and {"asked", "users"} <= counts.keys():
        rows, users = counts["asked"], counts["users"]
        yield (
            f"{column.dataset}: {rows:,} rows of {users:,} users in test here; printed: "
            f"{theirs.test.rows:,} of {theirs.test.users:,}"
        )
    yield f"{column.dataset}: tastebench data check {column.dataset} compares all counts"
    yield from (f"{column.dataset}: {reads}" for reads in VIEWS[name].reads)


def _asked(board: Board, columns: list[Column]) -> list[dict[str, Any]]:
    by_id = {(one["id"], one["dataset"]): one for one in board.protocols}
    return [by_id[column.protocol, column.dataset] for column in columns]


def _behaviour(asked: dict[str, Any]) -> str | None:
    if asked["dataset"].startswith("recbench-reference/"):
        return "rows as the reference's code makes them"
    return _protocol(asked).get("behaviour")


def _protocol(asked: dict[str, Any]) -> dict[str, Any]:
    return asked["protocol"] or {}


def _histories(board: Board, columns: list[Column]) -> str:
    lengths = {_protocol(one).get("history_length") for one in _asked(board, columns)}
    return _distinct(f"latest {n} items" for n in sorted(n for n in lengths if n is not None))


def _variants(row: Row) -> Iterator[str]:
    """Which definitions a row's networks follow."""
    for params in row.params.values():
        predictor = params.get("predictor")
        if isinstance(predictor, dict) and "variant" in predictor:
            yield f"variant: {predictor['variant']}"


def _budgets(row: Row) -> Iterator[str]:
    """How a row that is trained by epochs was trained."""
    for params in row.params.values():
        if {"lr", "batch_size", "epochs", "patience"} <= params.keys():
            yield (
                f"Adam at {params['lr']:g}, batches of {params['batch_size']:,}, at most "
                f"{params['epochs']} epochs, patience {params['patience']}"
            )


def _distinct(values: Any) -> str:
    return " or ".join(str(value) for value in dict.fromkeys(values) if value is not None)
