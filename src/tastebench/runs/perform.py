"""One run, from the dataset to its record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench import files
from tastebench.contracts import FitReport, RecommenderCard
from tastebench.errors import ProtocolError, TastebenchError
from tastebench.runs import environment, latency, limits, outputs, store
from tastebench.runs.codes import MadeCodes
from tastebench.runs.compose import (
    asked_for,
    failed,
    groups,
    intervals,
    leaks,
    now,
    number,
    shortcuts,
    told,
)
from tastebench.runs.energy import OF_A_RUN, measure
from tastebench.runs.guard import check_models, check_texts
from tastebench.runs.hyperparameters import combinations, resolve
from tastebench.runs.job import Job, Surroundings
from tastebench.runs.material import Vectors, items_for, queries_for
from tastebench.runs.prompting import account_of, prompting, server_latency
from tastebench.runs.record import Cost, Fit, Latency, Parameters, Record
from tastebench.runs.tune import Fitted, Tuned, trial_folder, tune
from tastebench.training.seat import LostTeamError

if TYPE_CHECKING:
    from tastebench.contracts import Account, Evaluation, Items
    from tastebench.data.dataset import Dataset
    from tastebench.tasks import QueryForms, Task, TaskProtocol
    from tastebench.tasks.evaluate import Asked
    from tastebench.tasks.quiz import Quiz
    from tastebench.tasks.shown import Shown

_OVER = -1
"""Said in place of a setting's: there is none left to fit."""


def perform(job: Job, card: RecommenderCard, around: Surroundings) -> Record:
    """Carries a run out and publishes its record; a failure becomes a record with an error.

    Raises:
        OSError: There is no room left to write.
        LostTeamError: A process that shared the run is gone.
    """
    began = time.perf_counter()
    try:
        job.meter.prepare()
        with limits.threads(job.run.spec.threads):
            record = _Performance(job, card, around).carry_out()
    except OSError as error:
        if files.no_room(error):
            raise
        record = failed(job, error, time.perf_counter() - began)
    except LostTeamError:  # whoever started the processes knows what became of the other
        raise
    except Exception as error:  # a plan goes on, whatever went wrong in one of its runs
        record = failed(job, error, time.perf_counter() - began)
    publish(job, record)
    return record


def share(job: Job, card: RecommenderCard) -> None:
    """Takes part in the training of a run that another process carries out."""
    with limits.threads(job.run.spec.threads):
        _Performance(job, card, Surroundings()).take_part()


def publish(job: Job, record: Record) -> None:
    """Writes the record beside what the run already wrote and renames the folder into place."""
    folder = job.work / "record"
    folder.mkdir(parents=True, exist_ok=True)
    if record.status == "failed":
        outputs.clear(folder)
    outputs.write_config(folder, record, job)
    record.model_copy(update={"tables": outputs.digests(folder)}).write(folder)
    store.publish(folder, job.folder)
    if record.status == "ok":
        outputs.clear(job.work)


def validate(
    recommender: Any, asked: Asked | Shown | Quiz, protocol: TaskProtocol, headline: str
) -> float:
    """One metric on the validation part, turned so that higher is better."""
    from tastebench.metrics.grammar import parse
    from tastebench.tasks.task import measure

    quick = protocol.model_copy(update={"metrics": (headline,)})
    mean = measure(recommender, asked, quick).means()[headline]
    return mean if parse(headline).higher_is_better else -mean


class _Performance:
    """The steps of a run in order; each takes what the ones before it made."""

    def __init__(self, job: Job, card: RecommenderCard, around: Surroundings) -> None:
        from tastebench.data.catalog import load_dataset
        from tastebench.tasks import TASKS
        from tastebench.training.team import ALONE

        self.job, self.card, self.around = job, card, around
        self.run, self.spec = job.run, job.run.spec
        self.team = ALONE
        self.began = time.perf_counter()
        self.baseline = limits.peak_memory()
        self.task: Task = TASKS.get(self.spec.task)
        self.protocol = job.run.protocol
        around.tell("reading")
        self.dataset: Dataset = load_dataset(job.dataset)
        check_texts(self.dataset, self.protocol, self.spec.text_recipe)
        self.vectors = Vectors.read(job.vectors) if job.vectors else None
        if self.vectors:
            self.vectors.check()
        self.problem = self.task.problem(self.dataset, self.protocol)
        self.codes = MadeCodes.read(job.codes) if job.codes else None
        codes = self.codes.load(self.dataset) if self.codes else None
        self.items: Items = items_for(
            self.spec, self.dataset, self.vectors, codes, self.protocol.questions
        )
        self.forms: QueryForms = queries_for(self.spec, self.dataset, self.vectors)

    def carry_out(self) -> Record:
        """Fits, evaluates, measures latency; returns the record, its tables written."""
        begun = (self.job.work / "fit").exists()
        with measure(self.job.meter, OF_A_RUN, self.job.energy, begun=begun) as reading:
            self.around.tell("fitting")
            tuned = self._tune()
            tuned = replace(tuned, trials=tuple(map(told, tuned.trials)))
            self.around.tell("evaluating")
            clock = time.perf_counter()
            before = account_of(tuned.recommender)
            asked = self._ask("test")
            test = self._evaluate(tuned.recommender, asked, outputs.list_length(len(asked)))
            told_of_test = account_of(tuned.recommender)
            valid = self._valid_means(tuned.recommender)
            accounts = (before, told_of_test, account_of(tuned.recommender))
        evaluate_seconds = time.perf_counter() - clock
        wall_seconds = time.perf_counter() - self.began
        folder = self.job.work / "record"
        outputs.clear(folder)
        with files.plain_errors(folder):
            outputs.write_tables(folder, self.dataset, asked, test, tuned)
            model = self._kept(tuned, folder)
        cost = Cost(
            wall_seconds=wall_seconds,
            fit_seconds=tuned.seconds,
            evaluate_seconds=evaluate_seconds,
            encode=self.vectors.step if self.vectors else None,
            codes=self.codes.step if self.codes else None,
            parameters=Parameters(
                encoder=self.vectors.parameters if self.vectors else None,
                recommender=tuned.report.parameters,
            ),
            peak_memory_bytes=limits.peak_memory() if self.job.isolated else None,
            baseline_memory_bytes=self.baseline if self.job.isolated else None,
            peak_gpu_memory_bytes=limits.peak_gpu_memory(),
            latency=self._latency(tuned.recommender, asked, told_of_test),
            energy=reading.energy,
            energy_joules=reading.energy.joules if reading.energy else None,
            prompting=prompting(accounts),
            threads=self.spec.threads,
            isolated=self.job.isolated,
        )
        record = self._record(tuned, test, told_of_test, valid, cost)
        known = record.fingerprints | ({} if model is None else {"model": model})
        return record.model_copy(update={"fingerprints": known})

    # -------------------------------------------------------------------------------- training

    def _tune(self) -> Tuned:
        settings = self._settings()
        if len(settings) > 1 and self._validation is None:
            raise ProtocolError(
                f"{self.card.name} has a grid to search and no validation part to choose by",
                where=f"{self.spec.task} on {self.spec.dataset}",
                fix="leave the grid out, or choose a split with a validation part",
            )
        with self._shared():
            try:
                return tune(settings, self._led, self._validate, self._fits, self.around.tell)
            finally:
                if not self.team.out_of_step:
                    self.team.agree(_OVER)

    def take_part(self) -> None:
        """Fits what the process that carries the run out fits, until that has fitted everything."""
        settings = self._settings()
        with self._shared():
            while (place := int(self.team.agree(0.0))) != _OVER:
                try:
                    self._fit(settings[place], trial_folder(self._fits, place))
                except TastebenchError:  # the first process has it too, and knows what to do
                    if self.team.out_of_step:
                        raise

    def _led(self, params: dict[str, Any], folder: Path) -> Fitted:
        """`_fit`, in all processes that share the run."""
        self.team.agree(self._settings().index(params))
        return self._fit(params, folder)

    @contextmanager
    def _shared(self) -> Iterator[None]:
        """Inside, whoever shares the run is there."""
        from tastebench.training.team import joining

        with joining(self.job.seat) as self.team:
            yield

    @property
    def _fits(self) -> Path:
        return self.job.work / "fit"

    def _settings(self) -> list[dict[str, Any]]:
        return combinations(self.spec.grid) if self.run.searches else [self._winner()]

    def _winner(self) -> dict[str, Any]:
        """What the first seed's search chose; nothing where nothing was searched."""
        if self.job.winner is None:
            return {}
        record = store.find_record(self.job.winner)
        if record is None or record.status != "ok":
            raise ProtocolError(
                f"the search on seed {self.spec.tuned_on} failed, so its winner cannot be reused",
                fix="mend that run and repeat with --redo failed",
            )
        # By its place in the grid: the record has no folder's path, which a setting may be.
        chosen = next(place for place, trial in enumerate(record.trials) if trial.chosen)
        return combinations(self.spec.grid)[chosen]

    def _fit(self, params: dict[str, Any], folder: Path) -> Fitted:
        from tastebench.recommenders import build_recommender
        from tastebench.training.fit import FabricTrainer
        from tastebench.training.kept import MODEL, keep

        whole = {**self.spec.params, **params}
        check_models(self.dataset, self.protocol, whole)
        config = self.card.config(**whole)
        recommender: Any = build_recommender(self.card, config)
        validation = self._validation
        trainer = FabricTrainer(
            seed=self.spec.seed,
            directory=folder,
            validate=None if validation is None else lambda: self._validate(recommender),
            progress=self._tell_epoch if self.team.leads else None,
            team=self.team,
        )
        clock = time.perf_counter()
        report: FitReport = recommender.fit(self.problem, self.items, trainer)
        if self.job.keep_models and trainer.fitted and self.team.leads:
            # Beside its training state, so that it goes where the trial goes.
            keep(trainer.fitted, folder / MODEL, {"spec_hash": self.run.spec_hash})
        if not report.curve:  # a closed form is timed here; training adds up its epochs' time
            report = replace(report, seconds=time.perf_counter() - clock)
        return recommender, report

    def _kept(self, tuned: Tuned, folder: Path) -> str | None:
        """Moves the winner's trained model beside the record; its hash, None without one."""
        from tastebench.training.kept import MODEL

        chosen = next(place for place, trial in enumerate(tuned.trials) if trial.chosen)
        model = trial_folder(self._fits, chosen) / MODEL
        if not self.job.keep_models or not model.is_file():
            return None
        model.replace(folder / MODEL)
        return files.hash_file(folder / MODEL)

    def _tell_epoch(self, row: dict[str, float]) -> None:
        valid = f", {self.run.headline} {row['valid']:.4f}" if "valid" in row else ""
        self.around.tell(f"epoch {row['epoch']:.0f}{valid}")

    # ------------------------------------------------------------------------------ evaluation

    def _ask(self, part: Any) -> Asked | Shown | Quiz:
        return self.task.ask(self.problem, self.protocol, part, self.forms)

    @property
    def _validation(self) -> Asked | Shown | Quiz | None:
        """The questions of the validation part, made once; None where there are none."""
        if not hasattr(self, "_validation_asked"):
            asked = self._ask("valid") if "valid" in self.task.parts else None
            self._validation_asked = asked if asked is not None and len(asked) else None
        return self._validation_asked

    def _validate(self, recommender: Any) -> float:
        """The headline metric on the validation part, turned so that higher is better."""
        assert self._validation is not None
        return validate(recommender, self._validation, self.protocol, self.run.headline)

    def _valid_means(self, recommender: Any) -> dict[str, float | None]:
        if self._validation is None:
            return {}
        means = self._evaluate(recommender, self._validation, 0).means()
        return {name: number(mean) for name, mean in means.items()}

    def _evaluate(self, recommender: Any, asked: Asked | Shown | Quiz, top_k: int) -> Evaluation:
        from tastebench.tasks.task import measure

        return measure(recommender, asked, self.protocol, top_k=top_k)

    def _latency(
        self, recommender: Any, asked: Asked | Shown | Quiz, told: Account | None
    ) -> Latency | None:
        if self.job.latency_seconds <= 0:
            return None
        if told is not None and told.seconds is not None:  # asking again would cost again
            return server_latency(told, self.job.latency_seconds)
        self.around.tell("waiting to be alone")
        self.around.alone()
        self.around.tell("measuring latency")
        rows = latency.request_rows(len(asked))
        encode_ms = self.vectors.encode_ms.get(self.spec.task) if self.vectors else None
        return latency.measure(
            lambda row: asked.request(recommender, row),
            rows,
            self.job.latency_seconds / 2,
            encode_ms,
            list_length=asked.length,
            keep=getattr(recommender, "keep", None),
        )

    # ---------------------------------------------------------------------------------- record

    def _record(
        self,
        tuned: Tuned,
        test: Evaluation,
        told: Account | None,
        valid: dict[str, float | None],
        cost: Cost,
    ) -> Record:
        report = tuned.report
        return Record(
            status="ok",
            **asked_for(self.job, resolve(self.card, {**self.spec.params, **tuned.params})),
            metrics=intervals(test, self.spec.seed),
            groups=groups(test, self.spec.seed),
            valid=valid,
            counts={
                name: int(count)
                for name, count in {**test.counts, **(told.counts if told else {})}.items()
            },
            probes={name: float(value) for name, value in told.probes.items()} if told else {},
            cost=cost,
            fit=Fit(
                epochs=len(report.curve) or None,
                best_epoch=report.best_epoch,
                converged=report.converged,
                notes=report.notes,
            ),
            trials=tuned.trials if self.run.searches else (),
            split=leaks(self.protocol.split),
            shortcuts=shortcuts(self.dataset, self.protocol),
            environment=environment.describe(),
            fingerprints={
                "dataset": self.dataset.fingerprint,
                "vectors": self.vectors.key if self.vectors else None,
                "encoder": self.vectors.revision if self.vectors else None,
                **({"codes": self.codes.hash} if self.codes else {}),
            },
            created=now(),
        )
