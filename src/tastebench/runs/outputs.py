"""The files beside a record: tables, what a model was asked and said, the plan that repeats it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.files import hash_file, write_text
from tastebench.lm.transcript import transcript_of, write_transcript
from tastebench.metrics.answers import ANSWERED
from tastebench.runs.job import Job
from tastebench.runs.record import Record
from tastebench.runs.tune import Tuned

if TYPE_CHECKING:
    import polars as pl

    from tastebench.contracts import Evaluation
    from tastebench.data.dataset import Dataset
    from tastebench.tasks.evaluate import Asked
    from tastebench.tasks.quiz import Quiz
    from tastebench.tasks.shown import Shown

LIST_LENGTH = 20
MAX_PREDICTIONS = 500_000
"""Rows of `predictions.parquet`; with more the lists are not kept."""


def list_length(questions: int) -> int:
    """How many recommended items a question are kept; 0 where the data are not small."""
    return LIST_LENGTH if questions * LIST_LENGTH <= MAX_PREDICTIONS else 0


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each table in a folder, by name."""
    return {path.name: hash_file(path) for path in sorted(folder.glob("*.parquet"))}


def clear(folder: Path) -> None:
    """Removes a folder and what is in it, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def write_tables(
    folder: Path,
    dataset: Dataset,
    asked: Asked | Shown | Quiz,
    evaluation: Evaluation,
    tuned: Tuned,
) -> None:
    """Writes everything about a run that is a table, or lines."""
    import polars as pl

    from tastebench.tasks.quiz import Quiz
    from tastebench.tasks.shown import Shown

    folder.mkdir(parents=True, exist_ok=True)
    per_user(dataset, evaluation).write_parquet(folder / "per_user.parquet")
    if tuned.report.curve:
        rows = list(tuned.report.curve)  # not every epoch need be validated
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "curves.parquet")
    if len(tuned.trials) > 1:
        rows = [{**t.params, **t.model_dump(exclude={"params"})} for t in tuned.trials]
        pl.DataFrame(rows, infer_schema_length=None).write_parquet(folder / "trials.parquet")
    if isinstance(asked, Shown):
        assert evaluation.scores is not None
        _write_scores(folder, dataset, asked, evaluation.scores, tuned.recommender.log_odds)
    elif isinstance(asked, Quiz):
        answers(dataset, asked, evaluation).write_parquet(folder / "predictions.parquet")
    elif evaluation.top is not None:
        predictions(dataset, asked, evaluation).write_parquet(folder / "predictions.parquet")
    _write_calls(folder, dataset, tuned.recommender)


def _write_calls(folder: Path, dataset: Dataset, recommender: Any) -> None:
    """What a model was asked and said in words, where one was."""
    transcript = transcript_of(recommender)
    if transcript is not None and (transcript.lines or transcript.left_out):
        write_transcript(
            folder / "calls.jsonl.zst",
            transcript,
            lambda rows: dataset.everyone.gather(rows).to_list(),
            lambda rows: dataset.item_ids.gather(rows).to_list(),
        )


def _write_scores(
    folder: Path, dataset: Dataset, shown: Shown, scores: np.ndarray, log_odds: bool
) -> None:
    """Every candidate with label and score where they are few, and how far scores mean it."""
    import polars as pl
    from scipy.special import expit

    from tastebench.metrics.calibration import reliability

    if len(scores) <= MAX_PREDICTIONS:
        frame = pl.DataFrame(
            {
                "user_id": dataset.everyone.gather(shown.user),
                "group": shown.group,
                "item_id": dataset.item_ids.gather(shown.candidates.items.values),
                "label": shown.label,
                "score": scores,
            }
        )
        frame.write_parquet(folder / "predictions.parquet")
    if log_odds:
        bins = reliability(shown.label, expit(scores), unit=shown.user)
        columns = {name: value for name, value in vars(bins).items() if name != "edges"}
        edges = {"from": bins.edges[:-1], "to": bins.edges[1:]}
        pl.DataFrame({**edges, **columns}).write_parquet(folder / "calibration.parquet")


def answers(dataset: Dataset, quiz: Quiz, evaluation: Evaluation) -> pl.DataFrame:
    """A row per question: of whom and what, its options, the right one, what was answered."""
    import polars as pl

    from tastebench.tasks.quiz import asker_of

    questions, given = quiz.questions, evaluation.answers
    assert given is not None
    picked = [
        list(options)[best] if status == ANSWERED else None
        for options, best, status in zip(
            questions.options, given.scores.argmax(axis=1).tolist(), given.status, strict=True
        )
    ]
    return pl.DataFrame(
        {
            "user_id": dataset.everyone.gather(asker_of(questions)),
            "kind": np.array(questions.kinds)[questions.kind].tolist(),
            "question": list(questions.text),
            "options": [list(options) for options in questions.options],
            "gold": [o[g] for o, g in zip(questions.options, questions.gold, strict=True)],
            "answer": picked,
            "status": list(given.status),
            "scores": given.scores,
            "soft_tokens": given.soft,
            "text_tokens": given.tokens,
        }
    )


def per_user(dataset: Dataset, evaluation: Evaluation) -> pl.DataFrame:
    """A row per unit: its id, its metrics (null where undefined), their weights, its segments.

    A metric that does not count all units alike has its weights in `weight:<metric>`.
    """
    import polars as pl

    frame = pl.DataFrame(
        {f"{evaluation.unit}_id": _unit_ids(dataset, evaluation.unit, evaluation.ids)}
    )
    metrics = [pl.Series(name, values).fill_nan(None) for name, values in evaluation.values.items()]
    weights = [pl.Series(weight_column(name), w) for name, w in evaluation.weights.items()]
    segments = [pl.Series(name, labels.tolist()) for name, labels in evaluation.segments.items()]
    return frame.with_columns(*metrics, *weights, *segments)


def weight_column(metric: str) -> str:
    """The column of `per_user.parquet` that says how much each unit counts in a metric's mean."""
    return f"weight:{metric}"


def predictions(dataset: Dataset, asked: Asked, evaluation: Evaluation) -> pl.DataFrame:
    """A row per recommended item: who asked, which question, rank from 1, item, score."""
    import polars as pl

    assert evaluation.top is not None
    items, scores = evaluation.top.items, evaluation.top.scores
    n, k = items.shape
    kept = (items >= 0).ravel()
    question = np.repeat(np.arange(n), k)[kept]
    return pl.DataFrame(
        {
            f"{asked.unit}_id": _unit_ids(dataset, asked.unit, asked.ids[question]),
            "question": question,
            "rank": np.tile(np.arange(1, k + 1), n)[kept],
            "item_id": dataset.item_ids.gather(items.ravel()[kept]),
            "score": scores.ravel()[kept],
        }
    )


def _unit_ids(dataset: Dataset, unit: str, rows: np.ndarray) -> pl.Series:
    if unit == "user":
        return dataset.everyone.gather(rows)
    assert dataset.tables.queries is not None
    return dataset.tables.queries["query_id"].gather(rows)


def write_config(folder: Path, record: Record, job: Job) -> None:
    """Writes `config.yaml`: a plan of this one run, with everything that was resolved."""
    import yaml

    text = yaml.safe_dump(as_plan(record, job), sort_keys=False, allow_unicode=True)
    write_text(folder / "config.yaml", f"# tastebench run config.yaml\n{text}")


def as_plan(record: Record, job: Job) -> dict[str, Any]:
    """The plan that repeats one run: hyper-parameters as tuned, so that nothing is searched."""
    spec = record.spec
    protocol = {k: v for k, v in record.protocol.items() if k != "task" and v is not None}
    plan: dict[str, Any] = {
        # A name of its own: on the board it came from it would stand beside its original.
        "name": f"{record.suite}-{record.spec_hash[:8]}",
        "datasets": [spec.dataset],
        "tasks": [spec.task],
        "encoders": [spec.encoder] if spec.encoder else [],
        "recommenders": [
            {
                "name": spec.recommender,
                "params": spec.params,
                "representations": [spec.representation],
            }
        ],
        "seeds": [spec.seed],
        "row_by": record.row_by,
        "protocol": {spec.task: protocol},
        "threads": spec.threads,
        "latency_seconds": job.latency_seconds,
    }
    if spec.codes is not None:
        plan |= {"codes": [spec.codes.model_dump(mode="json")]}
    if job.keep_models:
        plan |= {"keep_models": True}
    if job.meter.on:
        plan |= {"energy": "measure", "pue": job.meter.pue}
        plan |= {"carbon_intensity": job.meter.carbon_intensity}
    return plan | ({"text_recipe": spec.text_recipe} if spec.text_recipe else {})
