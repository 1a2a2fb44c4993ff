"""Results trees written by hand, in the shape in which runs leave them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.board import Board, make_board, read_board
from tastebench.board.load import Entry, sort_out
from tastebench.files import hash_json
from tastebench.metrics.interval import bootstrap
from tastebench.runs.record import Budget, Cost, Failure, Fit, MetricValue, Record
from tastebench.runs.spec import RunSpec
from tastebench.runs.store import folder_of

PROTOCOL = {"task": "seqrec", "split": {"kind": "time"}, "history_length": 50, "mask_seen": False}


def record(
    task: str = "seqrec",
    recommender: str = "unisrec",
    encoder: str | None = None,
    means: dict[str, float] | None = None,
    **changes: Any,
) -> Record:
    """A record with metrics of the given means, intervals 0.01 to both sides."""
    representation = "vector" if encoder else "id"
    spec: dict[str, Any] = {
        "task": task,
        "dataset": "shop",
        "recommender": recommender,
        "representation": representation,
        "encoder": encoder,
        **changes.pop("spec", {}),
    }
    values = {
        name: MetricValue(mean=mean, low=mean - 0.01, high=mean + 0.01, n=100)
        for name, mean in (means or {"ndcg@10": 0.1}).items()
    }
    given = {k: v for k, v in spec.items() if v is not None} | {"params": {}, "grid": {}}
    fields: dict[str, Any] = {
        "status": "ok",
        "suite": "demo",
        "row_by": "encoder",
        "spec": RunSpec(**spec),
        "given": given | changes.pop("given", {}),
        "spec_hash": hash_json(spec),
        "protocol": {**PROTOCOL, "task": task},
        "protocol_id": f"{task:0<12}"[:12],
        "budget": Budget(),
        "budget_id": "b0",
        "kind": "model",
        "headline": "ndcg@10",
        "metrics": values,
        "cost": Cost(wall_seconds=2.0),
        "fit": Fit(),
        "environment": {"packages": {"tastebench": "0.1.0"}},
        "fingerprints": {"dataset": "d" * 64},
        "created": "2026-01-01T00:00:00+00:00",
        **changes,
    }
    return Record(**fields)


def failed(**changes: Any) -> Record:
    """A record of a run that failed."""
    error = Failure(kind="DataError", what="the file is gone", fix="bring it back")
    return record(status="failed", error=error, **changes).model_copy(update={"metrics": {}})


def entries(*records: Record) -> list[Entry]:
    """Records that lie nowhere."""
    return [Entry(one) for one in records]


def write_run(
    root: Path,
    one: Record,
    values: dict[str, Sequence[float]],
    group: Sequence[str] | None = None,
    weights: dict[str, Sequence[float]] | None = None,
) -> Path:
    """Writes a record with the metrics of `values`, and its table of values per unit."""
    columns = {name: np.array(column, float) for name, column in values.items()}
    weigh = {name: np.array(column, float) for name, column in (weights or {}).items()}

    def means(rows: np.ndarray) -> dict[str, MetricValue]:
        found = {}
        for name, column in columns.items():
            weight = weigh[name][rows] if name in weigh else None
            interval = bootstrap(column[rows], np.random.default_rng(1), weights=weight)
            ends = [None if np.isnan(x) else float(x) for x in interval[:3]]
            found[name] = MetricValue(
                mean=ends[0], low=ends[1], high=ends[2], n=interval.n, undefined=interval.undefined
            )
        return found

    n = len(next(iter(columns.values())))
    labels = np.array(group) if group is not None else None
    changes: dict[str, Any] = {"metrics": means(np.ones(n, bool))}
    if labels is not None:
        changes["groups"] = {str(g): means(labels == g) for g in dict.fromkeys(labels.tolist())}
    one = one.model_copy(update=changes)
    folder = folder_of(root, one)
    one.write(folder)
    frame = pl.DataFrame({"user_id": [f"u{i}" for i in range(n)]}).with_columns(
        *(pl.Series(name, column).fill_nan(None) for name, column in columns.items()),
        *(pl.Series(f"weight:{name}", column) for name, column in weigh.items()),
    )
    if labels is not None:
        frame = frame.with_columns(pl.Series("group", labels.tolist()))
    frame.write_parquet(folder / "per_user.parquet")
    return folder


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder as a quickstart leaves it: three tasks, encoders, controls, a ceiling.

    Made once for all tests: none of them may write there.
    """
    root = tmp_path_factory.mktemp("tree") / "results"
    rng = np.random.default_rng(0)
    n = 300
    base = {task: rng.random(n) for task in ("search", "seqrec", "cf")}
    plan: list[tuple[str, str, str | None, str, float]] = []
    strengths = {"minilm": 0.55, "tfidf-svd": 0.5, "random": 0.2}
    through = {"search": "dot", "seqrec": "unisrec", "cf": "alpharec"}
    for encoder, strength in strengths.items():
        kind = "control" if encoder == "random" else "model"
        plan += [(t, through[t], encoder, kind, strength) for t in base]
    plan += [(t, "random", None, "control", 0.05) for t in base]
    plan += [("search", "bm25", None, "control", 0.45)]
    plan += [(t, "popularity", None, "control", 0.3) for t in ("seqrec", "cf")]
    plan += [(t, "oracle", None, "ceiling", 0.95) for t in base]
    for task, recommender, encoder, kind, strength in plan:
        for seed in (0, 1) if recommender in {"unisrec", "alpharec"} else (0,):
            noise = np.random.default_rng(seed + 10).random(n)
            values = np.clip(strength * (0.5 + base[task]) * (0.9 + 0.2 * noise), 0, 1)
            metrics = {"ndcg@10": values, "recall@10": (values > 0.4).astype(float)}
            group = ["short" if i % 2 else "complex" for i in range(n)]
            write_run(
                root,
                record(task, recommender, encoder, kind=kind, spec={"seed": seed}),
                {name: column.tolist() for name, column in metrics.items()},
                group if task == "search" else None,
            )
    failed(task="cf", recommender="alpharec", encoder="broken").write(
        root / "demo/shop/cf/alpharec-vector-broken/0"
    )
    return root


@pytest.fixture(scope="session")
def tree_board(tree: Path) -> Board:
    """The board of `tree`, read once."""
    return read_board(tree)


# Test modules are imported apart from each other, so they get these by name.
@pytest.fixture(name="record")
def _record() -> Callable[..., Record]:
    return record


@pytest.fixture(name="failed")
def _failed() -> Callable[..., Record]:
    return failed


@pytest.fixture(name="entries")
def _entries() -> Callable[..., list[Entry]]:
    return entries


@pytest.fixture(name="write_run")
def _write_run() -> Callable[..., Path]:
    return write_run


PLACES = [
    ("search", "esci", "short"),
    ("search", "amazon-c4", "complex"),
    ("search", "reddit-movie", "complex"),
    *(("seqrec", name, None) for name in ("amazon-2023-video-games", "amazon-2023-all-beauty")),
    *(("seqrec", name, None) for name in ("amazon-2023-baby-products", "ml-1m", "yelp")),
    *(("cf", name, None) for name in ("amazon-2023-video-games", "amazon-2023-all-beauty")),
    *(("cf", name, None) for name in ("amazon-2023-baby-products", "ml-1m", "yelp")),
    ("cf", "book-crossing", None),
]


@pytest.fixture(scope="session")
def wide_board() -> Board:
    """Nine encoders of long names and two controls on the 14 columns of BLaIR, three seeds."""
    through = {"search": "dot", "seqrec": "unisrec", "cf": "alpharec"}
    encoders = [f"organisation-{i}/an-encoder-of-size-{i}B" for i in range(9)]
    controls = ["random", f"shuffled:{encoders[0]}"]
    records = []
    for task, dataset, group in PLACES:
        for i, encoder in enumerate([*encoders, *controls]):
            for seed in (0,) if task == "search" else (0, 1, 2):
                one = record(
                    *(task, through[task], encoder),
                    {"ndcg@10": 0.9 - 0.05 * i + 0.001 * seed},
                    kind="control" if encoder in controls else "model",
                    spec={"dataset": dataset, "seed": seed},
                    protocol_id=hash_json([task, dataset])[:12],
                )
                groups = {group: one.metrics} if group else {}
                records.append(one.model_copy(update={"groups": groups}))
    return make_board(sort_out(entries(*records)))
