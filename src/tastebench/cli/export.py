"""`tastebench export`: a record's recommender as files that anything can serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tastebench.cli.options import AsJson

EXAMPLES = """Examples:

  tastebench run study.yaml --keep-models

  tastebench export results/study/beauty/seqrec/unisrec-vector-minilm/0a1b2c3d4e5f6071 --to served

  tastebench export served --to smaller --no-users --json
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("export", epilog=EXAMPLES)(export)


def export(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="Folder of a record.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder to write.")],
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", "-d", help="Name or folder of the dataset, if found elsewhere."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option("--encoder", "-e", help="Name or folder of the encoder, likewise."),
    ] = None,
    users: Annotated[
        bool, typer.Option("--users/--no-users", help="With ids and vectors of the users.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write a record's recommender as files: ids, vectors, codes and weights, no pickle.

    Where its scores are inner products, user and item vectors can be served by any index. A README
    beside them has ten lines that do so, and tastebench.load reads the folder. What is learnt by
    steps needs a run that kept its model: run --keep-models.
    """
    from tastebench.serving.export import export as write
    from tastebench.serving.restore import load

    def tell(line: str) -> None:
        typer.echo(line, err=True)

    loaded = load(record, dataset=dataset, encoder=encoder, progress=tell)
    made = write(loaded, to, users=users)
    if as_json:
        typer.echo(json.dumps({"folder": str(made.folder), "files": made.files}))
        return
    typer.echo(str(loaded))
    for name, size in made.files.items():
        typer.echo(f"  {size:>14,}  {name}")
    typer.echo(f"\nread:    {made.folder / 'README.md'}", err=True)
