"""`tastebench run`: a plan or suite, from data to a board."""

from __future__ import annotations

import json
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tastebench.cli.options import AsJson
from tastebench.errors import UsageError

if TYPE_CHECKING:
    from tastebench.api import Results
    from tastebench.runs.execute import Options, Todo
    from tastebench.runs.plan import Plan

EXAMPLES = """Examples:

  tastebench run study.yaml --dry-run

  tastebench run blair -e minilm,./my-encoder -d my-shop,beauty

  tastebench run blair --preset laptop

  tastebench run blair --paper --dry-run

  tastebench run recbench --groups A,C -d my-shop

  tastebench run recbench --groups E --model ./Qwen2.5-0.5B-Instruct -d my-shop --dry-run

  tastebench run quickstart --set seeds=[0,1,2] --out results --workers 2

  tastebench run study.yaml --keep-models

  tastebench run study.yaml --on ray://head:10001 --out /shared/results

  tastebench run study.yaml --devices 2

  tastebench run study.yaml --offline --lock study.lock.json
"""

SOME_FAILED = 1
NOTHING_HERE = 4
INTERRUPTED = 130


class RedoChoice(StrEnum):
    """Which runs are done again."""

    missing = "missing"
    failed = "failed"
    all = "all"


Encoders = Annotated[
    list[str] | None,
    typer.Option("--encoder", "-e", help="Instead of the plan's encoders; repeat, or a,b."),
]
Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", "-d", help="Instead of the plan's datasets; repeat, or a,b."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        help="Instead of the plan's recommenders; or a language model that recommends: a folder, "
        "organisation/model, openai:NAME. Repeat, or a,b.",
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", metavar="URL", help="Where models named openai:NAME are asked."),
]
Tune = Annotated[
    str | None,
    typer.Option("--tune", metavar="HOW", help="Train the language models: lora, full or none."),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--groups", help="Only the plan's recommenders of these, and those of none; repeat, or a,b."
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="CLUSTER",
        help="Do the runs on a Ray cluster: ray, ray://HOST:10001, or ray:HOST:6379 on a machine "
        "of it. --out and TASTEBENCH_HOME on storage that all its machines see.",
    ),
]
Devices = Annotated[
    int,
    typer.Option(
        "--devices",
        min=1,
        help="Share the training of a run among so many devices, as far as its steps have batches: "
        "{name: sasrec, params: {accumulate: 4}}.",
    ),
]
Out = Annotated[Path, typer.Option(help="Folder of the records.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Runs at a time; what the machine offers if not given.")
]
CarbonIntensity = Annotated[
    float | None,
    typer.Option(min=0, metavar="G", help="g CO2e per kWh here; measures energy: carbon of it."),
]
Offline = Annotated[
    bool,
    typer.Option("--offline", help="Fetch nothing and ask no server; TASTEBENCH_OFFLINE=1."),
]
LockFile = Annotated[
    Path | None,
    typer.Option(
        "--lock",
        metavar="FILE",
        help="Written if not there: hashes of all data and models; else checked.",
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("run", epilog=EXAMPLES)(run)


def run(  # noqa: PLR0913, PLR0917 - one argument an option
    plan: Annotated[str, typer.Argument(help="Path of a YAML plan, or name of a suite.")],
    encoders: Encoders = None,
    datasets: Datasets = None,
    models: Models = None,
    base_url: BaseUrl = None,
    tune: Tune = None,
    groups: Groups = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value of the plan, dotted: protocol.cf.mask_seen=false."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A variant of the suite: laptop, paper, ...")
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The suite as published: --preset paper.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask so many users or queries only: for trying out.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    redo: Annotated[RedoChoice, typer.Option(help="Runs to do again.")] = RedoChoice.missing,
    energy: Annotated[
        bool, typer.Option("--energy", help="Measure energy: --set energy=measure.")
    ] = False,
    carbon_intensity: CarbonIntensity = None,
    keep_models: Annotated[
        bool,
        typer.Option(
            "--keep-models", help="Keep what is trained, to recommend with: --set keep_models=true."
        ),
    ] = False,
    track: Annotated[
        str | None,
        typer.Option(
            "--track",
            metavar="ADDRESS",
            help="Also send runs to MLflow: its address, or mlflow for MLFLOW_TRACKING_URI.",
        ),
    ] = None,
    offline: Offline = False,
    lock: LockFile = None,
    workers: Workers = None,
    on: On = None,
    devices: Devices = 1,
    out: Out = Path("results"),
    as_json: AsJson = False,
) -> None:
    """Run a plan or suite, from data to a board.

    Every run leaves a record, and the board is made of the records. What is finished stays: give
    the same command again to go on after an interruption.
    """
    from tastebench.data.offline import go_offline
    from tastebench.runs.execute import Options
    from tastebench.suites import find_plan

    if offline:
        go_offline()

    if paper and preset not in (None, "paper"):
        raise UsageError(f"--paper and --preset {preset} exclude each other", fix="choose one")
    settings = [*(settings or ()), *_energy(energy, carbon_intensity)]
    settings += ["keep_models=true"] if keep_models else []
    made = find_plan(plan, settings, preset="paper" if paper else preset)
    found = override(made, encoders, datasets, models, base_url, tune)
    if groups:
        from tastebench.runs.groups import groups_of, keep_groups

        found = keep_groups(found, _split(groups), groups_of(made))
    options = Options(
        out=out, workers=workers, redo=redo.value, limit=limit, on=on, devices=devices
    )
    if dry_run:
        from tastebench.cli.dry_run import print_outlook

        print_outlook(found, options, as_json)
        return
    finish(carry_out(found, options, track, lock), as_json)


def _energy(measured: bool, carbon_intensity: float | None) -> list[str]:
    """What `--energy` and `--carbon-intensity` set; carbon needs energy."""
    if carbon_intensity is not None:
        return ["energy=measure", f"carbon_intensity={carbon_intensity}"]
    return ["energy=measure"] if measured else []


def override(
    plan: Plan,
    encoders: list[str] | None,
    datasets: list[str] | None,
    models: list[str] | None,
    base_url: str | None = None,
    tune: str | None = None,
) -> Plan:
    """The plan with other encoders, datasets, recommenders or language models where given.

    What the plan's grid searches and none of the recommenders given has is left out, and said.
    """
    from tastebench.runs.hyperparameters import grid_left_behind
    from tastebench.runs.language_models import at_address, is_language_model, tuned
    from tastebench.runs.plan import make_plan

    value = plan.model_dump(exclude_unset=True)
    named = _split(models or [])
    asked = [name for name in named if is_language_model(name)]
    models = [name for name in named if name not in asked]
    if asked or base_url is not None:
        value["models"] = at_address(asked or plan.models or (), base_url)
    for key, names in (("encoders", encoders), ("datasets", datasets), ("recommenders", models)):
        if names:
            chosen = _split(names)
            known: dict[str, list[Any]] = {}  # one name can stand for several, set differently
            for choice in value.get(key) or ():
                if isinstance(choice, dict):
                    known.setdefault(choice["name"], []).append(choice)
            value[key] = [choice for name in chosen for choice in known.get(name, [name])]
    if tune is not None:
        value["recommenders"] = tuned(value.get("recommenders") or (), tune, plan)
    found = make_plan(value, where="command line")
    left = grid_left_behind(plan, found) if models and plan.grid else ()
    if left:
        typer.echo(
            f"the plan's grid of {', '.join(left)} is left out: {', '.join(models)} "
            "cannot search it",
            err=True,
        )
        value["grid"] = {key: values for key, values in plan.grid.items() if key not in left}
        found = make_plan(value, where="command line")
    return found


def _split(entries: list[str]) -> list[str]:
    """What was given repeatedly or with commas, one by one."""
    return [name.strip() for entry in entries for name in entry.split(",") if name.strip()]


def carry_out(
    plan: Plan, options: Options, track: str | None = None, lock: Path | None = None
) -> Todo:
    """Does what is open, shows how it goes on stderr; Ctrl-C keeps what is done."""
    from tastebench.runs.execute import carry_out as execute
    from tastebench.runs.execute import look
    from tastebench.runs.lock import locked
    from tastebench.runs.progress import watcher
    from tastebench.runs.tracking import tracked

    watch = tracked(watcher(), track, options.out)
    try:
        todo = look(plan, options, watcher=watch)
        for line in (*todo.notes, *told_missing(todo)):
            watch.say(line)
        if not todo.runs:
            raise typer.Exit(NOTHING_HERE)
        with locked(lock, todo, watch.say):
            execute(todo, watcher=watch)
    except KeyboardInterrupt:
        command = shlex.join(["tastebench", *sys.argv[1:]])
        typer.echo(f"\ninterrupted; what is finished is kept. To go on:\n  {command}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    return todo


def told_missing(todo: Todo) -> list[str]:
    """What is not here, and what the plan would be with it."""
    if not todo.missing:
        return []
    whole = todo.gathered.whole
    how = "left out" if todo.plan.missing == "skip" else "missing"
    lines = [f"{how}: {thing}" for thing in todo.missing]
    lines.append(
        f"with everything here the plan has {whole.runs:,} runs, {whole.fits:,} fits and "
        f"{whole.texts:,} items to encode"
        + (f", not counting {', '.join(whole.unknown)}" if whole.unknown else "")
        + f"; now it has {len(todo.runs):,} runs"
    )
    return lines


def finish(todo: Todo, as_json: bool, hint: str | None = None) -> None:
    """Prints the board on stdout, where the records are on stderr; exit code 1 if runs failed."""
    from tastebench.api import results_of

    results = results_of(todo)
    if any(record.partial for record in results.records):
        _print_partial(results, as_json)
    else:
        _print_board(results.board(), as_json)
    typer.echo(f"\nrecords: {results.folder}", err=True)
    if hint:
        typer.echo(f"next:    {hint}", err=True)
    if results.failed:
        for record in results.failed:
            assert record.error is not None
            typer.echo(
                f"failed: {record.spec.task} {record.spec.label}: {record.error.what}", err=True
            )
        for fix in dict.fromkeys(record.error.fix for record in results.failed if record.error):
            if fix:
                typer.echo(f"fix:    {fix}", err=True)
        typer.echo("failed runs are done again with --redo failed", err=True)
        raise typer.Exit(SOME_FAILED)


def _print_board(board: Any, as_json: bool) -> None:
    if as_json:
        from tastebench.board.export import to_json

        sys.stdout.write(to_json(board))
        return
    from tastebench.board.render import output_console, print_board

    print_board(board, output_console())


def _print_partial(results: Results, as_json: bool) -> None:
    """A partial result is no board: the plain numbers, and that they are partial."""
    typer.echo("partial (--limit): these numbers are for trying out and on no board", err=True)
    if as_json:
        rows = results.to_frame().to_dicts()
        typer.echo(json.dumps({"partial": True, "rows": rows}, default=str))
        return
    for record in results.records:
        spec = record.spec
        for group, metrics in ((None, record.metrics), *record.groups.items()):
            task = f"{spec.task}:{group}" if group else spec.task
            for name, value in metrics.items():
                mean = "undefined" if value.mean is None else f"{value.mean:.4f}"
                typer.echo(
                    f"{task} {spec.dataset} {spec.label} seed {spec.seed}: {name} {mean} "
                    f"(n={value.n})"
                )
