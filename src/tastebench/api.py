"""`tastebench.run` and its result: a study from Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench import suites
from tastebench.errors import UsageError, counted, did_you_mean
from tastebench.runs import store
from tastebench.runs.execute import Options, Redo, Todo, carry_out, look
from tastebench.runs.gather import Objects, take_objects
from tastebench.runs.plan import Plan, make_plan
from tastebench.runs.progress import watcher
from tastebench.runs.record import Record
from tastebench.runs.tracking import tracked
from tastebench.runs.watch import Watcher

if TYPE_CHECKING:
    import polars as pl

    from tastebench.board.compare_model import Compared
    from tastebench.board.latex import Interval
    from tastebench.board.load import Loaded
    from tastebench.board.model import Board
    from tastebench.serving import loaded


@dataclass(frozen=True, eq=False)
class Results:
    """The records of a plan.

    Attributes:
        folder: Where they lie.
        records: One a run, failed ones included, in the order of the plan.
    """

    folder: Path
    records: tuple[Record, ...]

    @property
    def failed(self) -> tuple[Record, ...]:
        """The runs that failed; `error` says why."""
        return tuple(record for record in self.records if record.status == "failed")

    def board(self, **options: Any) -> Board:
        """The board of these records; options as `tastebench.board.read_board`."""
        from tastebench.board.board import make_board

        return make_board(self._loaded(), **options)

    def compare(self, a: str, b: str, **options: Any) -> Compared:
        """Two rows of the board tested on the same users; printed, it is a table.

        Args:
            a: A row, called as on the board.
            b: Another row; positive differences are in favour of A where higher is better.
            options: Of `tastebench.board.compare_model.Options`: `metric`, `task`, `users`, ...
        """
        from tastebench.board.compare import compare
        from tastebench.board.compare_model import Options as Wanted

        return compare(self._loaded(), a, b, Wanted(**options), where=str(self.folder))

    def to_latex(
        self, *, baseline: str | None = "best", interval: Interval = "half", **options: Any
    ) -> str:
        """The board as a LaTeX table; of packages it needs booktabs alone.

        Args:
            baseline: The row that others are tested against and marked; `best` is the best of each
                column, None tests nothing.
            interval: Behind a mean: `half` its interval, both `ends`, or `none`.
            options: As `board` takes them.
        """
        from tastebench.board.latex import interval_of, to_latex
        from tastebench.board.tested import BEST, differences

        made, tested = self.board(**options), None
        if baseline is not None:
            tested = differences(made, self._loaded(), None if baseline == BEST else baseline)
        return to_latex(made, tested, interval_of(interval))

    def to_frame(self) -> pl.DataFrame:
        """A row per run and metric: what was run, mean, interval, units, costs."""
        import polars as pl

        rows = [row for record in self.records for row in _rows(record)]
        return pl.DataFrame(rows, schema=_schema(), orient="row")

    def per_user(self) -> pl.DataFrame:
        """A row per run and user (or query): id, a column per metric, segments.

        Metrics that a run does not have are null.
        """
        import polars as pl

        frames = []
        for record in self.records:
            if record.status == "ok":
                path = store.folder_of(self.folder.parent, record) / "per_user.parquet"
                record.check_table(path)
                named = [pl.lit(value).alias(key) for key, value in _name(record).items()]
                frame = pl.read_parquet(path)
                frame = frame.rename({frame.columns[0]: "id"})
                frames.append(frame.select(*named, pl.all()))
        return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()

    def _loaded(self) -> Loaded:
        from tastebench.board.load import Entry, sort_out

        root = self.folder.parent
        entries = [Entry(record, store.folder_of(root, record)) for record in self.records]
        entries.sort(key=lambda entry: str(entry.folder))  # as `tastebench board` reads them
        return sort_out(entries, str(self.folder))

    def load(self, **axes: Any) -> loaded.Loaded:
        """The recommender of the one finished run that `axes` tell from the others.

        Args:
            axes: Of its spec: `task`, `dataset`, `recommender`, `representation`, `encoder`,
                `codes`, `seed`; whichever there are several of.

        Raises:
            UsageError: No such run, or several.
            DataError: As `tastebench.load`.
        """
        from tastebench.serving.restore import load

        finished = [record for record in self.records if record.status == "ok"]
        known = {name: None for record in finished for name in record.spec.axes}
        for name in axes:
            if name not in known:
                raise UsageError(f"runs have no {name!r}: {did_you_mean(name, known)}")
        found = [
            record
            for record in finished
            if all(record.spec.axes.get(name) == value for name, value in axes.items())
        ]
        if len(found) != 1:
            runs = "; ".join(_told(record) for record in found or finished)
            raise UsageError(
                f"{counted(len(found), 'run')} of {self.folder.name} match, and one is loaded",
                fix=f"name what tells it apart: {runs}",
            )
        return load(store.folder_of(self.folder.parent, found[0]))

    def __repr__(self) -> str:
        """One line: how many runs, how many failed, where."""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Results: {len(self.records)} runs{failed}, in {self.folder}>"


def run(  # noqa: PLR0913 - one argument an option
    plan: Plan | Mapping[str, Any] | Path | str,
    *,
    out: Path | str = "results",
    workers: int | None = None,
    redo: Redo = "missing",
    limit: int | None = None,
    progress: bool = True,
    track: str | None = None,
    on: str | None = None,
    devices: int = 1,
) -> Results:
    """Carries a plan out and returns its records; what is finished already is not done again.

    Args:
        plan: A plan, a mapping with the keys of one, the path of a YAML file, or the name of a
            suite. In a mapping `encoders` and `recommenders` may hold Python objects, as returned
            by `as_encoder` and `as_recommender`; they run in this process, one at a time.
        out: Folder for the records.
        workers: Runs at a time; None takes what the machine offers. Changes no number.
        redo: `missing` does what has no record, `failed` also what failed, `all` everything. What
            was interrupted or killed goes on from its last state, but with `all`.
        limit: Ask at most so many users or queries; such results are partial and on no board.
        progress: Say on standard error what is going on.
        track: Also send every run that ends to the MLflow server of this address; `mlflow` takes
            that of `MLFLOW_TRACKING_URI`.
        on: A Ray cluster that does the runs: `ray`, `ray://HOST:10001`, or `ray:HOST:6379` on a
            machine of it. Changes no number but cost; `out` and `TASTEBENCH_HOME` have to be on
            storage that all its nodes see.
        devices: Share the training of a run among so many devices of this machine, as far as its
            steps have batches (`accumulate`). Changes numbers no more than the order in which
            gradients are added.

    Raises:
        UsageError: The plan cannot be meant.
        DataError: A dataset or model cannot be had.
        DependencyError: A package is not installed.
    """
    made, objects = as_plan(plan)
    options = Options(
        out=Path(out), workers=workers, redo=redo, limit=limit, on=on, devices=devices
    )
    watch = tracked(watcher() if progress else Watcher(), track, options.out)
    todo = look(made, options, objects, watch)
    carry_out(todo, objects, watch)
    return results_of(todo)


def as_plan(plan: Plan | Mapping[str, Any] | Path | str) -> tuple[Plan, Objects]:
    """Whatever names or holds a plan, as a plan and the objects in it."""
    if isinstance(plan, Plan):
        return plan, Objects()
    if isinstance(plan, Mapping):
        value, objects = take_objects(plan)
        return make_plan(value), objects
    if isinstance(plan, (str, Path)):
        return suites.find_plan(plan), Objects()
    raise UsageError(f"{type(plan).__name__} is no plan", fix="pass a mapping, a path or a suite")


def results_of(todo: Todo) -> Results:
    """The records of a plan that was carried out."""
    out = todo.options.out
    folders = [
        store.record_folder(out, todo.plan.name, run.spec, run.spec_hash) for run in todo.runs
    ]
    found = [store.find_record(folder) for folder in folders]
    return Results(out / todo.plan.name, tuple(record for record in found if record is not None))


def _told(record: Record) -> str:
    """A run in a few words, as `Results.load` tells runs apart."""
    return ", ".join(f"{key}={value}" for key, value in record.spec.axes.items() if value)


def _name(record: Record) -> dict[str, Any]:
    return {**record.spec.axes, "spec_hash": record.spec_hash}


def _rows(record: Record) -> list[dict[str, Any]]:
    cost = record.cost
    common = {
        **_name(record),
        "status": record.status,
        "kind": record.kind,
        "partial": record.partial,
        "protocol_id": record.protocol_id,
        "budget_id": record.budget_id,
        "fit_seconds": cost.fit_seconds if cost else None,
        "wall_seconds": cost.wall_seconds if cost else None,
        "peak_memory_bytes": cost.peak_memory_bytes if cost else None,
        "latency_p50_ms": cost.latency.cached.p50 if cost and cost.latency else None,
    }
    parts = [(None, record.metrics), *record.groups.items()]
    rows = [
        {**common, "group": group, "metric": name, **value.model_dump()}
        for group, metrics in parts
        for name, value in metrics.items()
    ]
    return rows or [common]


def _schema() -> dict[str, Any]:
    import polars as pl

    text, number, count = pl.String, pl.Float64, pl.Int64
    return {
        "task": text,
        "dataset": text,
        "recommender": text,
        "representation": text,
        "encoder": text,
        "seed": count,
        "group": text,
        "metric": text,
        "mean": number,
        "low": number,
        "high": number,
        "n": count,
        "undefined": count,
        "status": text,
        "kind": text,
        "partial": pl.Boolean,
        "fit_seconds": number,
        "wall_seconds": number,
        "peak_memory_bytes": count,
        "latency_p50_ms": number,
        "protocol_id": text,
        "budget_id": text,
        "spec_hash": text,
    }
