"""`tastebench data list`, `data show` and `data get`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tastebench.cli.options import AsJson

if TYPE_CHECKING:
    from rich.console import Console

    from tastebench.data.catalog import DatasetRow

Name = Annotated[str, typer.Argument(help="Name or folder of a dataset.", metavar="DATASET")]
Raw = Annotated[
    Path | None,
    typer.Option("--raw", help="Folder with the original files, read instead of downloading."),
]

WIDTH = 100


def register(app: typer.Typer) -> None:
    """Adds the verbs to the `data` application."""
    app.command("list")(list_)
    app.command("show")(show)
    app.command("get")(get)


def list_(
    all_: Annotated[
        bool, typer.Option("--all", help="A line for every category of the Amazon releases too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the datasets: the built-in shop, public ones, and your own."""
    from tastebench.data.catalog import list_datasets

    rows = list_datasets()
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
        return
    from tastebench.cli.data_view import dataset_table

    if all_:  # the names are long there, and say what the titles would
        console().print(dataset_table(rows, titles=False))
    else:
        console().print(dataset_table(_folded(rows)))
        typer.echo("every category: tastebench data list --all", err=True)


def show(name: Name, raw: Raw = None, as_json: AsJson = False) -> None:
    """Describe a dataset: card, sizes, texts, times, repeats, and what its splits leak.

    A public dataset that is not here yet is downloaded first, or read from --raw.
    """
    from tastebench.data.catalog import load_dataset
    from tastebench.data.describe import describe
    from tastebench.tasks import TASKS

    dataset = load_dataset(name, raw=raw, progress=_say)
    description = describe(dataset)
    usual = dataset.card.tasks
    able = [name for name in TASKS if name not in usual and TASKS.get(name).able(dataset)]
    if as_json:
        typer.echo(json.dumps(description.to_dict() | {"able": able}, ensure_ascii=False))
        return
    from tastebench.cli.data_view import print_description

    print_description(description, able, console())


def get(
    name: Name,
    raw: Raw = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Prepare it again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Get a public dataset and prepare it: downloaded, or read from --raw.

    Example: tastebench data get movielens-100k --raw downloads/ml-100k
    """
    from tastebench.data.catalog import load_dataset

    dataset = load_dataset(name, raw=raw, refresh=refresh, progress=_say)
    frame = dataset.tables.interactions
    made = dataset.manifest.get("raw", {})
    summary = {
        "name": dataset.name,
        "how": made.get("how"),
        "fingerprint": dataset.fingerprint,
        "users": dataset.n_users,
        "items": dataset.n_items,
        "interactions": 0 if frame is None else len(frame),
        "manifest": dataset.manifest,
    }
    if as_json:
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    typer.echo(
        f"{summary['name']}: {summary['users']:,} users, {summary['items']:,} items, "
        f"{summary['interactions']:,} interactions; {summary['how'] or 'ready'}; "
        f"fingerprint {dataset.fingerprint[:12]}"
    )
    typer.echo(f"next: tastebench data show {name}", err=True)


def _folded(rows: list[DatasetRow]) -> list[DatasetRow]:
    """The rows with one line per Amazon release for those of its categories that are not here."""
    from dataclasses import replace

    kept: list[DatasetRow] = []
    families: dict[str, list[DatasetRow]] = {}
    for row in rows:
        release = row.name[: len("amazon-2014")]
        if row.status == "ready" or not row.name.startswith("amazon-20"):
            kept.append(row)
        else:
            families.setdefault(release, []).append(row)
    for release, members in families.items():
        first = members[0]
        title = f"{len(members)} categories, e.g. {first.name.removeprefix(release + '-')}"
        kept.append(replace(first, name=f"{release}-CATEGORY", title=title))
    return kept


def console() -> Console:
    """The terminal, or a page as wide as is read well where the output goes elsewhere."""
    from rich.console import Console

    # A pipe has no width of its own; what is read later should not be cut to 80 columns.
    return Console() if sys.stdout.isatty() else Console(width=WIDTH)


def _say(line: str) -> None:
    typer.echo(line, err=True)
