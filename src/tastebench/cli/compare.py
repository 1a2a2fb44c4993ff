"""`tastebench compare`: two rows of a board, tested on the same users."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from tastebench.cli.options import (
    AsJson,
    AsLatex,
    AsMarkdown,
    Metric,
    OneTask,
    ResultsFolder,
    RowBy,
)

EXAMPLES = """Examples:

  tastebench compare results minilm tfidf-svd

  tastebench compare results minilm random --task seqrec --metric recall@10

  tastebench compare results sasrec item-knn --row-by recommender --json

  tastebench compare results minilm tfidf-svd --latex > table.tex
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("compare", epilog=EXAMPLES)(compare)


def compare(  # noqa: PLR0913, PLR0917 - an option each
    folder: ResultsFolder,
    a: Annotated[str, typer.Argument(metavar="A", help="A row, called as on the board.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another row.")],
    json: AsJson = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="One line a column of the board and segment.")
    ] = False,
    markdown: AsMarkdown = False,
    latex: AsLatex = False,
    metric: Metric = None,
    task: OneTask = None,
    row_by: RowBy = None,
    correction: Annotated[
        str,
        typer.Option(
            "--correction",
            metavar="NAME",
            help="For many comparisons: holm, or bh (Benjamini-Hochberg).",
        ),
    ] = "holm",
    matters: Annotated[
        float,
        typer.Option(
            "--matters", metavar="SHARE", help="Share of a score that a difference must be."
        ),
    ] = 0.05,
    users: Annotated[
        int, typer.Option("--users", min=0, help="Show so many users that differ most.")
    ] = 3,
    seed: Annotated[int, typer.Option("--seed", help="Of resamples and signs.")] = 0,
) -> None:
    """Tests two rows of the board under DIR on the same users.

    Per task and dataset: the difference with its interval over users (and seeds), a sign-flip test,
    Wilcoxon's, the effect size, who wins how often, and what the data could have shown; by segment;
    p-values adjusted for all of it. Then whom the difference is largest for.
    """
    from tastebench.board import compare_tables as tables
    from tastebench.board.compare import read_comparison
    from tastebench.board.compare_forms import print_comparison, to_json
    from tastebench.board.compare_model import Options, correction_of
    from tastebench.board.model import row_by_of
    from tastebench.board.render import output_console
    from tastebench.errors import UsageError

    if json + csv + markdown + latex > 1:
        raise UsageError(
            "--json, --csv, --markdown and --latex exclude each other", fix="choose one"
        )
    options = Options(
        metric=metric,
        task=task,
        row_by=None if row_by is None else row_by_of(row_by),
        correction=correction_of(correction),
        matters=matters,
        users=users,
        seed=seed,
    )
    found = read_comparison(folder, a, b, options)
    forms = (
        (json, to_json),
        (csv, tables.to_csv),
        (markdown, tables.to_markdown),
        (latex, tables.to_latex),
    )
    for wanted, form in forms:
        if wanted:
            sys.stdout.write(form(found))
            return
    print_comparison(found, output_console())
