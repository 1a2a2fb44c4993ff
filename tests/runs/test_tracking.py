"""Runs sent to a real MLflow that keeps them in a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tastebench as tb
from tastebench.data.dataset import Dataset
from tastebench.errors import DependencyError
from tastebench.runs.tracking import HASH, PROTOCOL, SUPERSEDED, plain, tracked
from tastebench.runs.watch import Watcher

PLAN: dict[str, Any] = {
    "name": "study",
    "datasets": ["tiny"],
    "tasks": ["cf"],
    "encoders": ["tfidf-svd"],
    "recommenders": [{"name": "alpharec", "params": {"epochs": 2}}, "popularity"],
    "latency_seconds": 0,
}


@pytest.fixture
def address(tmp_path: Path) -> str:
    if not os.environ.get("CI"):
        pytest.importorskip("mlflow", reason="MLflow is not installed: pip install mlflow")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def client(address: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=address)


def runs(address: str) -> list[Any]:
    known = client(address)
    experiment = known.get_experiment_by_name("study")
    return [] if experiment is None else list(known.search_runs([experiment.experiment_id]))


class Told(Watcher):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_every_run_arrives_with_its_numbers_and_its_record(
    tiny: Dataset, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MLflow keeps files of runs beside its database
    done = tb.run(PLAN, out=tmp_path / "out", workers=1, progress=False, track=address)
    found = {run.data.params["recommender"]: run for run in runs(address)}
    assert set(found) == {"alpharec", "popularity"}
    for record in done.records:
        run = found[record.spec.recommender]
        assert run.info.status == "FINISHED"
        assert run.data.tags[HASH] == record.spec_hash
        assert run.data.tags[PROTOCOL] == record.protocol_id
        told = run.data.metrics
        for name, value in record.metrics.items():
            assert told[plain(name)] == value.mean
            assert told[plain(f"{name}/low")] == value.low
        assert record.cost is not None
        assert told["cost/wall_seconds"] == record.cost.wall_seconds
        files = {file.path for file in client(address).list_artifacts(run.info.run_id)}
        assert files == {"record.json", "config.yaml"}
    trained = found["alpharec"]
    assert trained.data.params["params.epochs"] == "2"
    curve = client(address).get_metric_history(trained.info.run_id, "curve/loss")
    assert [point.step for point in curve] == [1, 2]


def test_a_run_that_is_done_again_marks_the_one_before(
    tiny: Dataset, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was finished before is not sent twice. The usual variable names the server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    plan = {**PLAN, "encoders": [], "recommenders": ["popularity"]}

    def again(**options: Any) -> list[bool]:
        tb.run(plan, out=tmp_path / "out", workers=1, progress=False, track="mlflow", **options)
        return sorted(SUPERSEDED in run.data.tags for run in runs(address))

    assert again() == [False]
    assert again() == [False]
    assert again(redo="all") == [False, True]


def test_a_failed_run_arrives_with_its_reason(
    tiny: Dataset, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    broken = {"name": "sasrec", "params": {"epochs": 1, "lr": 1e30}}
    plan = {**PLAN, "tasks": ["seqrec"], "encoders": [], "recommenders": [broken, "popularity"]}
    done = tb.run(plan, out=tmp_path / "out", workers=1, progress=False, track=address)
    assert len(done.failed) == 1
    status = {run.data.params["recommender"]: run for run in runs(address)}
    failed = status[done.failed[0].spec.recommender]
    assert failed.info.status == "FAILED"
    assert done.failed[0].error is not None
    assert failed.data.tags["tastebench.error"] == done.failed[0].error.what[:500]


def test_a_server_that_is_away_costs_no_run_and_is_said_once(
    tiny: Dataset, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    from tastebench.runs.execute import Options, carry_out, look
    from tastebench.runs.plan import make_plan

    told, out = Told(), tmp_path / "out"
    watch = tracked(told, "http://127.0.0.1:9", out)
    todo = look(make_plan(PLAN), Options(out=out, workers=1), watcher=watch)
    carry_out(todo, watcher=watch)
    assert len([line for line in told.lines if "does not take runs" in line]) == 1
    assert "http://127.0.0.1:9" in told.lines[-1] and "\n" not in told.lines[-1]
    assert len(list(out.rglob("record.json"))) == 2


def test_without_mlflow_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    with pytest.raises(DependencyError, match=r"tastebench\[tracking\]"):
        tracked(Watcher(), "http://127.0.0.1:9", tmp_path)


def test_nobody_is_told_where_nobody_asks(tmp_path: Path) -> None:
    """MLflow, which takes seconds to load, is not touched."""
    watch = Watcher()
    assert tracked(watch, None, tmp_path) is watch
    code = "import sys, tastebench.runs.tracking; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
