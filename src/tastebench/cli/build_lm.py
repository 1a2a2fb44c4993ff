"""`tastebench build lm`: a small language model of one dataset, from its train part alone."""

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
    from tastebench.build.lm import Order
    from tastebench.build.lm_about import About

INTERRUPTED = 130

EXAMPLES = """Examples:

  tastebench build lm -d my-shop

  tastebench build lm -d my-shop --plan study.yaml -o ./my-lm

  tastebench build lm -d my-shop --task ctr --layers 6 --hidden-size 384 --heads 6 -o ./my-lm

  tastebench run study.yaml -d my-shop -m llm --model ./my-lm --tune lora
"""


class TaskChoice(StrEnum):
    """Whose train part is read."""

    seqrec = "seqrec"
    ctr = "ctr"
    userqa = "userqa"


def lm(  # noqa: PLR0913, PLR0917 - an option each
    dataset: Annotated[str, typer.Option("--dataset", "-d", help="Name or folder of a dataset.")],
    task: Annotated[
        TaskChoice, typer.Option(help="Whose train part, by the dataset's own protocol for it.")
    ] = TaskChoice.seqrec,
    plan: Annotated[
        str | None,
        typer.Option(metavar="PLAN", help="Cut the data as this plan does; a file or a suite."),
    ] = None,
    vocabulary: Annotated[int, typer.Option(min=300, help="Tokens at most.")] = 8192,
    layers: Annotated[int, typer.Option(min=1)] = 4,
    hidden_size: Annotated[int, typer.Option(min=8, help="Width of states.")] = 256,
    heads: Annotated[int, typer.Option(min=1, help="Attention heads.")] = 4,
    inner_size: Annotated[
        int | None,
        typer.Option(min=8, help="Feed-forward width; 2.75 times the other if not given."),
    ] = None,
    context: Annotated[int, typer.Option(min=64, help="Tokens that it reads at once.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of weights and batches.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="key=value: lr, batch_size, epochs, patience, precision, device."
        ),
    ] = None,
    text_recipe: Annotated[
        str | None, typer.Option(help="How items are put into words; the dataset's if not given.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; all cores if not given.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Also copy the model there."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read and train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a small Qwen2 from nothing on item texts and histories of the train part.

    What is made is kept, and the same command finds it again; an interrupted one goes on where it
    was. The folder loads with transformers like any other, and says which interactions it was
    trained on: a run whose test part is among them refuses it.
    """
    from tastebench.build.lm import make_lm
    from tastebench.data.catalog import load_dataset
    from tastebench.runs import limits
    from tastebench.runs.environment import cores
    from tastebench.runs.expand import protocol_of
    from tastebench.runs.guard import check_texts
    from tastebench.runs.yaml_lines import read_settings
    from tastebench.suites import find_plan
    from tastebench.tasks import TASKS

    shape = {
        "vocabulary": vocabulary,
        "layers": layers,
        "hidden_size": hidden_size,
        "heads": heads,
        "inner_size": inner_size or hidden_size * 11 // 4,
        "context": context,
    }
    given = read_settings(settings or [])
    _refuse_other(out)
    data = load_dataset(dataset, progress=say)
    found = TASKS.get(task.value)
    protocol = protocol_of(find_plan(plan), found, data) if plan else found.protocol(data)
    check_texts(data, protocol, text_recipe or data.card.text_recipe)
    n = threads or cores()
    order = _order(shape, given, data, protocol, text_recipe, seed, n)
    if dry_run:
        _dry_run(order, as_json)
        return
    try:
        with limits.threads(n):
            folder, about = make_lm(order, say)
    except KeyboardInterrupt:
        command = shlex.join(["tastebench", *sys.argv[1:]])
        say("\ninterrupted; the vocabulary and epochs done are kept. To go on:\n  " + command)
        raise typer.Exit(INTERRUPTED) from None
    if out is not None:
        folder = _copied(folder, out)
    _finish(folder, about, as_json)


def _order(
    shape: dict[str, Any],
    given: dict[str, Any],
    data: Any,
    protocol: Any,
    text_recipe: str | None,
    seed: int,
    threads: int,
) -> Order:
    from pydantic import ValidationError

    from tastebench.build.lm import Order, check
    from tastebench.build.lm_about import LMRecipe, LMSettings
    from tastebench.errors import did_you_mean

    for key in given:
        if key not in LMSettings.model_fields:
            raise UsageError(
                f"no setting {key!r}: {did_you_mean(key, LMSettings.model_fields)}", where="--set"
            )
    try:
        settings = LMSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where="--set"
        ) from error
    recipe = LMRecipe.model_validate(shape)
    check(recipe)
    return Order(recipe, settings, data, protocol, text_recipe, seed, threads)


def _dry_run(order: Order, as_json: bool) -> None:
    from tastebench.build.lm import parameters_of, told
    from tastebench.build.lm_about import is_trained_here
    from tastebench.build.lm_corpus import corpus_of

    corpus = corpus_of(order.dataset, order.protocol, order.text_recipe)
    letters = sum(len(corpus.texts[item]) for item in corpus.items.tolist())
    letters += sum(len(corpus.texts[item]) + 6 for item in corpus.histories.values.tolist())
    numbers = parameters_of(order.recipe, order.recipe.vocabulary)
    kept = is_trained_here(order.folder)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "folder": str(order.folder),
                    "kept": kept,
                    "items": len(corpus.items),
                    "histories": len(corpus.histories),
                    "silent": corpus.silent,
                    "single": corpus.single,
                    "characters": letters,
                    "parameters": numbers,
                }
            )
        )
        return
    for line in told(corpus):
        typer.echo(line)
    typer.echo(f"about {letters:,} characters an epoch, {order.settings.epochs} epochs at most")
    typer.echo(f"{numbers:,} parameters with a whole vocabulary of {order.recipe.vocabulary:,}")
    say("it is there already" if kept else "dry run: nothing was trained")


def _refuse_other(out: Path | None) -> None:
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            "there is something else here, and it stays",
            where=str(out),
            fix="name a folder that is not there yet",
        )


def _copied(folder: Path, out: Path) -> Path:
    import shutil

    from tastebench.files import atomic_folder

    with atomic_folder(out) as target:
        for path in folder.iterdir():
            shutil.copyfile(path, target / path.name)
    return out


def _finish(folder: Path, about: About, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"folder": str(folder), **about.model_dump(mode="json")}))
        return
    best = next((row for row in about.curve if row["epoch"] == about.best_epoch), {})
    typer.echo(
        f"language model of {about.source.name}: {about.parameters:,} parameters, "
        f"{about.vocabulary:,} tokens"
    )
    if "valid" in best:
        typer.echo(
            f"held-out documents: {-best['valid']:.3f} nats a token after epoch {about.best_epoch}"
        )
    say(f"model: {folder}")
    model = shlex.quote(str(folder))
    say(f"next:  tastebench run PLAN -d {about.source.name} -m llm --model {model}")


def say(line: str) -> None:
    """A line on stderr."""
    typer.echo(line, err=True)
