"""A plan carried out: what is finished is skipped, vectors are made once, then run after run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from typing_extensions import override

from tastebench import files
from tastebench.contracts import RecommenderCard
from tastebench.errors import DataError, UsageError, counted
from tastebench.runs import compose, devices, environment, outputs, sensors, store
from tastebench.runs.codes import CodesJob, do_codes
from tastebench.runs.encode import EncodeJob, EncodeShare, encode
from tastebench.runs.energy import Meter
from tastebench.runs.expand import Expansion, Run, expand
from tastebench.runs.gather import Gathered, Objects, gather
from tastebench.runs.job import Job, Surroundings
from tastebench.runs.labels import told_apart
from tastebench.runs.material import texts_left_open
from tastebench.runs.missing import Missing
from tastebench.runs.perform import perform, publish
from tastebench.runs.place import (
    MEMORY_PER_WORKER,
    Asked,
    Place,
    place_of,
    record_of,
    wants_gpu,
)
from tastebench.runs.plan import Plan
from tastebench.runs.processes import Listener, Need, Work
from tastebench.runs.record import KILLED, Failure, Record
from tastebench.runs.remote_cost import remote_costs
from tastebench.runs.watch import Watcher
from tastebench.runs.worker import do_run

Redo = Literal["missing", "failed", "all"]


@dataclass(frozen=True)
class Options:
    """How to carry a plan out; nothing here changes a number, except `limit`, which says so.

    Attributes:
        out: Folder of the records.
        workers: Runs at a time; None takes what the machine offers.
        redo: `missing` runs what has no record, `failed` also what failed, `all` everything. What
            was interrupted or killed goes on from its last state, but with `all`.
        limit: Ask at most so many users or queries; such results are partial and on no board.
        tolerate: Leave encoders out that cannot be had here.
        on: A cluster that does the work: `ray`, `ray://HOST:PORT`; None is this machine.
        devices: Share the training of a run among so many devices of this machine, as far as its
            steps have batches (`accumulate`).
    """

    out: Path = Path("results")
    workers: int | None = None
    redo: Redo = "missing"
    limit: int | None = None
    tolerate: bool = False
    on: str | None = None
    devices: int = 1


@dataclass(frozen=True, eq=False)
class Todo:
    """A plan, looked at.

    Attributes:
        runs: All runs of the plan.
        finished: Records that are there and stay, by spec hash.
        afresh: Spec hashes of what is done again from its beginning, whatever state it has kept.
        notes: What the plan names and cannot do, and what is left out.
        missing: What it needs and is not here.
    """

    plan: Plan
    options: Options
    gathered: Gathered
    runs: tuple[Run, ...]
    finished: dict[str, Record] = field(default_factory=dict)
    afresh: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def open(self) -> tuple[Run, ...]:
        """The runs that have to be done."""
        return tuple(run for run in self.runs if run.spec_hash not in self.finished)


def look(
    plan: Plan,
    options: Options,
    objects: Objects | None = None,
    watcher: Watcher | None = None,
    *,
    fetch: bool = True,
) -> Todo:
    """What a plan comes to: its runs, which are finished, what is missing.

    With `fetch=False` nothing is downloaded or prepared, for a dry run.
    """
    say = (watcher or Watcher()).say
    gathered = gather(plan, objects or Objects(), say, fetch=fetch, tolerate=options.tolerate)
    expansion = Expansion((), ())
    if gathered.plan.datasets:
        expansion = expand(gathered.plan, gathered.resources, options.limit)
    finished, afresh = {}, set()
    for run in expansion.runs:
        folder = store.record_folder(options.out, plan.name, run.spec, run.spec_hash)
        record = store.find_record(folder)
        if record is not None and _stays(record, run, options.redo):
            finished[run.spec_hash] = record
        elif _begins_afresh(record, run, options.redo):
            afresh.add(run.spec_hash)
    return Todo(
        plan=plan,
        options=options,
        gathered=gathered,
        runs=expansion.runs,
        finished=finished,
        afresh=frozenset(afresh),
        notes=(*expansion.notes, *_not_kept(plan, finished)),
        missing=gathered.missing,
    )


def _stays(record: Record, run: Run, redo: Redo) -> bool:
    if redo == "all" or run.volatile:
        return False
    return record.status == "ok" or redo == "missing"


def _begins_afresh(record: Record | None, run: Run, redo: Redo) -> bool:
    """Whether what a run has kept is thrown away; what was killed goes on from it."""
    if redo == "all" or run.volatile:
        return True
    return record is not None and (record.error is None or record.error.kind != KILLED)


def _not_kept(plan: Plan, finished: Mapping[str, Record]) -> tuple[str, ...]:
    """Says which finished runs have no model to keep any more: they trained one and left none."""
    bare = [
        record
        for record in finished.values()
        if record.fit is not None and record.fit.epochs and "model" not in record.fingerprints
    ]
    if not plan.keep_models or not bare:
        return ()
    return (f"{counted(len(bare), 'finished run')} kept no model: --redo all does them again",)


def carry_out(todo: Todo, objects: Objects | None = None, watcher: Watcher | None = None) -> None:
    """Does what is open; every run ends with a record, failed or not.

    Raises:
        UsageError: The folder for the records cannot be written, or the cluster cannot do the plan.
        DependencyError: Energy is to be measured or a cluster to be used, and what that needs is
            not installed.
        DataError: The cluster does not answer, or does not see what the plan needs.
    """
    _check_writable(todo.options.out)
    if todo.plan.energy == "measure":
        sensors.require()
    options, given = todo.options, objects or Objects()
    devices.check(options.devices, options.on)
    with place_of(options.on, options.workers, todo.plan.threads * options.devices) as place:
        _Execution(todo, given, watcher or Watcher(), place).carry_out()


def encode_jobs(todo: Todo, threads: int | None = None) -> dict[tuple[str, str, str], EncodeJob]:
    """The encode steps that the open runs need, by dataset, encoder and text recipe.

    Args:
        todo: The plan.
        threads: Of each; None takes the cores of this machine.
    """
    resources = todo.gathered.resources
    jobs = {}
    for key in dict.fromkeys(_encoding(run) for run in todo.open if run.spec.encoder):
        dataset, encoder, recipe = key
        protocols = {run.spec.task: run.protocol for run in todo.runs if _encoding(run) == key}
        jobs[key] = EncodeJob(
            out=todo.options.out.resolve(),
            dataset=todo.gathered.datasets[dataset],
            fingerprint=resources.datasets[dataset].fingerprint,
            encoder=encoder,
            reference=todo.gathered.encoders[encoder],
            revision=resources.encoders[encoder].revision,
            text_recipe=recipe,
            protocols=tuple(protocols.values()),
            latency_seconds=todo.plan.latency_seconds,
            threads=threads or environment.cores(),
            texts=texts_left_open(resources.datasets[dataset], recipe),
            meter=_meter(todo.plan),
        )
    return jobs


def codes_jobs(todo: Todo, encoded: dict[tuple[str, str, str], EncodeJob]) -> dict[str, CodesJob]:
    """The codes steps that the open runs need, by the run's spec hash; runs share them."""
    resources = todo.gathered.resources
    jobs = {}
    for run in todo.open:
        spec, recipe = run.spec, run.spec.codes
        if recipe is None:
            continue
        source = encoded[_encoding(run)] if recipe.reads_vectors else None
        jobs[run.spec_hash] = CodesJob(
            out=todo.options.out.resolve(),
            dataset=todo.gathered.datasets[spec.dataset],
            fingerprint=resources.datasets[spec.dataset].fingerprint,
            recipe=recipe,
            encoder=spec.encoder if source else None,
            vectors=source.result if source else None,
            protocol=run.protocol if recipe.learned_from == "train" else None,
            threads=todo.plan.threads,
            lasts=source is None or source.revision is not None,
            text_recipe=spec.text_recipe,
        )
    return jobs


class _Execution(Listener):
    def __init__(self, todo: Todo, objects: Objects, watcher: Watcher, place: Place) -> None:
        self.todo, self.objects, self.watcher = todo, objects, watcher
        self.options, self.plan, self.place = todo.options, todo.plan, place
        self.encode_jobs = encode_jobs(todo, place.encode_threads)
        self.codes_jobs = codes_jobs(todo, self.encode_jobs)
        self.jobs = {run.spec_hash: self._job(run) for run in todo.open}
        self.shares = {key: self._share(job) for key, job in self.jobs.items()}
        self.broken: dict[Path, Failure] = {}

    def carry_out(self) -> None:
        for key, record in self.todo.finished.items():
            if record.status == "ok":  # of a process that was killed at its very end
                outputs.clear(store.work_folder(self.options.out, key))
        to_encode = [job for job in self.encode_jobs.values() if not job.is_done()]
        to_code = {job.result: job for job in self.codes_jobs.values() if not job.is_done()}
        foreign = [job for job in to_encode if job.encoder not in self.objects.encoders]
        told = self.place.check(self._asked(foreign, list(to_code.values())))
        shares = self._shares(foreign)
        labels = [(share.key, share.label) for share in shares]
        labels += [(str(job.result), f"encode {job.encoder}") for job in to_encode]
        labels += [(str(job.result), f"codes {job.recipe.label}") for job in to_code.values()]
        apart = told_apart(self.todo.runs)
        labels += [(key, _label(job.run, apart[key])) for key, job in self.jobs.items()]
        resources, brought = self.todo.gathered.resources, self.objects.encoders
        for cost in remote_costs(self.encode_jobs, resources.datasets, brought):
            self.watcher.say(str(cost))
        if told:
            self.watcher.say(told)
        if unshared := devices.unshared(self.shares.values(), self.options.devices):
            self.watcher.say(unshared)
        self.watcher.begin(labels, len(self.todo.finished))
        try:
            self._encode(to_encode, foreign, shares)
            self._code(list(to_code.values()))
            self._run()
        finally:
            self.watcher.end()

    # ------------------------------------------------------------------------------- encode step

    def _encode(
        self,
        jobs: Sequence[EncodeJob],
        foreign: Sequence[EncodeJob],
        shares: Sequence[EncodeShare],
    ) -> None:
        for job in jobs:
            outputs.clear(job.folder)
        self.place.encode(foreign, shares, self)
        for job in jobs:
            if job.encoder in self.objects.encoders:
                self._encode_here(job)

    def _shares(self, jobs: Sequence[EncodeJob]) -> list[EncodeShare]:
        datasets = self.todo.gathered.resources.datasets
        items = {job.result: datasets[name].n_items for (name, *_), job in self.encode_jobs.items()}
        return self.place.shares(jobs, [items[job.result] for job in jobs])

    def _encode_here(self, job: EncodeJob) -> None:
        key = str(job.result)
        self.started(key)
        failure = None
        try:
            encode(job, self.objects.encoders[job.encoder], self._surroundings(key))
        except Exception as error:  # the runs that need it fail with it, the others go on
            failure = compose.explain(error)
        self.ended(key, failure)

    # -------------------------------------------------------------------------------- codes step

    def _code(self, jobs: Sequence[CodesJob]) -> None:
        able = []
        for job in jobs:
            failure = self.broken.get(job.vectors) if job.vectors else None
            if failure is None:
                able.append(job)
            else:
                self.started(str(job.result))
                self.ended(str(job.result), failure)
        works = [
            Work(
                key=str(job.result),
                target=do_codes,
                argument=job,
                log=job.folder.with_suffix(".log"),
                need=self._codes_need,
            )
            for job in able
        ]
        self.place.run_all(works, self)

    @property
    def _codes_need(self) -> Need:
        return Need(cores=self.plan.threads, memory=MEMORY_PER_WORKER)

    # --------------------------------------------------------------------------------------- runs

    def _job(self, run: Run) -> Job:
        winner = None
        if run.winner_hash is not None:
            first = run.spec.model_copy(update={"seed": run.spec.tuned_on})
            winner = store.record_folder(
                self.options.out.resolve(), self.plan.name, first, run.winner_hash
            )
        job = Job(
            run=run,
            suite=self.plan.name,
            row_by=self.plan.row_by,
            out=self.options.out.resolve(),
            dataset=self.todo.gathered.datasets[run.spec.dataset],
            latency_seconds=self.plan.latency_seconds,
            winner=winner,
            vectors=self.encode_jobs[_encoding(run)].result if run.spec.encoder else None,
            codes=self.codes_jobs[run.spec_hash].result if run.spec.codes else None,
            preliminary=self.plan.preliminary,
            isolated=run.spec.recommender not in self.objects.recommenders,
            meter=_meter(self.plan),
            keep_models=self.plan.keep_models,
        )
        if run.spec_hash in self.todo.afresh:
            outputs.clear(job.work)
        return job

    def _run(self) -> None:
        able = {}
        for key, job in self.jobs.items():
            failure = next(
                (self.broken[made] for made in (job.vectors, job.codes) if made in self.broken),
                None,
            )
            if failure is None:
                able[key] = job
            else:
                self.started(key)
                self.ended(key, failure)
        works = [self._work(key, job) for key, job in able.items() if job.isolated]
        self.place.run_all(works, self)
        for key, job in able.items():
            if not job.isolated:
                self._run_here(key, job, self.objects.recommenders[job.run.spec.recommender])

    def _work(self, key: str, job: Job) -> Work:
        first, *others = devices.seated(job, self.shares[key])
        return Work(
            key=key,
            target=do_run,
            argument=first,
            log=job.work.with_suffix(".log"),
            after=job.run.winner_hash,
            need=self._need(job),
            beside=tuple(others),
        )

    def _share(self, job: Job) -> int:
        """How many devices share the training of a run."""
        if not job.isolated:
            return 1
        card = self.todo.gathered.resources.recommender(job.run.spec.recommender)
        return devices.share(job.run, card, self.options.devices)

    def _need(self, job: Job) -> Need:
        spec = job.run.spec
        card = self.todo.gathered.resources.recommender(spec.recommender)
        gpu = wants_gpu(card, spec.params)
        return Need(cores=spec.threads, gpu=gpu, memory=MEMORY_PER_WORKER)

    def _asked(self, encode: Sequence[EncodeJob], code: Sequence[CodesJob]) -> Asked:
        """What the place is asked to do."""
        gathered = self.todo.gathered
        runs = [self._need(job) for job in self.jobs.values() if job.isolated]
        return Asked(
            folders=[self.options.out.resolve(), files.home()],
            named=[*gathered.datasets.values(), *gathered.encoders.values()],
            encode=encode,
            needs=[*(self._codes_need for _ in code), *runs],
        )

    def _run_here(self, key: str, job: Job, card: RecommenderCard) -> None:
        self.started(key)
        try:
            perform(job, card, self._surroundings(key))
        except OSError as error:
            raise _no_room(self.options.out) from error
        self.ended(key, None)

    # -------------------------------------------------------------------------------------- news

    def _surroundings(self, key: str) -> Surroundings:
        return Surroundings(tell=lambda text: self.said(key, text))

    @override
    def started(self, key: str) -> None:
        self.watcher.started(key)

    @override
    def said(self, key: str, text: str) -> None:
        self.watcher.stage(key, text)

    @override
    def ended(self, key: str, failure: Failure | None) -> None:
        job = self.jobs.get(key)
        if job is None:
            if failure is not None:
                self.broken[Path(key)] = failure
            self.watcher.ended(key, None, failure.what if failure else None)
            return
        if failure is not None:
            if failure.kind == "NoRoom":
                raise _no_room(self.options.out)
            publish(job, compose.failed(job, failure, 0.0))
        record = record_of(job.folder, wait=self.options.on is not None)
        if record.status == "ok":
            job.work.with_suffix(".log").unlink(missing_ok=True)
        self.watcher.ended(key, record)


def _encoding(run: Run) -> tuple[str, str, str]:
    return run.spec.dataset, run.spec.encoder or "", run.spec.text_recipe or ""


def _meter(plan: Plan) -> Meter:
    return Meter(plan.energy == "measure", plan.carbon_intensity, plan.pue)


def _label(run: Run, settings: list[str]) -> str:
    spec = run.spec
    seed = f", seed {spec.seed}" if len(run.budget.seeds) > 1 else ""
    return " ".join([spec.task, spec.dataset, spec.label, *settings]) + seed


def _no_room(out: Path) -> DataError:
    return DataError(
        "there is no room left to write, so the plan stops here",
        where=str(out),
        fix="free some space and give the same command again: what is finished is kept",
    )


def _check_writable(out: Path) -> None:
    try:
        (out / store.WORK).mkdir(parents=True, exist_ok=True)
        probe = out / store.WORK / ".probe"
        probe.write_text("", encoding="utf-8")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write records: {error.strerror}", where=str(out), fix="--out DIR"
        ) from error
