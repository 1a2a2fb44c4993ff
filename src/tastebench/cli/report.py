"""`tastebench report`: the board of a results folder as one page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from tastebench.cli.options import AsJson, Metric, OneTask, ResultsFolder, RowBy

EXAMPLES = """Examples:

  tastebench report results -o report.html

  tastebench report results -o report.html --metric recall@10 --task seqrec

  tastebench report results -o report.html --published recbench
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("report", epilog=EXAMPLES)(report)


def report(
    folder: ResultsFolder,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="The page; replaced if there.")
    ] = Path("report.html"),
    json: AsJson = False,
    metric: Metric = None,
    task: OneTask = None,
    row_by: RowBy = None,
    mixed: Annotated[
        bool,
        typer.Option("--mixed", help="One table with several protocols in a column, marked."),
    ] = False,
    published: Annotated[
        str | None,
        typer.Option(
            "--published",
            metavar="NAME",
            help="Show a printed board apart: blair, recbench, recbench-...",
        ),
    ] = None,
) -> None:
    """Writes the board of the records under DIR as one page that needs no network.

    The conclusion in sentences, the board to sort and filter, quality against cost, how sure the
    order is, for whom it holds, learning curves, and behind every score the run that made it. Each
    plan is a table of its own, and so is each protocol, unless --mixed is given.
    """
    from tastebench.board.model import row_by_of
    from tastebench.board.report import Options, write_report

    options = Options(
        metric=metric,
        task=task,
        row_by=None if row_by is None else row_by_of(row_by),
        mixed=mixed,
        published=published,
    )
    found = write_report(folder, output, options)
    for one in found.skipped:
        typer.echo(f"skipped: {one.path}: {one.why}", err=True)
    if json:
        from json import dumps

        told = {
            "file": str(output),
            "bytes": output.stat().st_size,
            "runs": len(found.entries),
            "skipped": [{"path": one.path, "why": one.why} for one in found.skipped],
        }
        sys.stdout.write(dumps(told, indent=2, ensure_ascii=False) + "\n")
        return
    typer.echo(str(output))
