"""The record of a run, from what it measured or from why it failed."""

from __future__ import annotations

import math
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench import files
from tastebench.errors import TastebenchError
from tastebench.runs import environment
from tastebench.runs.job import Job
from tastebench.runs.record import Cost, Failure, MetricValue, Record, Trial
from tastebench.runs.spec import named

if TYPE_CHECKING:
    import numpy as np

    from tastebench.contracts import Evaluation
    from tastebench.data.card import SplitSpec
    from tastebench.data.dataset import Dataset
    from tastebench.data.shortcut_facts import Shortcuts
    from tastebench.tasks.protocol import TaskProtocol


def failed(job: Job, error: BaseException | Failure, seconds: float) -> Record:
    """The record of a run that failed."""
    return Record(
        status="failed",
        **asked_for(job, job.run.spec.params),
        cost=Cost(wall_seconds=seconds, threads=job.run.spec.threads, isolated=job.isolated),
        environment=environment.describe(),
        error=error if isinstance(error, Failure) else explain(error),
        created=now(),
    )


_NO_MEMORY = {
    "OutOfMemoryError": "the GPU has no memory left for this run and what else runs on it",
    "MemoryError": "there is no memory left for this run and what else runs here",
}
_LESS = "--workers 1, a smaller batch_size, or precision: bf16; then --redo failed"


def explain(error: BaseException) -> Failure:
    """An error as it stands in a record: for a user's mistake no trace, never a folder's path."""
    # For want of room everything after it would fail too, so the plan stops at this kind.
    kind = "NoRoom" if files.no_room(error) else type(error).__name__
    if isinstance(error, TastebenchError):
        parts = (error.what, error.where, error.fix)
        what, where, fix = (without_folders(part) if part else None for part in parts)
        return Failure(kind=kind, what=what or kind, where=where, fix=fix)
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    trace = tuple(f"{Path(f.filename).name}:{f.lineno} in {f.name}" for f in frames)
    if kind in _NO_MEMORY:
        # What is raised lists every process of the machine, and not what to do.
        return Failure(kind=kind, what=_NO_MEMORY[kind], fix=_LESS, trace=trace)
    # What others raise often says little without its kind: `KeyError: 'user'`.
    what = f"{kind}: {without_folders(str(error))}" if str(error) else kind
    return Failure(kind=kind, what=what, trace=trace)


def asked_for(job: Job, params: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record that are known before the run."""
    run = job.run
    return {
        "partial": run.partial,
        "preliminary": job.preliminary,
        "suite": job.suite,
        "row_by": job.row_by,
        "spec": run.spec.model_copy(update={"params": named(params), "grid": named(run.spec.grid)}),
        "given": named(run.given),
        "spec_hash": run.spec_hash,
        "protocol": run.protocol.model_dump(mode="json"),
        "protocol_id": run.protocol_id,
        "budget": run.budget.model_copy(update={"grid": named(run.budget.grid)}),
        "budget_id": run.budget_id,
        "kind": run.kind,
        "headline": run.headline,
    }


def told(trial: Trial) -> Trial:
    """A trial as it stands beside a record."""
    error = None if trial.error is None else without_folders(trial.error)
    return trial.model_copy(update={"params": named(trial.params), "error": error})


def intervals(evaluation: Evaluation, seed: int) -> dict[str, MetricValue]:
    """The (weighted) mean of every metric with its bootstrap interval."""
    from tastebench.metrics.interval import bootstrap
    from tastebench.training.seeds import generator

    values = {}
    for name, column in evaluation.values.items():
        rng = generator(seed, f"interval {name}")
        interval = bootstrap(column, rng, weights=evaluation.weights.get(name))
        values[name] = MetricValue(
            mean=number(interval.mean),
            low=number(interval.low),
            high=number(interval.high),
            n=interval.n,
            undefined=interval.undefined,
        )
    return values


def groups(evaluation: Evaluation, seed: int) -> dict[str, dict[str, MetricValue]]:
    """The same within each group, where the units have a segment `group`."""
    labels = evaluation.segments.get("group")
    if labels is None:
        return {}
    return {
        str(label): intervals(_part(evaluation, labels == label), seed)
        for label in dict.fromkeys(labels.tolist())
    }


def _part(evaluation: Evaluation, mask: np.ndarray) -> Evaluation:
    """The values of some of the units, with their weights."""
    return replace(
        evaluation,
        values={name: column[mask] for name, column in evaluation.values.items()},
        weights={name: column[mask] for name, column in evaluation.weights.items()},
    )


def leaks(split: SplitSpec | None) -> tuple[str, ...]:
    """How the data were cut and what that leaks; nothing where nothing was cut."""
    if split is None:
        return ()
    from tastebench.data.split import LEAKS
    from tastebench.tasks.protocol import describe_split

    return describe_split(split), LEAKS[split.kind]


def shortcuts(dataset: Dataset, protocol: TaskProtocol) -> Shortcuts | None:
    """What the dataset, cut in this way, gives away of next items; None for other tasks."""
    if protocol.task != "seqrec" or protocol.split is None:
        return None
    from tastebench.data.shortcuts import kept_shortcuts

    return kept_shortcuts(dataset, protocol.split)


def number(value: float) -> float | None:
    """NaN is not JSON: undefined is None."""
    return None if math.isnan(value) else float(value)


def now() -> str:
    """The time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def without_folders(text: str) -> str:
    """The text with the user's own folders as `~` and the like: a record may be published."""
    known = {str(files.home()): "$TASTEBENCH_HOME", str(Path.cwd()): ".", str(Path.home()): "~"}
    for folder in sorted((f for f in known if f != "/"), key=len, reverse=True):
        text = text.replace(folder, known[folder])
    return text
