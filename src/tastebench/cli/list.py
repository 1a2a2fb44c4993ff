"""`tastebench list`: what there is, by kind."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

EXAMPLES = """Examples:

  tastebench list recommenders

  tastebench list metrics

  tastebench list datasets --json
"""


class Kind(StrEnum):
    """Kinds of things that have names."""

    datasets = "datasets"
    encoders = "encoders"
    metrics = "metrics"
    recipes = "recipes"
    recommenders = "recommenders"
    suites = "suites"
    tasks = "tasks"


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("list", epilog=EXAMPLES)(list_)


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")] = False,
) -> None:
    """List what can be named in a plan."""
    rows = rows_of(kind.value)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    for row in rows:
        typer.echo(f"{row['name']:<{width}}  {row['summary']}".rstrip())


def rows_of(kind: str) -> list[dict[str, Any]]:
    """Name and summary of everything of a kind."""
    makers = {
        "datasets": _datasets,
        "encoders": _encoders,
        "metrics": _metrics,
        "recipes": _recipes,
        "recommenders": _recommenders,
        "suites": _suites,
        "tasks": _tasks,
    }
    return makers[kind]()


def _datasets() -> list[dict[str, Any]]:
    from tastebench.data.catalog import list_datasets

    return [
        {"name": row.name, "summary": f"{row.title} ({row.status})", "tasks": row.tasks}
        for row in list_datasets()
    ]


def _encoders() -> list[dict[str, Any]]:
    from tastebench.encoders import ENCODERS

    rows = [{"name": name, "summary": ENCODERS.get(name).summary} for name in ENCODERS]
    rows.append({"name": "shuffled:ENCODER", "summary": "control: its vectors on the wrong items"})
    rows.append({"name": "DIR", "summary": "folder of a sentence-transformers or Model2Vec model"})
    rows.append({"name": "organisation/model", "summary": "the same by its hub name"})
    return rows


def _metrics() -> list[dict[str, Any]]:
    from tastebench.metrics.grammar import METRICS

    return [{"name": name, "summary": METRICS[name].summary} for name in METRICS]


def _recipes() -> list[dict[str, Any]]:
    from tastebench.data.text import RECIPES

    return [{"name": name, "summary": RECIPES[name].summary} for name in RECIPES]


def _recommenders() -> list[dict[str, Any]]:
    from tastebench.recommenders import RECOMMENDERS, get_recommender

    cards = [get_recommender(name) for name in RECOMMENDERS]
    return [
        {
            "name": card.name,
            "summary": f"{card.summary} [{', '.join(card.tasks)}]",
            "tasks": card.tasks,
            "representations": card.representations,
        }
        for card in cards
    ]


def _suites() -> list[dict[str, Any]]:
    from tastebench import suites

    return [{"name": n, "summary": suites.get_suite(n).description} for n in suites.names()]


def _tasks() -> list[dict[str, Any]]:
    from tastebench.tasks import TASKS

    return [{"name": name, "summary": TASKS.get(name).summary} for name in TASKS]
