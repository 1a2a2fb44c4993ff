"""`tastebench run --dry-run`: what a plan would do and take, and nothing of it done."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from tastebench.runs.codes import CodesJob
    from tastebench.runs.encode import EncodeJob
    from tastebench.runs.execute import Options, Todo
    from tastebench.runs.expand import Run
    from tastebench.runs.plan import Plan


def print_outlook(plan: Plan, options: Options, as_json: bool) -> None:
    """Says on stdout which steps and runs there are, which are done, and what the open ones take.

    Things of one name are followed by what tells them apart.
    """
    from tastebench.cli.run import told_missing
    from tastebench.runs.execute import codes_jobs, encode_jobs, look
    from tastebench.runs.preview import previews
    from tastebench.runs.remote_cost import remote_costs

    todo = look(plan, options, fetch=False)
    prompted = list(previews(todo))
    to_encode = encode_jobs(todo)
    to_code = {job.result: job for job in codes_jobs(todo, to_encode).values()}
    paid = remote_costs(to_encode, todo.gathered.resources.datasets, {})
    vectors = _vectors(list(to_encode.values()))
    codes = _codes(list(to_code.values()))
    rows = _runs(todo)
    if as_json:
        value = {"plan": plan.name, "runs": rows, "vectors": vectors, "codes": codes}
        value |= {"missing": [vars(thing) for thing in todo.missing], "notes": list(todo.notes)}
        value |= {"remote": [vars(cost) for cost in paid]}
        value |= {"prompts": [{**vars(one), "preview": vars(one.preview)} for one in prompted]}
        typer.echo(json.dumps(value, indent=2))
        return
    for step in vectors:
        status = "encoded" if step["encoded"] else "open"
        _line(status, "encode", step["dataset"], step["encoder"], *step["settings"])
    for step in codes:
        of = [step["encoder"]] if step["encoder"] else []
        status = "made" if step["made"] else "open"
        _line(status, "codes", step["dataset"], step["codes"], *of, *step["settings"])
    for row in rows:
        trials = [f"{row['trials']} trials"] if row["trials"] > 1 else []
        label = (row["label"], *row["settings"])
        _line(row["status"], row["task"], row["dataset"], *label, f"seed {row['seed']}", *trials)
    shown: dict[tuple[str, ...], str] = {}
    for one in prompted:
        name, prompts = f"{one.label} on {one.dataset}", one.preview.prompts
        first = shown.setdefault(prompts, name)
        if first != name:
            typer.echo(f"\n--- {name}: the prompts of {first}")
            continue
        for number, prompt in enumerate(prompts, start=1):
            typer.echo(f"\n--- {name}, prompt {number}\n{prompt}")
    for line in (*todo.notes, *told_missing(todo), *map(str, (*prompted, *paid))):
        typer.echo(line)
    fits = sum(row["trials"] for row in rows if row["status"] == "open")
    typer.echo(f"{len(rows)} runs, {len(rows) - len(todo.open)} finished, {fits} fits to do")


def _line(status: str, step: str, *told: str) -> None:
    typer.echo(f"{status:<9} {step:<7} {' '.join(told)}")


def _vectors(jobs: Sequence[EncodeJob]) -> list[dict[str, Any]]:
    from tastebench.runs.labels import tell_apart

    labels = [(job.dataset, job.encoder) for job in jobs]
    settings = [{"text_recipe": job.text_recipe} for job in jobs]
    return [
        {
            "dataset": job.dataset,
            "encoder": job.encoder,
            "settings": apart,
            "encoded": job.is_done(),
        }
        for job, apart in zip(jobs, tell_apart(labels, settings), strict=True)
    ]


def _codes(jobs: Sequence[CodesJob]) -> list[dict[str, Any]]:
    from tastebench.runs.labels import settings_of_codes, tell_apart

    labels = [(job.dataset, job.encoder, job.recipe.label) for job in jobs]
    settings = [settings_of_codes(job.recipe) | {"text_recipe": job.text_recipe} for job in jobs]
    return [
        {
            "dataset": job.dataset,
            "encoder": job.encoder,
            "codes": job.recipe.label,
            "settings": apart,
            "made": job.is_done(),
        }
        for job, apart in zip(jobs, tell_apart(labels, settings), strict=True)
    ]


def _runs(todo: Todo) -> list[dict[str, Any]]:
    from tastebench.runs.labels import told_apart

    settings = told_apart(todo.runs)
    return [_run(todo, run, settings[run.spec_hash]) for run in todo.runs]


def _run(todo: Todo, run: Run, settings: list[str]) -> dict[str, Any]:
    record = todo.finished.get(run.spec_hash)
    status = "open" if record is None else "finished" if record.status == "ok" else "failed"
    return {
        "status": status,
        "task": run.spec.task,
        "dataset": run.spec.dataset,
        "label": run.spec.label,
        "settings": settings,
        "seed": run.spec.seed,
        "trials": run.budget.trials if run.searches else 1,
        "spec_hash": run.spec_hash,
        "protocol_id": run.protocol_id,
    }
