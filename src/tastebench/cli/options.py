"""What several commands are given: one spelling and one line of help each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ResultsFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="A Markdown table.")]
AsLatex = Annotated[bool, typer.Option("--latex", help="A table for a paper, with booktabs.")]
Metric = Annotated[
    str | None, typer.Option("--metric", metavar="NAME", help="Rows are ranked or compared by it.")
]
OneTask = Annotated[
    str | None, typer.Option("--task", metavar="NAME", help="Only this task's columns.")
]
RowBy = Annotated[
    str | None, typer.Option("--row-by", metavar="WHAT", help="encoder, recommender or run.")
]
