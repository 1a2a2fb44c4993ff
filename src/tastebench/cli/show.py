"""`tastebench show`: the card of anything that has a name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

import typer

from tastebench.cli.options import AsJson

EXAMPLES = """Examples:

  tastebench show unisrec

  tastebench show minilm --json

  tastebench show quickstart
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("show", epilog=EXAMPLES)(show)


def show(
    name: Annotated[str, typer.Argument(help="Dataset, encoder, recommender, metric, ...")],
    as_json: AsJson = False,
) -> None:
    """Show the card of anything that has a name."""
    found = dict(find(name))
    if not found:
        from tastebench.cli.list import Kind, rows_of
        from tastebench.errors import UsageError, did_you_mean

        known = {row["name"] for kind in Kind for row in rows_of(kind.value)}
        raise UsageError(f"nothing is called {name!r}: {did_you_mean(name, known)}")
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str, ensure_ascii=False))
        return
    for kind, card in found.items():
        typer.echo(f"{kind} {name}")
        for key, value in card.items():
            if key == "hyper-parameters":
                typer.echo("\n".join(_explained(value)))
            else:
                typer.echo(f"  {key}: {_plain(value)}")


def find(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and card of everything of this name; a name may be an encoder's and a recommender's."""
    from tastebench.recommenders.ctr.bricks import REGISTRIES

    finders: dict[str, Callable[[str], dict[str, Any] | None]] = {
        "dataset": _dataset,
        "encoder": _encoder,
        "recommender": _recommender,
        **{registry.kind: partial(_brick, registry) for registry in REGISTRIES},
        "task": _task,
        "metric": _metric,
        "recipe": _recipe,
        "suite": _suite,
    }
    for kind, finder in finders.items():
        card = finder(name)
        if card is not None:
            yield kind, card


def _explained(parameters: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Each hyper-parameter with its default, and below it what it means."""
    yield "  hyper-parameters:"
    for name, parameter in parameters.items():
        yield f"    {name}: {json.dumps(parameter['default'], ensure_ascii=False)}"
        for line in (parameter["meaning"] or "").splitlines():
            yield f"      {line}".rstrip()


def _plain(value: Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    return "unknown" if value is None else str(value)


def _dataset(name: str) -> dict[str, Any] | None:
    from tastebench.data.catalog import list_datasets, load_dataset

    row = {row.name: row for row in list_datasets()}.get(name)
    if row is None:
        return None
    if row.status in ("ready", "built in"):
        return load_dataset(name).card.model_dump(mode="json", exclude={"files"})
    from tastebench.data.sources import SOURCES

    card = SOURCES.get(name).card.model_dump(mode="json", exclude={"files"})
    return {"status": row.status, **card}


def _encoder(name: str) -> dict[str, Any] | None:
    from tastebench.encoders import ENCODERS
    from tastebench.encoders.models import BY_SOURCE

    name = BY_SOURCE.get(name, name)
    if name not in ENCODERS:
        return None
    known = ENCODERS.get(name)
    where = {"here": known.is_here(), "needs": known.needs, "hub": known.hub, "bytes": known.bytes}
    return {"summary": known.summary, **where, **vars(known.card)}


def _recommender(name: str) -> dict[str, Any] | None:
    from tastebench.recommenders import RECOMMENDERS, get_recommender

    if name not in RECOMMENDERS:
        return None
    card = get_recommender(name)
    return {
        "summary": card.summary,
        "kind": card.kind,
        "tasks": card.tasks,
        "representations": card.representations,
        "citation": card.citation,
        "hyper-parameters": _meanings(card.config),
    }


def _brick(registry: Any, name: str) -> dict[str, Any] | None:
    if name not in registry:
        return None
    brick = registry.get(name)
    about = {key: value for key, value in vars(brick).items() if key not in _WITHIN}
    return {**about, "hyper-parameters": _meanings(brick.config)}


_WITHIN = ("name", "config", "network")
"""Of a brick, what only programs read."""


def _meanings(config: Any) -> dict[str, dict[str, Any]]:
    """Default and meaning of every hyper-parameter."""
    return {
        name: {"default": value, "meaning": config.model_fields[name].description}
        for name, value in config().model_dump(mode="json").items()
    }


def _task(name: str) -> dict[str, Any] | None:
    from tastebench.tasks import TASKS

    if name not in TASKS:
        return None
    task = TASKS.get(name)
    return {
        "summary": task.summary,
        "metrics": task.metrics,
        "default recommender": task.default_recommender,
        "controls": task.controls,
    }


def _metric(name: str) -> dict[str, Any] | None:
    from tastebench.metrics.grammar import METRICS

    info = METRICS.get(name.partition("@")[0])
    return vars(info) if info is not None else None


def _recipe(name: str) -> dict[str, Any] | None:
    from tastebench.data.text import RECIPES

    recipe = RECIPES.get(name)
    return {"summary": recipe.summary, "version": recipe.version} if recipe else None


def _suite(name: str) -> dict[str, Any] | None:
    from tastebench import suites

    if name not in suites.names():
        return None
    return suites.get_suite(name).model_dump(mode="json", exclude_unset=True)
