"""`tastebench list`: what there is, by kind."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from tastebench.cli.options import AsJson

EXAMPLES = """Examples:

  tastebench list recommenders

  tastebench list bricks

  tastebench list datasets --json
"""


_NEEDS = {"package": "a package", "download": "download", "key": "key"}
_FORMS = (
    ("shuffled:ENCODER", "control: its vectors on the wrong items"),
    ("fp16:ENCODER", "its vectors in half precision: half the room for large catalogues"),
    ("DIR", "folder of a model of sentence-transformers, Model2Vec or transformers"),
    ("organisation/model", "the same by its hub name; @commit pins it"),
    ("openai:MODEL[@URL]", "a model behind an address that speaks OpenAI's dialect"),
    ("...:cls, :mean, :last", "any transformer's token states, pooled so"),
)


class Kind(StrEnum):
    """Kinds of things that have names."""

    bricks = "bricks"
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
    as_json: AsJson = False,
) -> None:
    """List what can be named in a plan."""
    rows = rows_of(kind.value)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    width = max((len(row["name"]) for row in rows), default=0)
    group = None
    for row in rows:
        if row.get("group") != group:
            group = row["group"]
            typer.echo(f"{group}:")
        typer.echo(f"{row['name']:<{width}}  {row['summary']}".rstrip())


def rows_of(kind: str) -> list[dict[str, Any]]:
    """Name and summary of everything of a kind."""
    makers = {
        "bricks": _bricks,
        "datasets": _datasets,
        "encoders": _encoders,
        "metrics": _metrics,
        "recipes": _recipes,
        "recommenders": _recommenders,
        "suites": _suites,
        "tasks": _tasks,
    }
    return makers[kind]()


def _bricks() -> list[dict[str, Any]]:
    """What click models are made of: item operators, user operators, predictors."""
    from tastebench.recommenders.ctr.bricks import REGISTRIES

    return [
        {
            "name": name,
            "summary": f"{registry.get(name).summary} [reads {registry.get(name).reads}]",
            "group": f"{registry.kind}s",
        }
        for registry in REGISTRIES
        for name in registry
    ]


def _datasets() -> list[dict[str, Any]]:
    from tastebench.data.catalog import list_datasets

    return [
        {"name": row.name, "summary": f"{row.title} ({row.status})", "tasks": row.tasks}
        for row in list_datasets()
    ]


def _encoders() -> list[dict[str, Any]]:
    """Those that can be used now, then those that need something first, smallest first."""
    from tastebench.encoders import ENCODERS

    known = [ENCODERS.get(name) for name in ENCODERS]
    rows: list[dict[str, Any]] = [
        {
            "name": entry.card.name,
            "summary": entry.summary,
            "group": "here" if entry.is_here() else f"needs {_NEEDS[entry.needs]}",
            "bytes": entry.bytes,
            "usd_per_million_tokens": entry.card.usd_per_million_tokens,
            "source": entry.card.source,
        }
        for entry in known
    ]
    order = ["here", *(f"needs {what}" for what in _NEEDS.values())]
    rows.sort(key=lambda row: (order.index(row["group"]), row["bytes"] or 0))
    for row in rows:
        row["summary"] += _price(row)
    return [*rows, *({"name": name, "summary": text, "group": "by name"} for name, text in _FORMS)]


def _price(row: dict[str, Any]) -> str:
    """What it takes to have it."""
    if row["group"] == "here":
        return ""
    if row["bytes"]:
        return f" [{row['bytes'] / 1e9:.2f} GB]"
    usd = row["usd_per_million_tokens"]
    return "" if usd is None else f" [${usd} a million tokens]"


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
