"""Runs as they end, sent to an MLflow server; the records stay what counts.

A run of a plan becomes a run of MLflow in an experiment of the plan's name: hyper-parameters,
metrics with the ends of their intervals, the learning curve by epoch, costs, and the record itself.
A server that fails is said once and costs no run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tastebench.data.offline import refuse_if_offline
from tastebench.errors import DependencyError
from tastebench.runs import store
from tastebench.runs.labels import flat
from tastebench.runs.record import Record
from tastebench.runs.watch import Watcher

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

HASH, PROTOCOL, SUPERSEDED = "tastebench.spec_hash", "tastebench.protocol", "tastebench.superseded"
"""Tags: the identity of a run, the question it answers, and that a later one did it again."""

_HERE = ("sqlite:", "file:", "http://localhost", "http://127.0.0.1", "http://[::1]")
_FILES = ("record.json", "config.yaml")
_AT_ONCE = 100
_LONGEST = 500


class Several(Watcher):
    """Tells several watchers.

    Args:
        watchers: In the order in which they are told.
    """

    def __init__(self, *watchers: Watcher) -> None:
        self._watchers = watchers

    @override
    def say(self, line: str) -> None:
        self._each(lambda one: one.say(line))

    @override
    def begin(self, labels: Sequence[tuple[str, str]], finished: int) -> None:
        self._each(lambda one: one.begin(labels, finished))

    @override
    def started(self, key: str) -> None:
        self._each(lambda one: one.started(key))

    @override
    def stage(self, key: str, text: str) -> None:
        self._each(lambda one: one.stage(key, text))

    @override
    def ended(self, key: str, record: Record | None, problem: str | None = None) -> None:
        self._each(lambda one: one.ended(key, record, problem))

    @override
    def end(self) -> None:
        self._each(lambda one: one.end())

    def _each(self, tell: Callable[[Watcher], None]) -> None:
        for watcher in self._watchers:
            tell(watcher)


class Tracking(Watcher):
    """Sends every run that ends to MLflow.

    Args:
        uri: Address of a server, or of what MLflow keeps by itself, e.g. `sqlite:///mlflow.db`.
        out: Where the records lie.
        say: Takes a line for people.

    Raises:
        DependencyError: MLflow is not installed.
    """

    def __init__(self, uri: str, out: Path, say: Callable[[str], None]) -> None:
        try:
            from mlflow.exceptions import MlflowException
            from mlflow.tracking import MlflowClient
        except ImportError as error:
            raise DependencyError(
                "sending runs to MLflow needs its package",
                fix="pip install 'tastebench[tracking]'",
            ) from error
        self._client = MlflowClient(tracking_uri=uri)
        self._failures = (MlflowException, OSError)
        self._uri, self._out, self._say = uri, out, say
        self._experiments: dict[str, str] = {}
        self._broken = False

    @override
    def ended(self, key: str, record: Record | None, problem: str | None = None) -> None:
        if record is None or self._broken:
            return
        try:
            send(self._client, self._experiment(record.suite), record, self._out)
        except self._failures as error:
            self._broken = True
            told = str(error).strip().splitlines() or [type(error).__name__]
            self._say(
                f"MLflow at {self._uri} does not take runs, and gets no more of them: {told[0]}. "
                "Records are written as always"
            )

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            found = self._client.get_experiment_by_name(name)
            self._experiments[name] = (
                self._client.create_experiment(name) if found is None else found.experiment_id
            )
        return self._experiments[name]


def tracked(watch: Watcher, address: str | None, out: Path) -> Watcher:
    """A watcher beside whom MLflow is told, where there is an address.

    Args:
        watch: Told as well, and of what goes wrong.
        address: Of MLflow; `mlflow` is that of `MLFLOW_TRACKING_URI`, else `mlflow.db` here.
        out: Where the records lie.

    Raises:
        DependencyError: MLflow is not installed.
        OfflineError: It is a server, and the network is not to be used.
    """
    if address is None:
        return watch
    if address == "mlflow":
        address = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    if "://" in address and not address.startswith(_HERE):
        refuse_if_offline(
            "runs would be sent to a server of MLflow",
            where=address.partition("://")[2].rpartition("@")[2],
            fix="--track sqlite:///mlflow.db keeps them in a file here, or leave --track away",
        )
    return Several(watch, Tracking(address, out, watch.say))


def send(client: MlflowClient, experiment: str, record: Record, out: Path) -> str:
    """A record as a run of MLflow; one of the same identity before it is marked as superseded.

    Args:
        client: Of the server.
        experiment: Its id.
        record: What is sent.
        out: Where records lie.

    Returns:
        The id of the run.
    """
    from mlflow.entities import Param, RunTag

    for old in client.search_runs([experiment], f"tags.`{HASH}` = '{record.spec_hash}'"):
        client.set_tag(old.info.run_id, SUPERSEDED, "true")
    spec = record.spec
    made = client.create_run(experiment, run_name=f"{spec.label} seed {spec.seed}")
    run: str = made.info.run_id
    tags = [RunTag(name, value[:_LONGEST]) for name, value in _tags(record).items()]
    params = [Param(name, str(value)[:_LONGEST]) for name, value in _params(record).items()]
    client.log_batch(run, tags=tags)
    for some in _chunks(params):
        client.log_batch(run, params=some)
    folder = store.folder_of(out, record)
    for points in _chunks(_points(record, folder, made.info.start_time)):
        client.log_batch(run, metrics=points)
    for name in _FILES:
        if (folder / name).is_file():
            client.log_artifact(run, str(folder / name))
    client.set_terminated(run, "FINISHED" if record.status == "ok" else "FAILED")
    return run


def _tags(record: Record) -> dict[str, str]:
    tags = {HASH: record.spec_hash, PROTOCOL: record.protocol_id, "tastebench.kind": record.kind}
    if record.partial:
        tags["tastebench.partial"] = "true"
    if record.error is not None:
        tags["tastebench.error"] = record.error.what
    return tags


def _params(record: Record) -> dict[str, Any]:
    axes = {key: value for key, value in record.spec.axes.items() if value is not None}
    return {**axes, **flat(record.spec.params, "params.")}


def _points(record: Record, folder: Path, time: int) -> Iterator[Any]:
    """Everything that is a number, and the curve by epoch."""
    from mlflow.entities import Metric

    for name, value in _numbers(record).items():
        yield Metric(plain(name), value, time, 0)
    curve = folder / "curves.parquet"
    if not curve.is_file():
        return
    import polars as pl

    for row in pl.read_parquet(curve).iter_rows(named=True):
        for name in ("loss", "valid"):
            if row[name] is not None:
                yield Metric(f"curve/{name}", row[name], time, row["epoch"])


def _numbers(record: Record) -> dict[str, float]:
    """Metrics with the ends of their intervals, those of the validation part, and costs."""
    found: dict[str, float | None] = {}
    for name, value in record.metrics.items():
        found |= {name: value.mean, f"{name}/low": value.low, f"{name}/high": value.high}
    found |= {f"valid/{name}": mean for name, mean in record.valid.items()}
    if record.cost is not None:
        told = record.cost.model_dump(mode="json")
        found |= {
            f"cost/{name}": float(value)
            for name, value in flat(told).items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
    return {name: value for name, value in found.items() if value is not None}


def plain(name: str) -> str:
    """A metric by letters that MLflow allows.

    >>> plain("ndcg@10/low")
    'ndcg_at_10/low'
    """
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name.replace("@", "_at_"))


def _chunks(values: Any) -> Iterator[list[Any]]:
    taken = iter(values)
    while some := list(islice(taken, _AT_ONCE)):
        yield some
