"""A results folder as anybody may hand it over: sound, failed, broken and hostile records."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.files import hash_json, read_sealed, write_json
from tastebench.runs.record import Failure, Record
from tastebench.runs.store import folder_of

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>"
RIGHT_TO_LEFT = "מקודד עברי 🎁"


def hostile_copy(root: Path, folder: Path, **changes: str) -> None:
    """A run again under other names."""
    one = Record.read(folder / "record.json")
    spec = one.spec.model_copy(
        update={k: v for k, v in changes.items() if k in ("encoder", "dataset")}
    )
    kept = {k: v for k, v in changes.items() if k == "suite"}
    copy = one.model_copy(update={"spec": spec, "spec_hash": hash_json(changes), **kept})
    copy = copy.model_copy(update={"given": {**one.given, **changes}})
    shutil.copytree(folder, folder_of(root, copy))
    copy.write(folder_of(root, copy))


@pytest.fixture(scope="session")
def results(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of boards with costs, curves, segments, and all that should not be there."""
    root = tmp_path_factory.mktemp("report") / "results"
    shutil.copytree(tree, root)
    paths = sorted(root.rglob("record.json"))
    for i, path in enumerate(paths):
        value = read_sealed(path)
        if value["status"] == "failed":
            continue
        p50 = 0.5 + i
        times = {"p50": p50, "p95": 2 * p50, "p99": 3 * p50, "n": 10}
        latency = {"cached": times, "first_ms": 1.0, "k": 10, "budget_seconds": 1.0}
        value["cost"] |= {"latency": latency, "fit_seconds": 1.0 + i}
        write_json(path, value)
        table = pl.read_parquet(path.parent / "per_user.parquet")
        history = np.where(np.arange(table.height) % 3, "1-4", "5-9").tolist()
        table.with_columns(history=pl.Series(history)).write_parquet(
            path.parent / "per_user.parquet"
        )
        curve = {"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "valid": [0.1, 0.2, 0.15 + i / 1000]}
        pl.DataFrame(curve).write_parquet(path.parent / "curves.parquet")
        (path.parent / "config.yaml").write_text(f"# {HOSTILE}\nname: demo\n", encoding="utf-8")
    seqrec = next(p.parent for p in paths if "unisrec-vector-minilm" in str(p))
    hostile_copy(root, seqrec, encoder=HOSTILE)
    hostile_copy(root, seqrec, encoder=RIGHT_TO_LEFT)
    hostile_copy(root, seqrec, encoder="minilm", dataset=HOSTILE, suite="second-plan")
    fails = next(root.rglob("alpharec-vector-broken")) / "0" / "record.json"
    one = Record.read(fails)
    error = Failure(kind="DataError", what=HOSTILE, where=HOSTILE, fix=HOSTILE)
    one.model_copy(update={"error": error, "spec_hash": "fa11ed"}).write(fails.parent)
    for name, text in {"half": '{"schema_version": 1, "sta', "foreign": '{"loss": 3}'}.items():
        (root / "demo" / name).mkdir(parents=True)
        (root / "demo" / name / "record.json").write_text(text, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that is markup."""
    return HOSTILE


@pytest.fixture(scope="session")
def right_to_left() -> str:
    """A name in another direction, with an emoji."""
    return RIGHT_TO_LEFT
